//! Facts about input of `iptables-restore`.

use super::*;
use crate::options::{CaptureOptions, Families, Inbound};
use crate::plan;

fn ruleset(change: impl FnOnce(&mut CaptureOptions)) -> Ruleset {
    let mut options = CaptureOptions::by_uid(1337);
    change(&mut options);
    plan::ruleset(&options).unwrap()
}

#[test]
fn the_same_rules_in_the_words_of_iptables() {
    insta::assert_snapshot!("defaults", shown(&ruleset(|_| {})));
    insta::assert_snapshot!(
        "tproxy",
        shown(&ruleset(|o| {
            o.inbound = Inbound::Tproxy;
            o.proxy.mark = Some(0x539);
            o.dns_port = Some(15053);
            o.exclude.outbound_cidrs =
                ["10.0.0.0/8", "192.0.2.1", "fd00::/8"].map(|t| t.parse().unwrap()).to_vec();
            o.exclude.probe_sources = vec!["169.254.7.127".parse().unwrap()];
            o.include.inbound_ports = vec!["8080".parse().unwrap(), "9000-9010".parse().unwrap()];
        }))
    );
}

#[test]
fn a_family_that_is_left_alone_returns_at_once() {
    let ruleset = ruleset(|o| o.families = Families::Ipv4);
    let v6 = replace(&ruleset, Family::V6, "");
    let first = v6.lines().find(|line| line.starts_with("-A AMIME_OUTPUT")).unwrap();
    assert_eq!(first, "-A AMIME_OUTPUT -m comment --comment \"only the other family is captured\" -j RETURN");
    assert!(!replace(&ruleset, Family::V4, "").contains("only the other family"));
}

/// As `iptables-save` shows it after a run with DNS and TPROXY, and beside others.
const SAVED: &str = "# Generated
*mangle
:PREROUTING ACCEPT [0:0]
:AMIME_PREROUTING_TPROXY - [0:0]
-A PREROUTING -j AMIME_PREROUTING_TPROXY
COMMIT
*nat
:PREROUTING ACCEPT [5:300]
:OUTPUT ACCEPT [1:60]
:AMIME_OUTBOUND - [0:0]
:AMIME_OUTPUT - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -j AMIME_OUTPUT
-A OUTPUT -j AMIME_OUTPUT
-A AMIME_OUTPUT -j AMIME_OUTBOUND
COMMIT
";

#[test]
fn what_an_earlier_run_left_is_taken_away_and_nothing_else() {
    assert_eq!(
        remove(SAVED),
        "*mangle\n-D PREROUTING -j AMIME_PREROUTING_TPROXY\n-F AMIME_PREROUTING_TPROXY\n-X AMIME_PREROUTING_TPROXY\nCOMMIT\n\
         *nat\n-D OUTPUT -j AMIME_OUTPUT\n-D OUTPUT -j AMIME_OUTPUT\n-F AMIME_OUTBOUND\n-F AMIME_OUTPUT\n\
         -X AMIME_OUTBOUND\n-X AMIME_OUTPUT\nCOMMIT\n"
    );
    assert_eq!(remove("*nat\n:OUTPUT ACCEPT [1:60]\nCOMMIT\n"), "");
    let text = replace(&ruleset(|_| {}), Family::V4, SAVED);
    assert!(text.contains("-X AMIME_PREROUTING_TPROXY") && !text.contains("-X AMIME_OUTPUT"), "{text}");
    assert_eq!(text.matches("-D OUTPUT -j AMIME_OUTPUT").count(), 2);
    assert_eq!(text.matches("-I OUTPUT -j AMIME_OUTPUT").count(), 1);
}
