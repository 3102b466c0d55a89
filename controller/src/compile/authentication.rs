//! Whom each workload lets in unauthenticated: AuthenticationPolicies put together, and contradictions told. It must not know endpoints.
//!
//! Decisions: which policy counts is [`mesh_model::authentication::settle`]. A policy that cannot be read, and never could, may have been
//! about any workload of its namespace and any port: all of them are strict until it is repaired, and no
//! token is good there (INV-7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::authentication::jwt::{self, JwtRules};
use mesh_model::authentication::{Authentication, Conflict, Level, MtlsRule, Said, settle};
use mesh_model::name::WorkloadName;
use mesh_model::settings::{MeshSettings, MtlsMode};

use super::Reports;
use super::targets::{self, Members};
use crate::api::amime::MtlsModeSetting;
use crate::api::{AuthenticationPolicy, Kind, ObjectKey, lower};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// What counts for each workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentications {
    mesh: Arc<Authentication>,
    namespaces: BTreeMap<Arc<str>, Arc<Authentication>>,
    workloads: BTreeMap<WorkloadName, Arc<Authentication>>,
    /// Every policy, also those whose word does not count.
    speakers: Vec<Speaker>,
}

/// A policy and for whom it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Speaker {
    source: String,
    namespace: Arc<str>,
    /// `None`: everybody of its namespace.
    workloads: Option<BTreeSet<WorkloadName>>,
}

impl Authentications {
    /// Every policy that speaks of a workload, whether its word counts or not, as `AuthenticationPolicy NS/NAME`.
    pub fn speaking<'a>(&'a self, workload: &'a WorkloadName) -> impl Iterator<Item = &'a str> {
        let speaks = |one: &&Speaker| match &one.workloads {
            None => &*one.namespace == workload.0.namespace(),
            Some(these) => these.contains(workload),
        };
        self.speakers.iter().filter(speaks).map(|one| one.source.as_str())
    }

    /// The workloads that a policy names; `None`: it is for everybody of its namespace, or is not known.
    pub fn named_by(&self, source: &str) -> Option<&BTreeSet<WorkloadName>> {
        self.speakers.iter().find(|one| one.source == source)?.workloads.as_ref()
    }

    /// What counts for a workload of that namespace; for one that no policy names, and for one that is not known: what its namespace says.
    pub fn of(&self, namespace: &str, workload: Option<&WorkloadName>) -> &Arc<Authentication> {
        let named = workload.and_then(|workload| self.workloads.get(workload));
        named.or_else(|| self.namespaces.get(namespace)).unwrap_or(&self.mesh)
    }

    /// What counts where no policy of a namespace does.
    pub fn mesh(&self) -> &Arc<Authentication> {
        &self.mesh
    }

    /// What counts for workloads of a namespace that no policy names.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Authentication>)> {
        self.namespaces.iter()
    }

    /// What counts for workloads that policies name.
    pub fn workloads(&self) -> impl Iterator<Item = (&WorkloadName, &Arc<Authentication>)> {
        self.workloads.iter()
    }

    /// What counts for a workload.
    pub fn of_workload(&self, workload: &WorkloadName) -> &Arc<Authentication> {
        self.of(workload.0.namespace(), Some(workload))
    }
}

/// A policy as it is read.
struct Policy {
    source: String,
    mode: Option<MtlsMode>,
    ports: Vec<(u16, MtlsMode)>,
    jwt: Option<JwtRules>,
    members: Members,
}

impl Policy {
    fn speaker(&self, namespace: &Arc<str>) -> Speaker {
        let workloads = match &self.members {
            Members::Namespace => None,
            Members::These(these) => Some(these.clone()),
        };
        Speaker { source: self.source.clone(), namespace: Arc::clone(namespace), workloads }
    }
}

