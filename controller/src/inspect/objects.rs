//! What is to be said about every object: what its source found, what compiling found, and on how many proxies it is in force. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;
use mesh_proto::inspect::v1::{Condition as WireCondition, ObjectStatus};

use super::facts::Facts;
use crate::api::ObjectKey;
use crate::compile::canary::Release;
use crate::shared::SharedMap;
use crate::sources::state::{Effect, Report};
use crate::status::programmed::Programmed;
use crate::status::{Condition, ConditionType, ObjectReport, Verdict};

/// What is known about objects at one revision.
#[derive(Debug, Default)]
pub struct Objects {
    /// By the source.
    pub problems: Vec<Report>,
    /// By compiling.
    pub compiled: SharedMap<ObjectKey, ObjectReport>,
    /// Generations of objects of a cluster; a folder has none.
    pub generations: Arc<BTreeMap<ObjectKey, i64>>,
    /// Where replicas of the controller are, with the name of each one's workload.
    pub replicas: Vec<(Option<WorkloadName>, SocketAddr)>,
    /// Releases.
    pub releases: Vec<Release>,
    /// What traffic is told together with.
    pub facts: Facts,
}

impl Objects {
    /// Where the replicas are that are not this pod.
    pub fn others(&self, namespace: &str, pod: &str) -> Vec<SocketAddr> {
        let is_own = |workload: &Option<WorkloadName>| {
            workload.as_ref().is_some_and(|name| name.0.namespace() == namespace && name.0.name() == pod)
        };
        let others = self.replicas.iter().filter(|(workload, _)| !is_own(workload));
        others.map(|(_, address)| *address).collect()
    }

    /// The resource that carries the object of that name (`KIND NS/NAME`) to proxies, if it is told by itself.
    pub fn resource(&self, object: &str) -> Option<&str> {
        let (_, report) = self.compiled.iter().find(|(key, _)| key.to_string() == object)?;
        report.resource.as_deref()
    }

    /// The status of every object, and of every file that could not be read as objects.
    pub fn statuses(&self, programmed: &Programmed) -> Vec<ObjectStatus> {
        let mut statuses: Vec<ObjectStatus> =
            self.compiled.iter().map(|(key, report)| self.status(key, report, programmed)).collect();
        // Objects that have no form in force, and files.
        let mut others: BTreeMap<String, ObjectStatus> = BTreeMap::new();
        for problem in &self.problems {
            let object = match &problem.problem.object {
                Some(key) if self.compiled.contains_key(key) => continue,
                Some(key) => key.to_string(),
                None => problem.file.to_string(),
            };
            let status = others.entry(object.clone()).or_insert_with(|| ObjectStatus {
                object,
                origin: problem.origin(),
                ..ObjectStatus::default()
            });
            status.conditions.push(source_condition(problem));
        }
        statuses.extend(others.into_values());
        statuses
    }

    fn status(&self, key: &ObjectKey, report: &ObjectReport, programmed: &Programmed) -> ObjectStatus {
        let problems = self.problems.iter().filter(|problem| problem.problem.object.as_ref() == Some(key));
        let mut conditions: Vec<WireCondition> = problems.map(source_condition).collect();
        conditions.extend(report.conditions.iter().map(compiled_condition));
        for kind in [ConditionType::Accepted, ConditionType::ResolvedRefs] {
            if !conditions.iter().any(|condition| condition.r#type == kind.as_str()) {
                let reason = kind.as_str().to_owned();
                conditions.push(WireCondition {
                    r#type: reason.clone(),
                    status: true,
                    reason,
                    ..WireCondition::default()
                });
            }
        }
        let (in_force, of) = report.resource.as_deref().map_or((0, 0), |resource| programmed.of(resource));
        ObjectStatus {
            object: key.to_string(),
            origin: report.origin.to_string(),
            conditions,
            programmed: in_force,
            programmed_of: of,
            generation: self.generations.get(key).copied().unwrap_or_default(),
        }
    }
}

fn source_condition(report: &Report) -> WireCondition {
    WireCondition {
        r#type: report.problem.stage.condition().to_owned(),
        status: report.effect == Effect::InForce,
        reason: report.problem.reason.as_str().to_owned(),
        field: report.problem.fault.field.clone(),
        message: format!("{}: {}; {}", report.origin(), report.problem.fault.message, report.effect.words()),
    }
}

fn compiled_condition(condition: &Condition) -> WireCondition {
    WireCondition {
        r#type: condition.kind.as_str().to_owned(),
        status: condition.verdict == Verdict::True,
        reason: condition.reason.to_owned(),
        field: condition.field.clone(),
        message: condition.message.clone(),
    }
}
