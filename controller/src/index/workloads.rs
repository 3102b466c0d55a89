//! Workloads, found by name and by labels. It must not know services.

use std::collections::BTreeMap;

use mesh_model::name::WorkloadName;

use super::store::{Entry, Store};
use crate::api::{Kind, ObjectKey, Workload};

/// Workloads by name.
#[derive(Debug, Default)]
pub struct Workloads {
    /// All of them.
    pub store: Store<Workload>,
}

impl Workloads {
    /// The workload of that name.
    pub fn find(&self, name: &WorkloadName) -> Option<&Entry<Workload>> {
        self.store.find(&ObjectKey::of(Kind::Workload, &name.0))
    }

    /// Those of a namespace that have all labels of `selector`. An empty selector selects none (as for a Service).
    pub fn selected<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (WorkloadName, &'a Entry<Workload>)> {
        let fits = |workload: &Workload| {
            let labels = workload.metadata.labels.as_ref();
            !selector.is_empty()
                && selector.iter().all(|(name, value)| labels.and_then(|l| l.get(name)) == Some(value))
        };
        // Most Services have no Workload: they are not asked about those of others.
        let here = self.store.of_namespace(Kind::Workload, namespace);
        here.filter(move |(_, entry)| fits(&entry.object))
            .filter_map(|(key, entry)| Some((WorkloadName(key.model_name()?), entry)))
    }
}