/// Puts everything together.
pub fn compile(index: &Index, mesh: &MeshSettings, reports: &mut Reports) -> Authentications {
    let source = index.settings.find().map(|(key, _)| key.to_string()).unwrap_or_default();
    let mesh = MtlsRule { mode: mesh.mtls_mode, source };
    let mut policies: BTreeMap<Arc<str>, Vec<Policy>> = BTreeMap::new();
    for (key, entry) in index.policies.authentication.iter() {
        reports.object(key, &entry.origin, None);
        let Some(policy) = read(index, key, &entry.object, reports) else { continue };
        reports.carried_by(key, policy.source.clone());
        policies.entry(Arc::clone(&key.namespace)).or_default().push(policy);
    }
    let mut found = Authentications {
        mesh: Arc::new(Authentication { mtls: mesh.clone(), ports: BTreeMap::new(), jwt: None }),
        namespaces: BTreeMap::new(),
        workloads: BTreeMap::new(),
        speakers: Vec::new(),
    };
    let (mut conflicts, mut losers) = (BTreeMap::new(), BTreeSet::new());
    for (namespace, policies) in policies {
        found.speakers.extend(policies.iter().map(|policy| policy.speaker(&namespace)));
        let (mut own, some) = settle(&mesh, &said(&policies, None));
        note(some, None, &mut conflicts);
        own.jwt = tokens(&policies, None, &mut losers).map(Arc::new);
        found.namespaces.insert(namespace, Arc::new(own));
        let named: BTreeSet<&WorkloadName> = policies
            .iter()
            .filter_map(|policy| match &policy.members {
                Members::Namespace => None,
                Members::These(these) => Some(these),
            })
            .flatten()
            .collect();
        for workload in named {
            let (mut settled, some) = settle(&mesh, &said(&policies, Some(workload)));
            note(some, Some(workload), &mut conflicts);
            settled.jwt = tokens(&policies, Some(workload), &mut losers).map(Arc::new);
            let mapped = at_sidecar(index, workload, settled);
            found.workloads.insert(workload.clone(), Arc::new(mapped));
        }
    }
    tell(index, conflicts, reports);
    tell_losers(index, losers, reports);
    for key in index.refused.iter().filter(|key| key.kind == Kind::AuthenticationPolicy) {
        let closed = Arc::new(Authentication::closed(key.to_string()));
        found.workloads.retain(|workload, _| workload.0.namespace() != &*key.namespace);
        found.namespaces.insert(Arc::clone(&key.namespace), closed);
    }
    found
}

fn read(
    index: &Index,
    key: &ObjectKey,
    policy: &AuthenticationPolicy,
    reports: &mut Reports,
) -> Option<Policy> {
    let spec = &policy.spec;
    let members = targets::members(index, key, spec.target_refs.as_deref(), spec.selector.as_ref(), reports);
    if spec.mtls.is_none() && spec.jwt.is_none() {
        return None;
    }
    let mtls = spec.mtls.as_ref();
    let ports = mtls.and_then(|mtls| mtls.ports.as_deref()).unwrap_or_default();
    let source = key.to_string();
    let jwt = spec.jwt.as_ref().map(|jwt| {
        lower::jwt::lower(&source, jwt, |uri| {
            index.keys.get(uri).and_then(|known| known.jwks.as_deref()).map(str::to_owned)
        })
    });
    for (at, issuer) in spec.jwt.iter().flat_map(|jwt| &jwt.issuers).enumerate() {
        // Also where nobody fetches anything, such as at a desk: that an address is never asked does not depend on its answer.
        if let Some(why) = issuer.jwks_uri.as_deref().and_then(mesh_fetch::never) {
            let field = format!("spec.jwt.issuers[{at}].jwksUri");
            let message = format!("{why}; no token of this issuer is good until its keys are elsewhere");
            reports.say(key, Condition::failed(ConditionType::ResolvedRefs, "KeysForbidden", field, message));
            continue;
        }
        let Some(known) = issuer.jwks_uri.as_deref().and_then(|uri| index.keys.get(uri)) else { continue };
        let Some(trouble) = &known.trouble else { continue };
        let (reason, effect) = match known.jwks {
            Some(_) => ("KeysStale", "those that were fetched last count until they are an hour old"),
            None => ("KeysUnavailable", "no token of this issuer is good until they are there"),
        };
        let field = format!("spec.jwt.issuers[{at}].jwksUri");
        let message = format!("the keys cannot be fetched: {trouble}; {effect}");
        reports.say(key, Condition::failed(ConditionType::ResolvedRefs, reason, field, message));
    }
    Some(Policy {
        mode: mtls.and_then(|mtls| mtls.mode).map(mode),
        ports: ports.iter().map(|port| (port.port, mode(port.mode))).collect(),
        source,
        jwt,
        members,
    })
}

/// What the policies of a namespace ask of tokens at a workload; `None`: at one that none of them names. Notes whose word does not count,
/// and whose does.
fn tokens(
    policies: &[Policy],
    workload: Option<&WorkloadName>,
    losers: &mut BTreeSet<(String, String)>,
) -> Option<JwtRules> {
    let all = policies.iter().filter_map(|policy| Some((level(policy, workload)?, policy.jwt.as_ref()?)));
    let (winner, some) = jwt::settle(&all.collect::<Vec<_>>());
    losers.extend(some.into_iter().map(|(loser, winner)| (loser.to_owned(), winner.to_owned())));
    winner.cloned()
}

