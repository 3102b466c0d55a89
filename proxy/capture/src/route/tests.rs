//! Facts about routes and rules as bytes and as commands.

use super::*;
use crate::options::{Families, OwnCalls};

fn options(inbound: Inbound, families: Families) -> CaptureOptions {
    CaptureOptions { inbound, families, own_calls: OwnCalls::Application, ..CaptureOptions::by_mark(0x539) }
}

#[test]
fn only_own_calls_that_are_captured_need_an_address() {
    for (families, expected) in
        [(Families::Dual, &["ip -6 address add ::6/128 dev lo"][..]), (Families::Ipv4, &[])]
    {
        let options = CaptureOptions { own_calls: OwnCalls::Inbound, ..options(Inbound::Redirect, families) };
        assert_eq!(commands(&options), expected);
    }
}

#[test]
fn what_is_needed_beside_rules() {
    let cases = [
        (Inbound::Pass, Families::Dual, &[][..]),
        (Inbound::Redirect, Families::Ipv4, &[]),
        (Inbound::Redirect, Families::Dual, &[]),
        (
            Inbound::Tproxy,
            Families::Ipv4,
            &[
                "ip route add local default dev lo table 15006",
                "ip rule add pref 15006 fwmark 0x53b lookup 15006",
            ],
        ),
        (
            Inbound::Tproxy,
            Families::Ipv6,
            &[
                "ip -6 route add local default dev lo table 15006",
                "ip -6 rule add pref 15006 fwmark 0x53b lookup 15006",
            ],
        ),
    ];
    for (inbound, families, expected) in cases {
        assert_eq!(commands(&options(inbound, families)), expected, "{inbound:?} {families:?}");
    }
}

#[test]
fn everything_is_taken_away_whatever_was_there() {
    assert_eq!(removals(&options(Inbound::Pass, Families::Ipv4)).len(), 5);
}

#[test]
fn a_rule_as_bytes() {
    let bytes =
        rule(&options(Inbound::Tproxy, Families::Dual), n::AF_INET, n::RTM_NEWRULE, CREATE | EXCL).bytes;
    let mut expected = Vec::new();
    expected.extend(60u32.to_ne_bytes());
    expected.extend(32u16.to_ne_bytes());
    expected.extend(0x605u16.to_ne_bytes());
    expected.extend(1u32.to_ne_bytes());
    expected.extend([0; 4]);
    expected.extend([2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    for (kind, value) in [(6u16, 15006u32), (15, 15006), (10, 0x53b), (16, u32::MAX)] {
        expected.extend(8u16.to_ne_bytes());
        expected.extend(kind.to_ne_bytes());
        expected.extend(value.to_ne_bytes());
    }
    assert_eq!(bytes, expected);
}
