//! Whom a workload lets in unauthenticated: what each level says of mutual TLS, and which of it counts at a port. It must not know how a
//! policy finds its workloads.
//!
//! Port before workload before namespace before mesh; of several that speak at one level the strictest counts. Source: Istio's
//! PeerAuthentication has the same order and takes the oldest one; a conflict must not open what somebody meant to close.

pub mod jwt;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::jwt::JwtRules;
use crate::settings::MtlsMode;

/// Ports of a workload of which something is said; beyond it all of them are strict.
pub const MAX_PORTS: usize = 1_024;

/// A mode, and the object that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtlsRule {
    /// What counts.
    pub mode: MtlsMode,
    /// `AuthenticationPolicy NS/NAME` or `MeshConfig default`; empty: nobody says so, it is the default.
    pub source: String,
}

/// What counts for one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Of every port that is not named.
    pub mtls: MtlsRule,
    /// Of ports that are.
    pub ports: BTreeMap<u16, MtlsRule>,
    /// What is asked of tokens; `None`: nothing.
    pub jwt: Option<Arc<JwtRules>>,
}

impl Authentication {
    /// Only mutual TLS, everywhere, and no token is good: what counts where nothing is known.
    pub fn closed(source: impl Into<String>) -> Self {
        let source = source.into();
        let jwt = Some(Arc::new(JwtRules::closed(source.clone())));
        Self { mtls: MtlsRule { mode: MtlsMode::Strict, source }, ports: BTreeMap::new(), jwt }
    }

    /// What a port asks of tokens.
    pub fn jwt_at(&self, port: u16) -> Option<&Arc<JwtRules>> {
        self.jwt.as_ref().filter(|rules| rules.counts_at(port))
    }

    /// What counts at a port.
    pub fn at(&self, port: u16) -> &MtlsRule {
        self.ports.get(&port).unwrap_or(&self.mtls)
    }

    /// The mode at a port.
    pub fn mode(&self, port: u16) -> MtlsMode {
        self.at(port).mode
    }

    /// Every object that says some of it, each once.
    pub fn sources(&self) -> Vec<&str> {
        let all = self.ports.values().chain([&self.mtls]).map(|rule| rule.source.as_str());
        let all = all.chain(self.jwt.iter().map(|rules| rules.source.as_str()));
        let mut sources: Vec<&str> = all.filter(|source| !source.is_empty()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

/// For what a policy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every workload of its namespace.
    Namespace,
    /// Workloads that it names.
    Workload,
}

/// What one policy says of a workload that it is for.
#[derive(Debug, Clone)]
pub struct Said<'a> {
    /// The object, as in [`MtlsRule::source`].
    pub source: &'a str,
    /// For what it speaks.
    pub level: Level,
    /// Of every port that it does not name; `None`: nothing.
    pub mode: Option<MtlsMode>,
    /// Of ports.
    pub ports: Vec<(u16, MtlsMode)>,
}

/// A policy of which some does not count, since another one at the same level is stricter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Whose word does not count.
    pub loser: String,
    /// Whose does.
    pub winner: String,
    /// At which port; `None`: at the others.
    pub port: Option<u16>,
}