/// For what a policy speaks at a workload, if it does.
fn level(policy: &Policy, workload: Option<&WorkloadName>) -> Option<Level> {
    match &policy.members {
        Members::Namespace => Some(Level::Namespace),
        Members::These(these) if workload.is_some_and(|workload| these.contains(workload)) => {
            Some(Level::Workload)
        }
        Members::These(_) => None,
    }
}

pub(super) fn mode(setting: MtlsModeSetting) -> MtlsMode {
    match setting {
        MtlsModeSetting::Strict => MtlsMode::Strict,
        MtlsModeSetting::Permissive => MtlsMode::Permissive,
        MtlsModeSetting::Disabled => MtlsMode::Disabled,
    }
}

/// What the policies of a namespace say of a workload; `None`: of one that none of them names.
fn said<'a>(policies: &'a [Policy], workload: Option<&WorkloadName>) -> Vec<Said<'a>> {
    let one = |policy: &'a Policy| {
        let level = level(policy, workload)?;
        Some(Said { source: &policy.source, level, mode: policy.mode, ports: policy.ports.clone() })
    };
    policies.iter().filter_map(one).collect()
}

/// Ports as the sidecar takes them: of a workload whose sidecar has ports of its own for the application's.
fn at_sidecar(index: &Index, workload: &WorkloadName, said: Authentication) -> Authentication {
    if index.pods.find(workload).is_some() {
        return said;
    }
    let Some(object) = index.workloads.find(workload).map(|entry| &entry.object) else { return said };
    let own = |port: u16| {
        let own = object.spec.ports.iter().find(|own| own.port == port);
        own.and_then(|own| own.mesh_port).unwrap_or(port)
    };
    let mut ports: BTreeMap<u16, MtlsRule> = BTreeMap::new();
    for (port, rule) in said.ports {
        // Two that come to the same port of the sidecar cannot be told apart there: the stricter one counts.
        match ports.get_mut(&own(port)) {
            Some(other) if other.mode.strictness() >= rule.mode.strictness() => {}
            Some(other) => *other = rule,
            None => {
                ports.insert(own(port), rule);
            }
        }
    }
    let jwt = said.jwt.map(|rules| {
        let ports = rules.ports.iter().map(|port| own(*port)).collect();
        Arc::new(JwtRules { ports, ..JwtRules::clone(&rules) })
    });
    Authentication { ports, jwt, ..said }
}

/// Conflicts, each with the first workload that has it; none for the whole namespace.
type Conflicts = BTreeMap<Conflict, Option<WorkloadName>>;

fn note(some: Vec<Conflict>, workload: Option<&WorkloadName>, conflicts: &mut Conflicts) {
    for conflict in some {
        conflicts.entry(conflict).or_insert_with(|| workload.cloned());
    }
}

fn tell(index: &Index, conflicts: Conflicts, reports: &mut Reports) {
    let keys: BTreeMap<String, &ObjectKey> =
        index.policies.authentication.iter().map(|(key, _)| (key.to_string(), key)).collect();
    for (conflict, workload) in conflicts {
        let Some(key) = keys.get(&conflict.loser) else { continue };
        let of = match &workload {
            Some(workload) => format!("workload {workload}"),
            None => format!("namespace {}", key.namespace),
        };
        let (field, place) = match conflict.port {
            Some(port) => ("spec.mtls.ports", format!("port {port} of {of}")),
            None => ("spec.mtls.mode", of),
        };
        let message = format!(
            "{} says something stricter of {place}, and that counts; make the two agree or remove one",
            conflict.winner
        );
        reports.say(key, Condition::failed(ConditionType::Accepted, "Conflicted", field, message));
    }
}

fn tell_losers(index: &Index, losers: BTreeSet<(String, String)>, reports: &mut Reports) {
    for (key, _) in index.policies.authentication.iter() {
        let name = key.to_string();
        let Some((_, winner)) = losers.iter().find(|(loser, _)| *loser == name) else { continue };
        let message = format!(
            "{winner} asks for tokens of the same workloads, and that counts; put the issuers into one policy, or tell the workloads apart"
        );
        reports.say(key, Condition::failed(ConditionType::Accepted, "Conflicted", "spec.jwt", message));
    }
}

#[cfg(test)]
mod tests;
