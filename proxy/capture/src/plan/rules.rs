//! Short words for rules, and the sets that they use. They must not know what is captured.

use crate::options::{CaptureOptions, Families};
use crate::range::{Cidr, Ports, merged_cidrs, merged_ports};
use crate::ruleset::{
    Action, Base, Chain, Elements, Family, Hook, Is, Kind, Match, Priority, Protocol, Rule, Set,
};

pub(super) const TCP: Match = Match::Protocol(Protocol::Tcp);
pub(super) const UDP: Match = Match::Protocol(Protocol::Udp);

/// The loopback device.
const LOOPBACK: &str = "lo";

pub(super) fn rule(matches: impl IntoIterator<Item = Match>, action: Action) -> Rule {
    Rule { matches: matches.into_iter().collect(), action, comment: None }
}

impl Rule {
    pub(super) fn because(self, comment: &'static str) -> Self {
        Self { comment: Some(comment), ..self }
    }
}

pub(super) fn from_loopback(is: Is) -> Match {
    Match::From(is, LOOPBACK.to_owned())
}

pub(super) fn to_loopback(is: Is) -> Match {
    Match::To(is, LOOPBACK.to_owned())
}

pub(super) fn base(
    name: &'static str,
    kind: Kind,
    hook: Hook,
    priority: Priority,
    rules: Vec<Rule>,
) -> Chain {
    Chain { name, base: Some(Base { kind, hook, priority }), rules }
}

pub(super) fn jumped(name: &'static str, rules: Vec<Rule>) -> Chain {
    Chain { name, base: None, rules }
}

/// The family that is not captured passes before anything else is looked at.
pub(super) fn other_family(families: Families) -> Option<Rule> {
    let family = match families {
        Families::Dual => return None,
        Families::Ipv4 => Family::V6,
        Families::Ipv6 => Family::V4,
    };
    Some(rule([Match::Family(family)], Action::Return).because("only the other family is captured"))
}

/// What tells the proxy's own packets, one match each.
pub(super) fn own(options: &CaptureOptions) -> Vec<Match> {
    let proxy = &options.proxy;
    let marks = proxy.mark.into_iter().map(Match::Mark);
    let users = proxy.uids.iter().copied().map(Match::User);
    let groups = proxy.gids.iter().copied().map(Match::Group);
    marks.chain(users).chain(groups).collect()
}

/// The sets of the table, each added once.
#[derive(Debug, Default)]
pub(super) struct Sets(Vec<Set>);

impl Sets {
    /// A match for one of these ports; None when there are none.
    pub(super) fn ports(
        &mut self,
        name: &'static str,
        ports: impl IntoIterator<Item = Ports>,
    ) -> Option<Match> {
        let ports = merged_ports(ports);
        match ports.as_slice() {
            [] => None,
            [one] => Some(Match::Port(*one)),
            _ => {
                self.add(name, Elements::Ports(ports));
                Some(Match::PortIn(name))
            }
        }
    }

    /// Matches for these sources, at most one a family.
    pub(super) fn sources(&mut self, names: (&'static str, &'static str), cidrs: &[Cidr]) -> Vec<Match> {
        self.cidrs(names, cidrs, Match::Source, Match::SourceIn)
    }

    /// Matches for these destinations, at most one a family.
    pub(super) fn destinations(&mut self, names: (&'static str, &'static str), cidrs: &[Cidr]) -> Vec<Match> {
        self.cidrs(names, cidrs, Match::Destination, Match::DestinationIn)
    }

    fn cidrs(
        &mut self,
        (v4, v6): (&'static str, &'static str),
        cidrs: &[Cidr],
        one: fn(Cidr) -> Match,
        many: fn(Family, &'static str) -> Match,
    ) -> Vec<Match> {
        let mut matches = Vec::new();
        for (family, name) in [(Family::V4, v4), (Family::V6, v6)] {
            let of_family = cidrs.iter().copied().filter(|cidr| Family::of(cidr.address()) == family);
            let merged = merged_cidrs(of_family);
            match (merged.as_slice(), family) {
                ([], _) => {}
                ([only], _) => matches.push(one(*only)),
                (_, Family::V4) => {
                    self.add(name, Elements::V4(merged));
                    matches.push(many(family, name));
                }
                (_, Family::V6) => {
                    self.add(name, Elements::V6(merged));
                    matches.push(many(family, name));
                }
            }
        }
        matches
    }

    fn add(&mut self, name: &'static str, elements: Elements) {
        if !self.0.iter().any(|set| set.name == name) {
            self.0.push(Set { name, elements });
        }
    }

    pub(super) fn into_sets(self) -> Vec<Set> {
        self.0
    }
}
