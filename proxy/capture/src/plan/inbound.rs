//! What is opened to the network namespace: connections to the application go to the proxy.
//!
//! With TPROXY nothing is translated: the packet is given to the proxy's transparent socket. The proxy may then connect to the
//! application from the client's own address. The application's answers would leave by the route to that client; so such connections are
//! marked when they pass the loopback device, and their answers get the mark again, which a rule of routing sends back here.

use crate::options::{CaptureOptions, Inbound, InvalidPackets};
use crate::range::Ports;
use crate::ruleset::{Action, Chain, Hook, Is, Kind, Match, Priority, Rule};

use super::forgotten;
use super::outbound::reserved;
use super::rules::{Sets, TCP, base, from_loopback, jumped, other_family, rule};

/// The chain that redirects what may be captured; the proxy's own connections to this workload come here too.
pub(super) const REDIRECT: &str = "inbound_redirect";
const TPROXY: &str = "inbound_tproxy";
const INBOUND: &str = "inbound";

pub(super) fn chains(options: &CaptureOptions, sets: &mut Sets) -> Vec<Chain> {
    let mut chains = Vec::new();
    if options.invalid == InvalidPackets::Drop {
        chains.push(invalid(options));
    }
    let enter = |first: Vec<Rule>| {
        other_family(options.families)
            .into_iter()
            .chain(first)
            .chain([rule([TCP], Action::Jump(INBOUND))])
            .collect()
    };
    match options.inbound {
        Inbound::Pass => return chains,
        Inbound::Redirect => {
            chains.push(base("prerouting", Kind::Nat, Hook::Prerouting, Priority::DstNat, enter(Vec::new())));
            chains.push(inbound(options, sets, REDIRECT));
        }
        Inbound::Tproxy => {
            let forward = (options.takes_own_calls()).then_some(options.forward_mark);
            let keep = options.proxy.mark.into_iter().chain(forward).map(|mark| {
                let matches = [from_loopback(Is::This), Match::Mark(mark)];
                rule(matches, Action::SetConnectionMark(options.answer_mark))
                    .because("from the proxy to its application")
            });
            chains.push(base(
                "prerouting_tproxy",
                Kind::Filter,
                Hook::Prerouting,
                Priority::Mangle,
                enter(keep.collect()),
            ));
            let answers = [TCP, Match::ConnectionMark(options.answer_mark)];
            let back = rule(answers, Action::SetMark(options.answer_mark));
            let rules = vec![back.because("answers of the application to the proxy")];
            chains.push(base("output_reroute", Kind::Route, Hook::Output, Priority::Mangle, rules));
            chains.push(inbound(options, sets, TPROXY));
            let take = vec![
                rule([TCP], Action::Tproxy(options.inbound_port)),
                rule([TCP, Match::Syn], Action::Drop).because("no proxy: the peer sends again"),
            ];
            chains.push(captured(options, sets, TPROXY, take));
        }
    }
    if options.inbound == Inbound::Redirect || options.takes_own_calls() {
        let mut take = vec![rule([TCP, Match::Syn], Action::Redirect(options.inbound_port))];
        if options.inbound == Inbound::Redirect {
            take.extend(forgotten::to_here(options, options.inbound_port));
        }
        chains.push(captured(options, sets, REDIRECT, take));
    }
    chains
}

/// What never concerns the proxy; the rest goes on to `next`.
fn inbound(options: &CaptureOptions, sets: &mut Sets, next: &'static str) -> Chain {
    let exclude = &options.exclude;
    let mut rules = vec![rule([from_loopback(Is::This)], Action::Return)];
    for name in &exclude.interfaces {
        rules.push(rule([Match::From(Is::This, name.clone())], Action::Return).because("excluded device"));
    }
    rules.push(rule([Match::ToElsewhere], Action::Return).because("passes through to others"));
    for probe in sets.sources(("probe_sources4", "probe_sources6"), &exclude.probe_sources) {
        rules.push(rule([probe], Action::Return).because("probes of the kubelet"));
    }
    rules.push(rule([], Action::Goto(next)));
    jumped(INBOUND, rules)
}

/// A chain that takes connections to ports that are captured.
fn captured(options: &CaptureOptions, sets: &mut Sets, name: &'static str, take: Vec<Rule>) -> Chain {
    let excluded = options.exclude.inbound_ports.iter().copied().chain(reserved());
    let mut rules = Vec::new();
    if let Some(ports) = sets.ports("excluded_inbound_ports", excluded) {
        rules.push(rule([TCP, ports], Action::Return).because("excluded port, or the proxy's"));
    }
    let included: Vec<Ports> = options.include.inbound_ports.clone();
    match sets.ports("included_inbound_ports", included) {
        None => rules.extend(take),
        Some(ports) => rules.extend(take.into_iter().map(|mut rule| {
            let after_protocol = rule.matches.len().min(1);
            rule.matches.insert(after_protocol, ports.clone());
            rule
        })),
    }
    jumped(name, rules)
}

fn invalid(options: &CaptureOptions) -> Chain {
    let rules = other_family(options.families)
        .into_iter()
        .chain([
            rule([Match::ToElsewhere], Action::Return),
            rule([TCP, Match::Invalid], Action::Drop).because("the peer sends again"),
        ])
        .collect();
    base("prerouting_invalid", Kind::Filter, Hook::Prerouting, Priority::Mangle, rules)
}