/// What counts for a workload, of what the mesh and its policies say, and where policies contradict each other.
pub fn settle(mesh: &MtlsRule, said: &[Said<'_>]) -> (Authentication, Vec<Conflict>) {
    let mut conflicts = Vec::new();
    let mut mtls = mesh.clone();
    for level in [Level::Namespace, Level::Workload] {
        let all = said.iter().filter(|one| one.level == level);
        let all = all.filter_map(|one| Some((one.source, one.mode?)));
        if let Some(rule) = strictest(all, None, &mut conflicts) {
            mtls = rule;
        }
    }
    let mut at: BTreeMap<u16, Vec<(&str, MtlsMode)>> = BTreeMap::new();
    for one in said {
        for (port, mode) in &one.ports {
            at.entry(*port).or_default().push((one.source, *mode));
        }
    }
    if at.len() > MAX_PORTS {
        mtls.mode = MtlsMode::Strict;
        at.clear();
    }
    let ports = at
        .into_iter()
        .filter_map(|(port, all)| Some((port, strictest(all.into_iter(), Some(port), &mut conflicts)?)))
        .collect();
    (Authentication { mtls, ports, jwt: None }, conflicts)
}

fn strictest<'a>(
    all: impl Iterator<Item = (&'a str, MtlsMode)> + Clone,
    port: Option<u16>,
    conflicts: &mut Vec<Conflict>,
) -> Option<MtlsRule> {
    // Of equals the first by name, so that the order of objects means nothing.
    let (winner, mode) =
        all.clone().min_by_key(|(source, mode)| (std::cmp::Reverse(mode.strictness()), *source))?;
    for (loser, _) in all.filter(|(_, other)| *other != mode) {
        conflicts.push(Conflict { loser: loser.to_owned(), winner: winner.to_owned(), port });
    }
    Some(MtlsRule { mode, source: winner.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use MtlsMode::{Disabled, Permissive, Strict};

    fn mesh() -> MtlsRule {
        MtlsRule { mode: Permissive, source: "MeshConfig default".to_owned() }
    }

    fn said<'a>(
        source: &'a str,
        level: Level,
        mode: impl Into<Option<MtlsMode>>,
        ports: &[(u16, MtlsMode)],
    ) -> Said<'a> {
        Said { source, level, mode: mode.into(), ports: ports.to_vec() }
    }

    #[test]
    fn port_counts_before_workload_before_namespace_before_mesh() {
        let namespace = || said("ns", Level::Namespace, Strict, &[]);
        let workload = || said("wl", Level::Workload, Disabled, &[]);
        let port = || said("port", Level::Workload, None, &[(80, Strict)]);
        for (case, all, at_80, at_81) in [
            ("nobody", vec![], (Permissive, "MeshConfig default"), (Permissive, "MeshConfig default")),
            ("namespace", vec![namespace()], (Strict, "ns"), (Strict, "ns")),
            ("workload", vec![namespace(), workload()], (Disabled, "wl"), (Disabled, "wl")),
            ("port", vec![port(), namespace(), workload()], (Strict, "port"), (Disabled, "wl")),
            ("port alone", vec![port()], (Strict, "port"), (Permissive, "MeshConfig default")),
        ] {
            let (settled, conflicts) = settle(&mesh(), &all);
            let rule = |port| (settled.at(port).mode, settled.at(port).source.as_str());
            assert_eq!((rule(80), rule(81)), (at_80, at_81), "{case}");
            assert!(conflicts.is_empty(), "{case}: levels are no conflict");
        }
    }

    #[test]
    fn of_one_level_the_strictest_counts_and_the_others_are_told() {
        let all = [
            said("a", Level::Workload, Disabled, &[(80, Permissive)]),
            said("b", Level::Workload, Strict, &[(80, Disabled)]),
            said("c", Level::Workload, Strict, &[]),
        ];
        for all in [all.to_vec(), all.iter().rev().cloned().collect()] {
            let (settled, mut conflicts) = settle(&mesh(), &all);
            conflicts.sort();
            assert_eq!((settled.mtls.mode, settled.mtls.source.as_str()), (Strict, "b"));
            assert_eq!((settled.mode(80), settled.at(80).source.as_str()), (Permissive, "a"));
            let conflict = |loser: &str, winner: &str, port| Conflict {
                loser: loser.to_owned(),
                winner: winner.to_owned(),
                port,
            };
            assert_eq!(conflicts, [conflict("a", "b", None), conflict("b", "a", Some(80))]);
            assert_eq!(settled.sources(), ["a", "b"]);
        }
    }

    #[test]
    fn more_ports_than_are_kept_are_all_strict() {
        let ports: Vec<_> =
            (1..=u16::try_from(MAX_PORTS + 1).unwrap()).map(|port| (port, Disabled)).collect();
        let (settled, _) = settle(&mesh(), &[said("a", Level::Workload, Disabled, &ports)]);
        assert_eq!((settled.mode(1), settled.mode(60_000), settled.ports.len()), (Strict, Strict, 0));
    }
}
