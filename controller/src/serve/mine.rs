//! What proxies are told of their own workloads' authentication: encoded once for each meaning, found by workload, then by namespace, then
//! for the whole mesh. All of them have one name, so they are not among the other resources. It must not know streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mesh_model::authentication::Authentication;
use mesh_model::name::WorkloadName;
use mesh_proto::convert::ModelResource;

use super::snapshot::{Resource, encode};
use crate::compile::authentication::Authentications;

/// What one proxy is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mine {
    /// As it goes to the proxy.
    pub resource: Arc<Resource>,
    /// The objects that it was made of, as a status names them.
    pub sources: Arc<[Arc<str>]>,
}

/// What every proxy is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllMine {
    mesh: Mine,
    namespaces: BTreeMap<Arc<str>, Mine>,
    workloads: BTreeMap<WorkloadName, Mine>,
}

impl AllMine {
    /// What means the same as before is taken from there, bytes and all.
    pub(super) fn build(all: &Authentications, before: Option<&Self>) -> Self {
        let mut known: HashMap<Arc<str>, Mine> = HashMap::new();
        if let Some(before) = before {
            let of_before = before.namespaces.values().chain(before.workloads.values()).chain([&before.mesh]);
            known.extend(of_before.map(|mine| (Arc::clone(&mine.resource.version), mine.clone())));
        }
        let mut mine = |said: &Authentication| {
            let model = ModelResource::Authentication(said.clone());
            let version = model.version();
            if let Some(mine) = known.get(version.as_str()) {
                return mine.clone();
            }
            let resource = Arc::new(encode(&model, version));
            let sources: Arc<[Arc<str>]> = said.sources().into_iter().map(Arc::from).collect();
            let mine = Mine { resource, sources };
            known.insert(Arc::clone(&mine.resource.version), mine.clone());
            mine
        };
        Self {
            mesh: mine(all.mesh()),
            namespaces: all.namespaces().map(|(name, said)| (Arc::clone(name), mine(said))).collect(),
            workloads: all.workloads().map(|(name, said)| (name.clone(), mine(said))).collect(),
        }
    }

    /// Workloads that are told something else than before; `None`: others are too.
    pub(super) fn unlike(&self, before: &Self) -> Option<BTreeSet<WorkloadName>> {
        if self.mesh != before.mesh || self.namespaces != before.namespaces {
            return None;
        }
        let all = self.workloads.keys().chain(before.workloads.keys());
        Some(all.filter(|name| self.workloads.get(*name) != before.workloads.get(*name)).cloned().collect())
    }

    /// What a workload of that namespace is told.
    pub(super) fn of(&self, namespace: &str, workload: Option<&WorkloadName>) -> &Mine {
        let named = workload.and_then(|workload| self.workloads.get(workload));
        named.or_else(|| self.namespaces.get(namespace)).unwrap_or(&self.mesh)
    }
}
