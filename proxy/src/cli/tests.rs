//! Facts about the command line.

use clap::Parser;

use super::{Cli, Command, captured, inbound, mark, outbound};
use crate::config::Original;

const WHOLE: &[&str] = &[
    "mesh-proxy",
    "sidecar",
    "--namespace",
    "shop",
    "--workload",
    "cart",
    "--controller",
    "127.0.0.1:15010",
    "--ca",
    "127.0.0.1:15012",
    "--ca-roots",
    "root.pem",
    "--join-token-file",
    "token",
    "--inbound",
    "127.7.0.12:15006=127.7.0.12:8080",
    "--outbound-proxy",
    "127.7.0.12:15001",
    "--outbound",
    "127.0.0.1:9001=stock.shop:80",
    "--capture-outbound",
    "15001",
    "--capture-inbound",
    "10.0.0.1:15006",
    "--mark",
    "0x6d65",
    "--admin",
    "127.0.0.1:15000",
    "--metrics",
    "127.0.0.1:15020",
    "--workers",
    "2",
    "--drain-seconds",
    "3",
];

#[test]
fn a_whole_command_line_becomes_a_configuration() {
    let Command::Sidecar(sidecar) = Cli::try_parse_from(WHOLE).unwrap().command else {
        unreachable!("the second word says so")
    };
    let (config, control) = sidecar.into_config().unwrap();
    assert_eq!((config.namespace.as_str(), config.workload.as_str()), ("shop", "cart"));
    assert_eq!(config.inbound[0].app.to_string(), "127.7.0.12:8080");
    assert_eq!((config.outbound[0].host.as_str(), config.outbound[0].port), ("stock.shop", 80));
    assert_eq!(config.capture.outbound[0].to_string(), "[::]:15001");
    assert_eq!(config.capture.inbound[0].to_string(), "10.0.0.1:15006");
    assert_eq!((config.capture.how, config.mark), (Original::Redirect, Some(0x6d65)));
    assert_eq!((config.workers, config.drain.as_secs()), (2, 3));
    assert_eq!(control.ca.to_string(), "127.0.0.1:15012");
}

#[test]
fn what_is_wrong_with_a_listener_is_said() {
    assert!(inbound("127.0.0.1:1").unwrap_err().contains("LISTEN=APP"));
    assert!(inbound("x=127.0.0.1:1").unwrap_err().contains("`x` is not IP:PORT"));
    assert!(captured("x").unwrap_err().contains("neither PORT nor IP:PORT"));
    assert!(mark("0").unwrap_err().contains("not a mark"));
    assert!(outbound("127.0.0.1:1=cart").unwrap_err().contains("no port"));
    assert!(outbound("127.0.0.1:1=cart:0").unwrap_err().contains("not a port"));
    assert!(outbound("127.0.0.1:1=:80").unwrap_err().contains("no name"));
}
