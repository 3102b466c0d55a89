//! Every problem is found, and its flag named.

use super::*;
use crate::options::{Families, ProxyTraffic};

fn good() -> CaptureOptions {
    CaptureOptions::by_uid(1337)
}

fn ports(text: &str) -> Vec<Ports> {
    text.split(',').map(|text| text.parse().unwrap()).collect()
}

fn cidrs(text: &str) -> Vec<Cidr> {
    text.split(',').map(|text| text.parse().unwrap()).collect()
}

/// Why, and how good options become bad ones.
type Case = (&'static str, &'static str, fn(&mut CaptureOptions));

#[test]
fn good_options_have_no_problems() {
    assert_eq!(good().problems(), []);
    assert_eq!(CaptureOptions::by_mark(0x539).problems(), []);
}

#[test]
fn each_problem_names_its_flag() {
    let cases: &[Case] = &[
        ("--proxy-uid", "capture itself", |o| o.proxy = ProxyTraffic::default()),
        ("--exclude-uid", "1337 is the proxy's own", |o| o.exclude.uids = vec![1337]),
        ("--exclude-gid", "7 is the proxy's own", |o| {
            o.proxy.gids = vec![7];
            o.exclude.gids = vec![7];
        }),
        ("--outbound-port", "0 is no port", |o| o.outbound_port = 0),
        ("--inbound-port", "already that of --outbound-port", |o| o.inbound_port = 15001),
        ("--dns-port", "already that of --inbound-port", |o| o.dns_port = Some(15006)),
        ("--proxy-mark", "0 is the mark", |o| o.proxy.mark = Some(0)),
        ("--forward-mark", "0 is the mark", |o| o.forward_mark = 0),
        ("--forward-mark", "already that of --proxy-mark", |o| o.proxy.mark = Some(o.forward_mark)),
        ("--answer-mark", "already that of --proxy-mark", |o| {
            o.inbound = Inbound::Tproxy;
            o.proxy.mark = Some(o.answer_mark);
        }),
        ("--inbound", "give --proxy-mark", |o| o.inbound = Inbound::Tproxy),
        ("--route-table", "254 is a table of the kernel", |o| {
            o.proxy.mark = Some(1);
            o.inbound = Inbound::Tproxy;
            o.route_table = 254;
        }),
        ("--exclude-outbound-port", "53 is excluded", |o| {
            o.dns_port = Some(15053);
            o.exclude.outbound_ports = ports("50-60");
        }),
        ("--include-inbound-port", "excluded as 8000-8999", |o| {
            o.include.inbound_ports = ports("8080");
            o.exclude.inbound_ports = ports("8000-8999");
        }),
        ("--include-outbound-port", "never captured", |o| o.include.outbound_ports = ports("15001-15003")),
        ("--exclude-outbound-cidr", "family", |o| {
            o.families = Families::Ipv6;
            o.exclude.outbound_cidrs = cidrs("10.0.0.0/8");
        }),
        ("--include-outbound-cidr", "family", |o| {
            o.families = Families::Ipv4;
            o.include.outbound_cidrs = cidrs("fd00::/8");
        }),
        ("--probe-source", "holds everybody", |o| o.exclude.probe_sources = cidrs("0.0.0.0/0")),
        ("--probe-source", "holds everybody", |o| o.exclude.probe_sources = cidrs("::/0")),
        ("--exclude-interface", "not the name of a device", |o| {
            o.exclude.interfaces = vec!["a\"; flush ruleset".into()];
        }),
        ("--exclude-interface", "not the name of a device", |o| {
            o.exclude.interfaces = vec!["0123456789abcdef".into()];
        }),
        ("--exclude-interface", "loopback", |o| o.exclude.interfaces = vec!["lo".into()]),
        ("--exclude-outbound-cidr", "512 is the most", |o| o.exclude.uids = (2000..2600).collect()),
    ];
    for (flag, what, break_it) in cases {
        let mut options = good();
        break_it(&mut options);
        let problems = options.problems();
        assert!(
            problems.len() == 1 && problems[0].flag == *flag && problems[0].what.contains(what),
            "{flag} {what}: {problems:?}"
        );
    }
}

#[test]
fn all_problems_are_said_at_once() {
    let mut options = CaptureOptions::new(ProxyTraffic::default());
    options.outbound_port = 0;
    options.exclude.interfaces = vec![String::new()];
    let flags: Vec<_> = options.problems().into_iter().map(|problem| problem.flag).collect();
    assert_eq!(flags, ["--proxy-uid", "--outbound-port", "--exclude-interface"]);
}
