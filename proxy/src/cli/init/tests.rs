//! Facts about the flags of `mesh-proxy init`.

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

fn init(flags: &str) -> Result<Init, clap::Error> {
    let words = ["mesh-proxy", "init"].into_iter().chain(flags.split_whitespace());
    let Command::Init(init) = Cli::try_parse_from(words)?.command else { unreachable!("it is init") };
    Ok(*init)
}

fn options(flags: &str) -> CaptureOptions {
    init(flags).unwrap().into_options()
}

#[test]
fn without_flags_the_defaults_are_those_of_the_library() {
    assert_eq!(options("--open-connections leave"), CaptureOptions::new(ProxyTraffic::default()));
    assert_eq!(options("--proxy-uid 1337 --open-connections leave"), CaptureOptions::by_uid(1337));
    assert_eq!(options("--proxy-mark 0x539 --open-connections leave"), CaptureOptions::by_mark(1337));
}

#[test]
fn every_flag_has_its_place() {
    let flags = "--proxy-uid 1 --proxy-uid 2 --proxy-gid 3 --proxy-mark 4 --forward-mark 0x5 --own-calls inbound --answer-mark 0x55 --inbound tproxy \
        --inbound-port 6 --exclude-inbound-port 7,8-9 --include-inbound-port 10 --probe-source 10.0.0.1 \
        --route-table 11 --outbound-port 12 --exclude-outbound-port 13 --exclude-outbound-cidr 10.0.0.0/8,fd00::/8 \
        --include-outbound-port 14 --include-outbound-cidr 11.0.0.0/8 --exclude-uid 15 --exclude-gid 16 \
        --capture-loopback --dns --dns-port 17 --ip-family ipv4 --exclude-interface a,b --drop-invalid \
        --open-connections take --backend iptables";
    let ports = |text: &str| vec![text.parse::<Ports>().unwrap()];
    let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse::<Cidr>().unwrap()).collect::<Vec<_>>();
    let expected = CaptureOptions {
        proxy: ProxyTraffic { uids: vec![1, 2], gids: vec![3], mark: Some(4) },
        inbound: Inbound::Tproxy,
        inbound_port: 6,
        outbound_port: 12,
        dns_port: Some(17),
        families: Families::Ipv4,
        loopback: Loopback::Capture,
        invalid: InvalidPackets::Drop,
        open: OpenConnections::Take,
        exclude: Exclude {
            inbound_ports: [ports("7"), ports("8-9")].concat(),
            outbound_ports: ports("13"),
            outbound_cidrs: cidrs(&["10.0.0.0/8", "fd00::/8"]),
            uids: vec![15],
            gids: vec![16],
            interfaces: vec!["a".to_owned(), "b".to_owned()],
            probe_sources: cidrs(&["10.0.0.1"]),
        },
        include: Include {
            inbound_ports: ports("10"),
            outbound_ports: ports("14"),
            outbound_cidrs: cidrs(&["11.0.0.0/8"]),
        },
        own_calls: OwnCalls::Inbound,
        forward_mark: 5,
        answer_mark: 0x55,
        route_table: 11,
        backend: Backend::Iptables,
    };
    assert_eq!(options(flags), expected);
}

#[test]
fn what_is_wrong_names_the_flag() {
    for (flags, said) in [
        ("--exclude-outbound-port 0", "--exclude-outbound-port <PORTS>"),
        ("--exclude-outbound-cidr 10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("--proxy-mark x", "0x539"),
        ("--dns-port 5353", "--dns"),
        ("--dry-run --undo", "cannot be used with"),
    ] {
        let error = init(flags).unwrap_err().to_string();
        assert!(error.contains(said), "{flags}: {error}");
    }
    let error = init("--dry-run").unwrap().run().unwrap_err();
    assert!(error.to_string().starts_with("--proxy-uid: "), "{error}");
}
