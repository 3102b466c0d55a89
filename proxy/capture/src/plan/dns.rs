//! The proxy's own DNS queries are tracked in a zone of their own. A query of the application that was redirected leaves an entry for its
//! source port behind; when the proxy asks the same server from the same port soon after, it would be taken for a packet of that entry
//! and come back to the proxy itself.

use crate::options::CaptureOptions;
use crate::range::Ports;
use crate::ruleset::{Action, Chain, Hook, Is, Kind, Match, Priority};

use super::rules::{UDP, base, from_loopback, own, rule, to_loopback};

/// Any number that nobody else uses in this network namespace.
const ZONE: u16 = 15053;

const DNS: u16 = 53;

pub(super) fn chains(options: &CaptureOptions) -> Vec<Chain> {
    let Some(dns) = options.dns_port.and(Ports::one(DNS)) else { return Vec::new() };
    let queries = own(options)
        .into_iter()
        .map(|own| rule([to_loopback(Is::Other), own, UDP, Match::Port(dns)], Action::Zone(ZONE)))
        .collect();
    // Users are not known of what comes in. Where only they tell the proxy, the namespace is a pod's, and all answers are meant.
    let mut answers = vec![from_loopback(Is::Other), UDP, Match::SourcePort(dns)];
    let by_mark_alone = options.proxy.uids.is_empty() && options.proxy.gids.is_empty();
    answers.extend(options.proxy.mark.filter(|_| by_mark_alone).map(Match::SocketMark));
    vec![
        base("dns_output", Kind::Filter, Hook::Output, Priority::Raw, queries),
        base(
            "dns_prerouting",
            Kind::Filter,
            Hook::Prerouting,
            Priority::Raw,
            vec![rule(answers, Action::Zone(ZONE))],
        ),
    ]
}
