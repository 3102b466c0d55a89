//! Which authorization policies protect which workload, and at which ports. It must not know what a rule means.
//!
//! Decisions:
//! - A policy protects objects of its own namespace only: a target has no namespace (GEP-713, direct attachment), so that nothing can be
//!   learnt or changed across namespaces.
//! - What a Service means to a policy is whom its selector selects, ready or not: who is taken out of a Service for a while can still be
//!   dialled at its own address. The Host header of a request never decides which policies count.
//! - Nothing that cannot be found makes a policy protect less. A port that a Service does not have: the policy holds at every port of its
//!   workloads. A Service that is gone: it holds where the Service last was. One that never was: there is nothing that could be meant.
//! - A workload has at most [`MAX_POLICIES`]; beyond that it is closed, since leaving one out could open it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service as KubeService;
use mesh_model::asking::ExternalAuth;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::policy::{self, AuthorizationPolicy, Scope};

use super::Reports;
use super::endpoints::{Target, target_port, workload_port};
use super::routes::{Refs, Services};
use crate::api::authorization::{AuthorizationTarget, AuthorizationTargetKind};
use crate::api::lower::asking::LoweredAuth;
use crate::api::{Kind, ObjectKey, Pod, Workload, lower};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// Policies of one workload.
pub const MAX_POLICIES: usize = 256;

/// Who is protected by what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorization {
    /// Of the workloads that some policy with a target protects: all that protect each, ordered by name.
    workloads: BTreeMap<WorkloadName, Vec<Arc<AuthorizationPolicy>>>,
    /// Of every other workload, by namespace.
    namespaces: BTreeMap<Arc<str>, Vec<Arc<AuthorizationPolicy>>>,
}

impl Authorization {
    /// The policies of a workload, ordered by name.
    pub fn of(&self, workload: &WorkloadName) -> &[Arc<AuthorizationPolicy>] {
        self.workloads.get(workload).map_or_else(|| self.of_namespace(workload.0.namespace()), Vec::as_slice)
    }

    /// The policies of a workload in that namespace that nothing else is known of.
    pub fn of_namespace(&self, namespace: &str) -> &[Arc<AuthorizationPolicy>] {
        self.namespaces.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// Workloads that some policy with a target protects.
    pub fn workloads(&self) -> impl Iterator<Item = (&WorkloadName, &[Arc<AuthorizationPolicy>])> {
        self.workloads.iter().map(|(name, policies)| (name, policies.as_slice()))
    }

    /// Namespaces in which everybody is protected by something.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<AuthorizationPolicy>])> {
        self.namespaces.iter().map(|(name, policies)| (name, policies.as_slice()))
    }
}

/// Finds whom every policy protects.
pub fn compile(index: &Index, services: &Services, reports: &mut Reports) -> Authorization {
    let mut found: BTreeMap<WorkloadName, Vec<Arc<AuthorizationPolicy>>> = BTreeMap::new();
    let mut namespaces: BTreeMap<Arc<str>, Vec<Arc<AuthorizationPolicy>>> = BTreeMap::new();
    for (key, entry) in index.policies.authorization.iter() {
        let Some(name) = key.model_name() else { continue };
        let spec = &entry.object.spec;
        let lowered = lower::authorization::lower(&entry.object).0;
        reports.object(key, &entry.origin, Some(policy::resource_name(&name)));
        let external = lowered.external.map(|external| resolve(&external, key, services, reports));
        let policy = AuthorizationPolicy {
            name,
            action: lowered.action,
            rules: lowered.rules,
            external,
            scope: Scope::All,
            refused: spec.refused.clone(),
            origin: entry.origin.to_string(),
        };
        let search = Search { index, services, key };
        let places = match (&spec.target_refs, &spec.selector) {
            (Some(targets), _) => search.targets(targets, reports),
            (None, Some(selector)) => search.selected(&selector.match_labels, reports),
            (None, None) => {
                namespaces.entry(Arc::clone(&key.namespace)).or_default().push(Arc::new(policy));
                continue;
            }
        };
        let mut forms: HashMap<Scope, Arc<AuthorizationPolicy>> = HashMap::new();
        for (workload, scope) in places {
            let form = forms
                .entry(scope.clone())
                .or_insert_with(|| Arc::new(AuthorizationPolicy { scope, ..policy.clone() }));
            found.entry(workload).or_default().push(Arc::clone(form));
        }
    }
    let workloads = found.into_iter().map(|(workload, mut own)| {
        own.extend(namespaces.get(workload.0.namespace()).into_iter().flatten().cloned());
        own.sort_by(|a, b| a.name.cmp(&b.name));
        (workload, own)
    });
    let mut authorization = Authorization { workloads: workloads.collect(), namespaces };
    let lists = authorization.workloads.values_mut().chain(authorization.namespaces.values_mut());
    lists.for_each(|policies| bound(policies, reports));
    authorization
}

