//! Which workloads a policy is for: those that it names, those that serve a Service that it names, those with its labels, or all of its
//! namespace. It must not know what the policy says.
//!
//! Decisions: a policy is for workloads of its own namespace only (GEP-713, direct attachment). A workload serves a Service if the
//! Service selects it, ready or not, or if an EndpointSlice names it: a policy must not wait for readiness. A target that is not there is
//! told; the policy takes effect once it is.

use std::collections::{BTreeMap, BTreeSet};

use mesh_model::name::{ServiceName, WorkloadName};

use super::Reports;
use crate::api::authentication::{WorkloadSelector, WorkloadTarget, WorkloadTargetKind};
use crate::api::slice::Target;
use crate::api::{Kind, ObjectKey};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

type Labels = BTreeMap<String, String>;

/// For whom a policy is.
#[derive(Debug)]
pub(super) enum Members {
    /// Every workload of its namespace, known or not.
    Namespace,
    /// These.
    These(BTreeSet<WorkloadName>),
}

/// Every workload of a namespace, with its labels: pods and Workloads. A pod counts before a Workload of its name.
fn workloads<'a>(
    index: &'a Index,
    namespace: &'a str,
) -> impl Iterator<Item = (WorkloadName, Option<&'a Labels>)> {
    let pods = index.pods.store.of_namespace(Kind::Pod, namespace);
    let pods = pods.map(|(key, entry)| (key, Some(entry.object.labels())));
    let others = index.workloads.store.of_namespace(Kind::Workload, namespace);
    let others = others.map(|(key, entry)| (key, entry.object.metadata.labels.as_ref()));
    pods.chain(others).filter_map(|(key, labels)| Some((WorkloadName(key.model_name()?), labels)))
}

fn has_all(labels: Option<&Labels>, wanted: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

/// The workloads that serve a Service.
fn serving(index: &Index, service: &ServiceName) -> Option<BTreeSet<WorkloadName>> {
    let spec = index.services.find(service)?.object.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref()).filter(|selector| !selector.is_empty());
    let namespace = service.0.namespace();
    let mut found = BTreeSet::new();
    if let Some(selector) = selector {
        let fits = workloads(index, namespace).filter(|(_, labels)| has_all(*labels, selector));
        found.extend(fits.map(|(name, _)| name));
    }
    for (_, slice) in index.slices.of_service(service) {
        let targets = slice.object.endpoints.iter().filter_map(|endpoint| endpoint.target.as_ref());
        // A slice may name whom it likes; a policy speaks for its own namespace.
        let here = targets.map(Target::name).filter(|name| name.0.namespace() == namespace);
        found.extend(here.cloned());
    }
    Some(found)
}

/// Finds them, and says what is named and not there.
pub(super) fn members(
    index: &Index,
    key: &ObjectKey,
    targets: Option<&[WorkloadTarget]>,
    selector: Option<&WorkloadSelector>,
    reports: &mut Reports,
) -> Members {
    if let Some(selector) = selector {
        let fits =
            workloads(index, &key.namespace).filter(|(_, labels)| has_all(*labels, &selector.match_labels));
        let found: BTreeSet<WorkloadName> = fits.map(|(name, _)| name).collect();
        // Files may have policies and no pods.
        if found.is_empty() && workloads(index, &key.namespace).next().is_some() {
            let message = format!(
                "no workload of namespace {} has these labels; the policy takes effect once one has",
                key.namespace
            );
            reports.say(
                key,
                Condition::noted(ConditionType::Accepted, "NoWorkload", "spec.selector.matchLabels", message),
            );
        }
        return Members::These(found);
    }
    let Some(targets) = targets else { return Members::Namespace };
    let mut found = BTreeSet::new();
    for (at, target) in targets.iter().enumerate() {
        match named(index, &key.namespace, target) {
            Ok(mut some) => found.append(&mut some),
            Err(message) => reports.say(
                key,
                Condition::failed(
                    ConditionType::Accepted,
                    "TargetNotFound",
                    format!("spec.targetRefs[{at}].name"),
                    message,
                ),
            ),
        }
    }
    Members::These(found)
}

fn named(index: &Index, namespace: &str, target: &WorkloadTarget) -> Result<BTreeSet<WorkloadName>, String> {
    let absent = |kind: &str| {
        format!("there is no {kind} {namespace}/{}; the policy takes effect once there is", target.name)
    };
    match target.kind {
        WorkloadTargetKind::Service => ServiceName::new(namespace, &target.name)
            .ok()
            .and_then(|name| serving(index, &name))
            .ok_or_else(|| absent("Service")),
        WorkloadTargetKind::Workload => {
            let name = WorkloadName::new(namespace, &target.name).map_err(|_| absent("Workload"))?;
            // Its proxy may be there before the object is, where objects come from a folder: it counts by its name.
            Ok(BTreeSet::from([name]))
        }
    }
}
