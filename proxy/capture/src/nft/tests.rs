//! Golden bytes: what the kernel takes today it must be given tomorrow. That it takes them and does what is meant, the tests of
//! `apply` say.

use std::fmt::Write as _;

use super::*;
use crate::options::{CaptureOptions, Inbound};
use crate::plan;
use crate::range::{Cidr, Ports};
use crate::ruleset::{Action, Elements, Family, Hook, Is, Match, Priority, Protocol, Set};

/// One rule in a chain, with a set beside it.
fn one(matches: Vec<Match>, action: Action) -> Ruleset {
    let cidr = |text: &str| text.parse::<Cidr>().unwrap();
    Ruleset {
        sets: vec![
            Set {
                name: "p",
                elements: Elements::Ports(vec!["22".parse::<Ports>().unwrap(), "80-65535".parse().unwrap()]),
            },
            Set { name: "a", elements: Elements::V4(vec![cidr("0.0.0.0/1"), cidr("192.0.2.0/24")]) },
        ],
        chains: vec![Chain {
            name: "c",
            base: Some(Base { kind: Kind::Nat, hook: Hook::Output, priority: Priority::DstNat }),
            rules: vec![Rule { matches, action, comment: Some("why") }],
        }],
    }
}

/// Attributes as a tree: number, and what is in it.
fn tree(bytes: &[u8], depth: usize, out: &mut String) {
    let mut rest = bytes;
    while rest.len() >= 4 {
        let size = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = &rest[4..size];
        write!(out, "{:1$}{2}", "", depth * 2, kind & 0x3fff).unwrap();
        if kind & 0x8000 == 0 {
            writeln!(out, " {}", shown(value)).unwrap();
        } else {
            writeln!(out).unwrap();
            tree(value, depth + 1, out);
        }
        rest = &rest[size.next_multiple_of(4)..];
    }
}

fn shown(value: &[u8]) -> String {
    match value.split_last() {
        Some((0, text)) if text.len() > 1 && text.iter().all(u8::is_ascii_graphic) => {
            format!("\"{}\"", String::from_utf8_lossy(text))
        }
        _ => value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

/// Messages with their types, flags and attributes.
fn messages(batch: &Batch) -> String {
    let mut out = String::new();
    let mut rest = batch.bytes.as_slice();
    let mut parts = batch.parts.iter();
    while !rest.is_empty() {
        let size = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
        let word = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
        let sequence = u32::from_ne_bytes(rest[8..12].try_into().unwrap());
        writeln!(
            out,
            "{sequence} {}: {:#06x} flags {:#05x} {}",
            parts.next().unwrap(),
            word(4),
            word(6),
            shown(&rest[16..20])
        )
        .unwrap();
        tree(&rest[20..size], 1, &mut out);
        rest = &rest[size..];
    }
    assert_eq!(parts.next(), None);
    out
}

#[test]
fn a_batch_replaces_the_whole_table() {
    let matches =
        vec![Match::To(Is::Other, "lo".to_owned()), Match::Protocol(Protocol::Tcp), Match::PortIn("p")];
    insta::assert_snapshot!("replace", messages(&replace(&one(matches, Action::Redirect(15001)))));
    insta::assert_snapshot!("remove", messages(&remove()));
}

#[test]
fn every_condition_and_action_has_its_expressions() {
    let cidr = |text: &str| text.parse::<Cidr>().unwrap();
    let conditions = [
        Match::Family(Family::V6),
        Match::Protocol(Protocol::Udp),
        Match::From(Is::This, "eth0".to_owned()),
        Match::Mark(0x539),
        Match::ConnectionMark(0x53a),
        Match::SocketMark(0x539),
        Match::User(1337),
        Match::Group(1338),
        Match::Source(cidr("10.0.0.0/9")),
        Match::Source(cidr("fe80::/10")),
        Match::SourceIn(Family::V4, "a"),
        Match::Destination(cidr("127.0.0.6")),
        Match::Destination(cidr("::1")),
        Match::DestinationIn(Family::V4, "a"),
        Match::SourcePort("53".parse().unwrap()),
        Match::Port("53".parse().unwrap()),
        Match::Port("15000-15021".parse().unwrap()),
        Match::Syn,
        Match::ToElsewhere,
        Match::Invalid,
        Match::New,
    ];
    let actions = [
        Action::Return,
        Action::Accept,
        Action::Drop,
        Action::Jump("c"),
        Action::Goto("c"),
        Action::Redirect(15001),
        Action::Tproxy(15006),
        Action::SetMark(0x53a),
        Action::SetConnectionMark(0x53a),
        Action::Zone(15053),
    ];
    let mut out = String::new();
    for condition in conditions {
        writeln!(out, "{condition:?}").unwrap();
        let mut message = Message::new(0, 0, 0, &[]);
        expression::condition(&mut message, &condition, &one(vec![], Action::Return));
        tree(&message.into_bytes()[16..], 1, &mut out);
    }
    for action in actions {
        writeln!(out, "{action:?}").unwrap();
        let mut message = Message::new(0, 0, 0, &[]);
        expression::action(&mut message, action);
        tree(&message.into_bytes()[16..], 1, &mut out);
    }
    insta::assert_snapshot!("expressions", out);
}

#[test]
fn the_largest_batch_is_smaller_than_a_sockets_buffer() {
    let mut options = CaptureOptions::by_mark(1);
    options.inbound = Inbound::Tproxy;
    options.exclude.uids = (2000..2511).collect();
    let batch = replace(&plan::ruleset(&options).unwrap());
    assert!(batch.bytes.len() < 200 * 1024, "{}", batch.bytes.len());
}
