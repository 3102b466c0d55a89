//! What the arguments of `meshctl run` are taken for.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;

use super::*;
use crate::local::member::Place;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Result<Args, String> {
    let words = std::iter::once("run").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

#[test]
fn objects_of_a_member_with_two_ports() {
    let args =
        args("--name api --namespace team --port 8080 --port 9090=admin --label tier=back --zone east -- x")
            .unwrap();
    let spec = spec(&args, Duration::from_secs(5));
    let address = Ipv4Addr::new(127, 7, 0, 32);
    insta::assert_snapshot!(spec.workload(address) + &spec.service().unwrap());
    assert_eq!(
        spec.member(address, Place::Host).inbound,
        [
            (15006, SocketAddr::from(([127, 0, 0, 1], 8080))),
            (15007, SocketAddr::from(([127, 0, 0, 1], 9090)))
        ]
    );
}

#[test]
fn a_member_without_ports_has_no_service() {
    let args = args("--name me -- curl").unwrap();
    assert_eq!(spec(&args, Duration::ZERO).service(), None);
}

#[test]
fn a_target_may_name_address_and_namespace() {
    let outbound = |text: &str| text.parse::<To>().map(|to| to.0);
    assert_eq!(
        outbound("9000=api:8080").unwrap(),
        Outbound { listen: SocketAddr::from(([127, 0, 0, 1], 9000)), service: "api".into(), port: 8080 }
    );
    assert_eq!(
        outbound("127.0.0.9:9000=api.team:80").unwrap(),
        Outbound { listen: SocketAddr::from(([127, 0, 0, 9], 9000)), service: "api.team".into(), port: 80 }
    );
    assert_eq!(outbound("[::1]:9000=api:80").unwrap().listen, "[::1]:9000".parse().unwrap());
    for bad in ["9000", "9000=api", "x=api:80", "9000=api:0", "9000=API:80", "host:9000=api:80", "0=api:80"] {
        assert!(outbound(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_is_needed_and_keeps_its_own_options() {
    assert!(args("--name me").is_err());
    assert_eq!(args("--name me -- curl --name x").unwrap().command, ["curl", "--name", "x"]);
}

#[test]
fn names_ports_and_labels_are_checked_before_anything_starts() {
    for line in ["--name A_B -- x", "--name a --namespace x/y -- x", "--name a --port 80 --port 80 -- x"] {
        assert!(check(&args(line).unwrap()).is_err(), "{line}");
    }
    for line in [
        "--name a --port 0 -- x",
        "--name a --port 80=A -- x",
        "--name a --label x -- x",
        "--name a --label k=a\"b -- x",
        "--name a --zone a\"b -- x",
    ] {
        assert!(args(line).is_err(), "{line}");
    }
}