/// Whom a policy has asked. Nobody who can be found: then what it protects is refused.
fn resolve(
    external: &LoweredAuth,
    key: &ObjectKey,
    services: &Services,
    reports: &mut Reports,
) -> ExternalAuth {
    let refs = Refs { key, parents: &[] };
    let mut conditions = Vec::new();
    let target = refs.target(&external.reference, services).unwrap_or_else(|invalid| {
        let meaning = "requests that fit the policy are refused";
        refs.invalid(&external.reference, invalid, meaning, &mut conditions)
    });
    for condition in conditions {
        reports.say(key, condition);
    }
    external.resolved(target)
}

/// Too many: the first one that has no room is replaced by one that denies everything.
fn bound(policies: &mut Vec<Arc<AuthorizationPolicy>>, reports: &mut Reports) {
    if policies.len() <= MAX_POLICIES {
        return;
    }
    let beyond: Vec<Name> =
        policies.split_off(MAX_POLICIES - 1).iter().map(|policy| policy.name.clone()).collect();
    let why = format!("the workload has more than {MAX_POLICIES} policies");
    policies.extend(beyond.first().map(|name| Arc::new(AuthorizationPolicy::closed(name.clone(), why))));
    for name in beyond {
        let key = ObjectKey::new(Kind::AuthorizationPolicy, name.namespace(), name.name());
        let message = format!(
            "a workload that it protects has more than {MAX_POLICIES} policies and is closed; put rules into fewer policies"
        );
        reports.say(&key, Condition::failed(ConditionType::Accepted, "TooManyPolicies", "spec", message));
    }
}

/// Somebody who may be protected.
#[derive(Clone, Copy)]
enum Member<'a> {
    Pod(&'a Pod),
    Workload(&'a Workload),
}

impl Member<'_> {
    fn has(self, labels: &BTreeMap<String, String>) -> bool {
        let own = match self {
            Self::Pod(pod) => Some(pod.labels()),
            Self::Workload(workload) => workload.metadata.labels.as_ref(),
        };
        labels.iter().all(|(name, value)| own.and_then(|own| own.get(name)) == Some(value))
    }
}

/// Finds whom one policy protects.
struct Search<'a> {
    index: &'a Index,
    services: &'a Services,
    key: &'a ObjectKey,
}

impl<'a> Search<'a> {
    /// Every pod and Workload of the namespace.
    fn members(&self) -> impl Iterator<Item = (WorkloadName, Member<'a>)> {
        let name = |key: &ObjectKey| key.model_name().map(WorkloadName);
        let pods = self.index.pods.store.of_namespace(Kind::Pod, &self.key.namespace);
        let pods = pods.filter_map(move |(key, entry)| Some((name(key)?, Member::Pod(&entry.object))));
        let workloads = self.index.workloads.store.of_namespace(Kind::Workload, &self.key.namespace);
        let workloads =
            workloads.filter_map(move |(key, entry)| Some((name(key)?, Member::Workload(&entry.object))));
        pods.chain(workloads)
    }

