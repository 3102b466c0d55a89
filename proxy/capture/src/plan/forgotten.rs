//! Captured connections that connection tracking has forgotten: it was flushed, its table was full, or nothing was sent for days.
//!
//! The next packet of the side that connected is redirected as the first one was, to the same port; with the same addresses the proxy's
//! socket takes it, and the connection goes on. A packet of the proxy's side can only go wrong before that: nobody translates its source
//! back, so that the peer resets a connection that it does not know. It is dropped and sent again.
//!
//! Which side connected is told by its port: the kernel chooses it from a range in which nobody listens. So answers of a server that is
//! not captured, and what comes for a connection of the proxy itself, pass.

use crate::options::{CaptureOptions, Inbound, OpenConnections};
use crate::range::Ports;
use crate::ruleset::{Action, Chain, Hook, Kind, Match, Priority, Rule};

use super::rules::{TCP, base, other_family, rule};

/// Ports that Linux gives to sockets that connect: ip_local_port_range, as it is unless somebody changed it.
const OF_CLIENTS: Option<Ports> = Ports::range(32768, 60999);

const WHY: &str = "a connection that the kernel forgot";

/// The chain that keeps back what would leave untranslated.
pub(super) fn chain(options: &CaptureOptions) -> Option<Chain> {
    if options.open == OpenConnections::Leave {
        return None;
    }
    let inbound = (options.inbound == Inbound::Redirect).then_some(options.inbound_port);
    let ports = [Some(options.outbound_port), inbound].into_iter().flatten().filter_map(Ports::one);
    let kept = ports.map(|port| rule([TCP, Match::SourcePort(port), Match::New], Action::Drop).because(WHY));
    let rules = other_family(options.families).into_iter().chain(kept).collect();
    Some(base("output_forgotten", Kind::Filter, Hook::Output, Priority::Mangle, rules))
}

/// What is redirected to `port` beside first packets, of those who connect from here.
pub(super) fn from_here(options: &CaptureOptions, port: u16) -> Option<Rule> {
    let clients = OF_CLIENTS.filter(|_| options.open == OpenConnections::Take)?;
    Some(rule([TCP, Match::SourcePort(clients)], Action::Redirect(port)).because(WHY))
}

/// What is redirected to `port` beside first packets, of those who connect from elsewhere.
pub(super) fn to_here(options: &CaptureOptions, port: u16) -> Vec<Rule> {
    let Some(clients) = OF_CLIENTS.filter(|_| options.open == OpenConnections::Take) else {
        return Vec::new();
    };
    let own = rule([TCP, Match::Port(clients)], Action::Return).because("who connects from here");
    vec![own, rule([TCP], Action::Redirect(port)).because(WHY)]
}
