//! Authorization policies as they go to the proxies of the workloads that they protect: each form encoded once. It must not know streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mesh_model::name::WorkloadName;
use mesh_model::policy::AuthorizationPolicy;
use mesh_proto::convert::ModelResource;

use super::snapshot::{Resource, encode};
use crate::compile::authorization::Authorization;

type Guard = Arc<[Arc<Resource>]>;

/// Who may call each workload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Guards {
    /// Of workloads that some policy with a target protects.
    workloads: BTreeMap<WorkloadName, Guard>,
    /// Of every other workload, by namespace.
    namespaces: BTreeMap<Arc<str>, Guard>,
}

impl Guards {
    /// What is the same as before is taken from there.
    pub(super) fn build(authorization: &Authorization, before: Option<&Self>) -> Self {
        let mut encoder = Encoder::new(before);
        let workloads = authorization.workloads();
        let workloads = workloads.map(|(name, policies)| (name.clone(), encoder.all(policies))).collect();
        let namespaces = authorization.namespaces();
        let namespaces =
            namespaces.map(|(name, policies)| (Arc::clone(name), encoder.all(policies))).collect();
        Self { workloads, namespaces }
    }

    /// Workloads to which something else applies than before; `None`: it does to others too.
    pub(super) fn unlike(&self, before: &Self) -> Option<BTreeSet<WorkloadName>> {
        if self.namespaces != before.namespaces {
            return None;
        }
        let all = self.workloads.keys().chain(before.workloads.keys());
        Some(all.filter(|name| self.workloads.get(*name) != before.workloads.get(*name)).cloned().collect())
    }

    /// Who may call that workload; without a name that is known, what holds for everybody in its namespace.
    pub(super) fn of(&self, workload: Option<&WorkloadName>, namespace: &str) -> &[Arc<Resource>] {
        let own = workload.and_then(|workload| self.workloads.get(workload));
        own.or_else(|| self.namespaces.get(namespace)).map(|all| &**all).unwrap_or_default()
    }
}

/// Encodes each form of a policy once: one object has several where it protects different ports of different workloads.
struct Encoder<'a> {
    before: HashMap<(&'a str, &'a str), &'a Arc<Resource>>,
    made: HashMap<*const AuthorizationPolicy, Arc<Resource>>,
}

impl<'a> Encoder<'a> {
    fn new(before: Option<&'a Guards>) -> Self {
        let lists = before.into_iter().flat_map(|it| it.workloads.values().chain(it.namespaces.values()));
        let before = lists.flat_map(|list| list.iter()).map(|it| ((&*it.name, &*it.version), it)).collect();
        Self { before, made: HashMap::new() }
    }

    fn all(&mut self, policies: &[Arc<AuthorizationPolicy>]) -> Guard {
        policies.iter().map(|policy| self.one(policy)).collect()
    }

    fn one(&mut self, policy: &Arc<AuthorizationPolicy>) -> Arc<Resource> {
        let Self { before, made } = self;
        let make = || {
            let model = ModelResource::Authorization(AuthorizationPolicy::clone(policy));
            let (name, version) = (model.name(), model.version());
            match before.get(&(name.as_str(), version.as_str())) {
                Some(known) => Arc::clone(known),
                None => Arc::new(encode(&model, version)),
            }
        };
        Arc::clone(made.entry(Arc::as_ptr(policy)).or_insert_with(make))
    }
}