    fn selected(
        &self,
        labels: &BTreeMap<String, String>,
        reports: &mut Reports,
    ) -> BTreeMap<WorkloadName, Scope> {
        let found: BTreeMap<_, _> = self
            .members()
            .filter(|(_, member)| !labels.is_empty() && member.has(labels))
            .map(|(name, _)| (name, Scope::All))
            .collect();
        if found.is_empty() {
            let message = format!(
                "selects no pod and no Workload of namespace {} now; it takes effect when there is one",
                self.key.namespace
            );
            let note = Condition::noted(
                ConditionType::ResolvedRefs,
                "NothingSelected",
                "spec.selector.matchLabels",
                message,
            );
            reports.say(self.key, note);
        }
        found
    }

    fn targets(
        &self,
        targets: &[AuthorizationTarget],
        reports: &mut Reports,
    ) -> BTreeMap<WorkloadName, Scope> {
        let mut found: BTreeMap<WorkloadName, Scope> = BTreeMap::new();
        for (at, target) in targets.iter().enumerate() {
            let mut places = Places::default();
            let missing = match target.kind {
                AuthorizationTargetKind::Workload => self.workload(target, &mut places),
                AuthorizationTargetKind::Service => self.service(target, &mut places),
            };
            if let Err((part, message)) = missing {
                let field = format!("spec.targetRefs[{at}].{part}");
                reports.say(
                    self.key,
                    Condition::failed(ConditionType::ResolvedRefs, "TargetNotFound", field, message),
                );
            }
            for (workload, ports) in places.0 {
                let scope = ports.map_or(Scope::All, |ports| Scope::Ports(ports.into_iter().collect()));
                match found.entry(workload) {
                    std::collections::btree_map::Entry::Vacant(free) => {
                        free.insert(scope);
                    }
                    std::collections::btree_map::Entry::Occupied(mut there) => {
                        let both = union(there.get(), &scope);
                        there.insert(both);
                    }
                }
            }
        }
        found
    }

    fn workload(&self, target: &AuthorizationTarget, places: &mut Places) -> Result<(), Missing> {
        let key = ObjectKey::new(Kind::Workload, &self.key.namespace, &target.name);
        let name = self.index.workloads.store.find(&key).and_then(|_| key.model_name());
        let Some(name) = name else {
            let message = format!("there is no {key}; the policy takes effect once there is");
            return Err(("name", message));
        };
        places.all(WorkloadName(name));
        Ok(())
    }

    fn service(&self, target: &AuthorizationTarget, places: &mut Places) -> Result<(), Missing> {
        let key = ObjectKey::new(Kind::Service, &self.key.namespace, &target.name);
        let there = self.index.services.store.find(&key).map(|entry| &entry.object);
        let gone = || self.index.services.gone(&key);
        let Some(object) = there.or_else(gone) else {
            let message = format!("there is no {key}; the policy takes effect once there is");
            return Err(("name", message));
        };
        let (ports, missing) = wanted_ports(object, target, &key);
        self.by_selector(object, ports.as_deref(), places);
        if let Ok(name) = ServiceName::new(&key.namespace, &key.name) {
            self.by_endpoints(&name, ports.as_deref(), places);
        }
        match (there, missing) {
            (None, _) => {
                let message = format!("{key} is gone; the policy stays where the Service last was");
                Err(("name", message))
            }
            (Some(_), Some(missing)) => Err(missing),
            (Some(_), None) => Ok(()),
        }
    }

    /// Whom the Service selects. Without `ports`: at every port.
    fn by_selector(&self, object: &KubeService, ports: Option<&[u16]>, places: &mut Places) {
        let selector = object.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { return };
        for (name, member) in self.members().filter(|(_, member)| member.has(selector)) {
            let Some(ports) = ports else {
                places.all(name);
                continue;
            };
            for port in ports {
                match self.application_port(object, *port, &name, member) {
                    Some(port) => places.port(name.clone(), port),
                    None => places.all(name.clone()),
                }
            }
        }
    }

