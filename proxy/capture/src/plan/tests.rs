//! Options to rules, as text: what `--dry-run` prints is what is in force.

use super::*;
use crate::options::{
    Families, Inbound, InvalidPackets, Loopback, MAX_ENTRIES, OpenConnections, ProxyTraffic,
};
use crate::text;

fn listed(change: impl FnOnce(&mut CaptureOptions)) -> String {
    let mut options = CaptureOptions::by_uid(1337);
    change(&mut options);
    text::nft(&ruleset(&options).unwrap())
}

#[test]
fn dry_runs() {
    insta::assert_snapshot!("defaults", listed(|_| {}));
    insta::assert_snapshot!(
        "tproxy_ipv4",
        listed(|o| {
            o.proxy = ProxyTraffic { mark: Some(0x539), ..ProxyTraffic::default() };
            o.inbound = Inbound::Tproxy;
            o.families = Families::Ipv4;
        })
    );
    insta::assert_snapshot!(
        "one_command_in_a_namespace",
        listed(|o| {
            o.proxy = ProxyTraffic { mark: Some(0x539), ..ProxyTraffic::default() };
            o.loopback = Loopback::Capture;
            o.open = OpenConnections::Take;
            o.dns_port = Some(15053);
        })
    );
    insta::assert_snapshot!(
        "everything",
        listed(|o| {
            o.dns_port = Some(15053);
            o.invalid = InvalidPackets::Drop;
            o.open = OpenConnections::Take;
            o.exclude.inbound_ports = vec!["22".parse().unwrap(), "15020-15030".parse().unwrap()];
            o.exclude.outbound_ports = vec!["25".parse().unwrap()];
            o.exclude.outbound_cidrs =
                ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "fd00::/8"].map(|t| t.parse().unwrap()).to_vec();
            o.exclude.probe_sources = vec!["169.254.7.127".parse().unwrap()];
            o.exclude.uids = vec![99];
            o.exclude.gids = vec![98];
            o.exclude.interfaces = vec!["docker0".to_owned()];
            o.include.inbound_ports = vec!["8080".parse().unwrap()];
            o.include.outbound_cidrs = vec!["172.16.0.0/12".parse().unwrap()];
            o.include.outbound_ports = vec!["443".parse().unwrap(), "80".parse().unwrap()];
        })
    );
}

#[test]
fn without_capture_of_inbound_there_are_no_chains_for_it() {
    let text = listed(|o| o.inbound = Inbound::Pass);
    assert!(
        !text.contains("prerouting") && !text.contains("inbound") && text.contains("redirect to :15001"),
        "{text}"
    );
}

#[test]
fn ports_are_those_that_were_asked_for() {
    let text = listed(|o| {
        o.outbound_port = 1001;
        o.inbound_port = 1006;
        o.dns_port = Some(1053);
    });
    for port in [1001, 1006, 1053] {
        assert!(text.contains(&format!("redirect to :{port}")), "{port}: {text}");
    }
}

#[test]
fn every_chain_and_set_that_is_named_exists_and_is_used() {
    for inbound in [Inbound::Redirect, Inbound::Tproxy, Inbound::Pass] {
        let mut options = CaptureOptions { inbound, dns_port: Some(15053), ..CaptureOptions::by_mark(1) };
        options.exclude.outbound_cidrs =
            (0..8).map(|n| format!("10.{}.0.0/16", n * 2).parse().unwrap()).collect();
        let ruleset = ruleset(&options).unwrap();
        let text = text::nft(&ruleset);
        for chain in ruleset.chains.iter().filter(|chain| chain.base.is_none()) {
            let named = |word: &str| text.contains(&format!("{word} {}", chain.name));
            assert!(named("jump") || named("goto"), "{} is never entered", chain.name);
        }
        for set in &ruleset.sets {
            assert!(text.contains(&format!("@{}", set.name)), "{} is never used", set.name);
        }
        for rule in ruleset.chains.iter().flat_map(|chain| &chain.rules) {
            if let crate::ruleset::Action::Jump(name) | crate::ruleset::Action::Goto(name) = rule.action {
                assert!(ruleset.chains.iter().any(|chain| chain.name == name), "{name} does not exist");
            }
            assert!(rule.comment.is_none_or(|comment| comment.len() < 128 && !comment.contains('"')));
        }
    }
}

#[test]
fn bad_options_make_no_rules() {
    let error = ruleset(&CaptureOptions::new(ProxyTraffic::default())).unwrap_err();
    assert!(error.to_string().starts_with("--proxy-uid: nothing tells"), "{error}");
    let mut options = CaptureOptions::by_uid(1);
    options.exclude.gids = (0..).take(MAX_ENTRIES).collect();
    assert!(ruleset(&options).unwrap_err().to_string().contains("is the most"));
}

#[test]
fn the_page_shows_what_a_dry_run_prints() {
    let page = include_str!("../../../../docs/reference/capture.md");
    let text = listed(|o| o.families = Families::Ipv4);
    assert!(
        page.contains(&format!("--proxy-uid 1337 --ip-family ipv4 --dry-run -->\n```text\n{text}```")),
        "{text}"
    );
}
