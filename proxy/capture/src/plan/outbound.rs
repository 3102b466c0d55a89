//! What the network namespace opens: the application's connections go to the proxy, the proxy's own do not.
//!
//! The proxy may choose this very workload as the endpoint of a service that the application called. Then it connects to an address of
//! its own, and the packet goes over the loopback device, where nothing is captured: it would reach the application, past the inbound
//! listener. Where that is asked for (`OwnCalls::Inbound`), chain `own` brings it there. What the proxy forwards to its application
//! goes the same way, and is told apart by its mark, its source address or a destination on the loopback network.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::options::{CaptureOptions, FORWARD_SOURCES, Loopback, RESERVED_PORTS};
use crate::range::{Cidr, Ports};
use crate::ruleset::{Action, Chain, Hook, Is, Kind, Match, Priority, Rule};

use super::rules::{Sets, TCP, UDP, base, jumped, other_family, own, rule, to_loopback};
use super::{forgotten, inbound};

/// Where captured connections end up.
const CAPTURE: &str = "outbound_capture";
const OUTBOUND: &str = "outbound";
const OWN: &str = "own";

/// DNS, RFC 1035 section 4.2.
const DNS: Option<Ports> = Ports::one(53);

pub(super) fn chains(options: &CaptureOptions, sets: &mut Sets) -> Vec<Chain> {
    let jump = rule([], Action::Jump(OUTBOUND));
    let rules = other_family(options.families).into_iter().chain([jump]).collect();
    let mut chains = vec![
        base("output", Kind::Nat, Hook::Output, Priority::DstNat, rules),
        outbound(options, sets),
        jumped(CAPTURE, capture(options)),
    ];
    chains.extend(own_chain(options));
    chains
}

fn capture(options: &CaptureOptions) -> Vec<Rule> {
    let first = rule([TCP, Match::Syn], Action::Redirect(options.outbound_port));
    [first].into_iter().chain(forgotten::from_here(options, options.outbound_port)).collect()
}

/// The ports of the proxy, which nobody captures.
pub(super) fn reserved() -> Option<Ports> {
    Ports::range(RESERVED_PORTS.0, RESERVED_PORTS.1)
}

fn outbound(options: &CaptureOptions, sets: &mut Sets) -> Chain {
    let exclude = &options.exclude;
    let mut rules = Vec::new();
    let mut own_goes = Action::Return;
    if options.takes_own_calls() {
        let forwarded = rule([Match::Mark(options.forward_mark)], Action::Return);
        rules.push(forwarded.because("from the proxy to its application"));
        own_goes = Action::Goto(OWN);
    }
    rules.extend(own(options).into_iter().map(|own| rule([own], own_goes).because("the proxy's own")));
    rules.extend(
        exclude.uids.iter().map(|uid| rule([Match::User(*uid)], Action::Return).because("excluded user")),
    );
    rules.extend(
        exclude.gids.iter().map(|gid| rule([Match::Group(*gid)], Action::Return).because("excluded group")),
    );
    if options.loopback == Loopback::Pass {
        rules.push(rule([to_loopback(Is::This)], Action::Return).because("the application to itself"));
    }
    for name in &exclude.interfaces {
        rules.push(rule([Match::To(Is::This, name.clone())], Action::Return).because("excluded device"));
    }
    let names = ("excluded_destinations4", "excluded_destinations6");
    for cidr in sets.destinations(names, &exclude.outbound_cidrs) {
        rules.push(rule([cidr], Action::Return).because("excluded destination"));
    }
    if let (Some(port), Some(dns)) = (options.dns_port, DNS) {
        rules.push(rule([UDP, Match::Port(dns)], Action::Redirect(port)).because("DNS"));
        rules.push(rule([TCP, Match::Syn, Match::Port(dns)], Action::Redirect(port)).because("DNS"));
    }
    let excluded = exclude.outbound_ports.iter().copied().chain(reserved());
    if let Some(ports) = sets.ports("excluded_outbound_ports", excluded) {
        rules.push(rule([TCP, ports], Action::Return).because("excluded port, or the proxy's"));
    }
    rules.extend(included(options, sets));
    jumped(OUTBOUND, rules)
}

/// Everything, or only what is listed.
fn included(options: &CaptureOptions, sets: &mut Sets) -> Vec<Rule> {
    let include = &options.include;
    let names = ("included_destinations4", "included_destinations6");
    let mut rules: Vec<_> = sets
        .destinations(names, &include.outbound_cidrs)
        .into_iter()
        .map(|cidr| rule([cidr], Action::Goto(CAPTURE)).because("included destination"))
        .collect();
    if let Some(ports) = sets.ports("included_outbound_ports", include.outbound_ports.iter().copied()) {
        rules.push(rule([TCP, ports], Action::Goto(CAPTURE)).because("included port"));
    }
    if rules.is_empty() {
        rules.push(rule([], Action::Goto(CAPTURE)));
    }
    rules
}

/// The proxy's own packets: they pass, but for connections to this workload by an address that others use too.
fn own_chain(options: &CaptureOptions) -> Option<Chain> {
    if !options.takes_own_calls() {
        return None;
    }
    let (forward4, forward6) = FORWARD_SOURCES;
    let loopback4 = Cidr::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
    let mut rules = vec![rule([to_loopback(Is::Other)], Action::Return).because("to the world")];
    if options.families.v4() {
        rules.extend(loopback4.map(|cidr| rule([Match::Destination(cidr)], Action::Return)));
        rules.push(
            rule([Match::Source(Cidr::host(forward4.into()))], Action::Return).because("to its application"),
        );
    }
    if options.families.v6() {
        rules.push(rule([Match::Destination(Cidr::host(Ipv6Addr::LOCALHOST.into()))], Action::Return));
        rules.push(
            rule([Match::Source(Cidr::host(forward6.into()))], Action::Return).because("to its application"),
        );
    }
    rules.push(
        rule([TCP, Match::Syn], Action::Goto(inbound::REDIRECT))
            .because("this workload as an endpoint of a service"),
    );
    Some(jumped(OWN, rules))
}