    /// Where the application listens for a port of the Service. `None`: that is not known.
    fn application_port(
        &self,
        object: &KubeService,
        port: u16,
        name: &WorkloadName,
        member: Member<'_>,
    ) -> Option<u16> {
        let target = target_port(object, port);
        match (&target, member) {
            (Target::Number(number), _) => Some(*number),
            (Target::Name(_), Member::Workload(workload)) => Some(workload_port(workload, &target)?.port),
            // Only the slices of the Service say which port of a pod has that name.
            (Target::Name(_), Member::Pod(_)) => {
                let service = ServiceName::new(&self.key.namespace, object.metadata.name.as_deref()?).ok()?;
                let endpoints = self.services.get(&service)?.1.port(port);
                let own = endpoints.iter().find(|endpoint| endpoint.workload.as_ref() == Some(name))?;
                Some(own.address.port())
            }
        }
    }

    /// Whom slices put into the Service.
    fn by_endpoints(&self, name: &ServiceName, ports: Option<&[u16]>, places: &mut Places) {
        let Some((_, endpoints)) = self.services.get(name) else { return };
        for port in &endpoints.ports {
            if ports.is_some_and(|ports| !ports.contains(&port.service_port)) {
                continue;
            }
            for endpoint in &port.endpoints {
                let Some(workload) = &endpoint.workload else { continue };
                let number = self.index.workloads.find(workload).and_then(|entry| {
                    let ports = &entry.object.spec.ports;
                    let own = ports.iter().find(|own| own.mesh_port == Some(endpoint.address.port()))?;
                    // Several ports of the application may share one of the proxy.
                    (ports.iter().filter(|other| other.mesh_port == own.mesh_port).count() == 1)
                        .then_some(own.port)
                });
                let shared = self.index.workloads.find(workload).is_some_and(|entry| {
                    entry.object.spec.ports.iter().any(|own| own.mesh_port == Some(endpoint.address.port()))
                });
                match (ports, number, shared) {
                    (None, ..) => places.all(workload.clone()),
                    (Some(_), Some(number), _) => places.port(workload.clone(), number),
                    // The selector has named the ports already, where there is one.
                    (Some(_), None, true) => {}
                    (Some(_), None, false) => places.port(workload.clone(), endpoint.address.port()),
                }
            }
        }
    }
}

/// Which part of a reference leads nowhere, and why.
type Missing = (&'static str, String);

/// The ports of the Service that a reference means. `None`: at every port of its workloads.
fn wanted_ports(
    object: &KubeService,
    target: &AuthorizationTarget,
    key: &ObjectKey,
) -> (Option<Vec<u16>>, Option<Missing>) {
    let ports = object.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let ports = ports.iter().filter(|port| port.protocol.as_deref() != Some("UDP"));
    let ports: Vec<(Option<&str>, u16)> =
        ports.filter_map(|port| Some((port.name.as_deref(), u16::try_from(port.port).ok()?))).collect();
    let held = "the policy holds at every port of its workloads until it has";
    match (&target.section_name, target.port) {
        (Some(section), _) => match ports.iter().find(|(name, _)| *name == Some(section)) {
            Some((_, port)) => (Some(vec![*port]), None),
            None => (None, Some(("sectionName", format!("{key} has no port named `{section}`; {held}")))),
        },
        (None, Some(port)) if ports.iter().any(|(_, known)| *known == port) => (Some(vec![port]), None),
        (None, Some(port)) => (None, Some(("port", format!("{key} has no port {port}; {held}")))),
        (None, None) => (Some(ports.into_iter().map(|(_, port)| port).collect()), None),
    }
}

/// Workloads with the ports that are protected; `None`: all of them.
#[derive(Default)]
struct Places(BTreeMap<WorkloadName, Option<BTreeSet<u16>>>);

impl Places {
    fn all(&mut self, workload: WorkloadName) {
        self.0.insert(workload, None);
    }

    fn port(&mut self, workload: WorkloadName, port: u16) {
        if let Some(ports) = self.0.entry(workload).or_insert_with(|| Some(BTreeSet::new())) {
            ports.insert(port);
        }
    }
}

fn union(a: &Scope, b: &Scope) -> Scope {
    match (a, b) {
        (Scope::Ports(a), Scope::Ports(b)) => {
            Scope::Ports(a.iter().chain(b).copied().collect::<BTreeSet<_>>().into_iter().collect())
        }
        (Scope::All, _) | (_, Scope::All) => Scope::All,
    }
}

#[cfg(test)]
mod tests;
