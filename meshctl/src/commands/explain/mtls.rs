//! Which policy says how callers get into the workloads that a request may go to. Pure. Said only where an AuthenticationPolicy does: what
//! MeshConfig says is the same everywhere.

use std::collections::BTreeMap;

use mesh_model::authentication::MtlsRule;
use mesh_model::endpoint::Endpoint;
use mesh_model::settings::MtlsMode;

use super::objects::Objects;

/// A rule that counts for some of the endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counting {
    pub(super) rule: MtlsRule,
    /// In the policy.
    pub(super) field: &'static str,
    /// For whom, each once.
    pub(super) workloads: Vec<String>,
}

impl Counting {
    /// What it means, for people.
    pub(super) fn words(&self) -> String {
        let who = self.workloads.join(", ");
        match self.rule.mode {
            MtlsMode::Strict => format!("{who}: callers without mTLS are refused"),
            MtlsMode::Permissive => format!("{who}: callers without mTLS are taken too"),
            MtlsMode::Disabled => format!("{who}: members call it in plaintext"),
        }
    }
}

/// Every policy that counts for one of these endpoints.
pub(super) fn counting<'a>(
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
    objects: &Objects,
) -> Vec<Counting> {
    let mut found: BTreeMap<(&str, &'static str), Counting> = BTreeMap::new();
    for endpoint in endpoints {
        let Some(workload) = &endpoint.workload else { continue };
        let said = objects.compiled.authentication.of_workload(workload);
        let port = endpoint.address.port();
        let rule = said.at(port);
        if !rule.source.starts_with("AuthenticationPolicy ") {
            continue;
        }
        let field = if said.ports.contains_key(&port) { "spec.mtls.ports" } else { "spec.mtls.mode" };
        let counting = found.entry((&rule.source, field)).or_insert_with(|| Counting {
            rule: rule.clone(),
            field,
            workloads: Vec::new(),
        });
        let workload = workload.to_string();
        if !counting.workloads.contains(&workload) {
            counting.workloads.push(workload);
        }
    }
    found.into_values().collect()
}
