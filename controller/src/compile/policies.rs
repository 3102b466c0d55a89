//! Policies of the model: targets resolved, conflicts settled. It must not know endpoints or what a setting does.
//!
//! Decisions, with their source:
//! - A policy is attached to objects of its own namespace only: a target has no namespace (GEP-713, direct attachment).
//! - A target that is not there is told; the policy takes effect at it once it is there.
//! - Of several policies on one target the oldest counts there, then the first by name; the others are told who won (GEP-713,
//!   conflict resolution). It is the function of the model that decides, [`effective::winner`], and a loser's target does not
//!   go to proxies: a policy is shown as programmed only where it counts. Policies of both kinds compete.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_model::name::{Name, ServiceName};
use mesh_model::route::{BackendTarget, RouteId, RouteKind};
use mesh_model::traffic::{PolicyTarget, TrafficPolicy, TrafficSettings, effective};

use super::Reports;
use super::routes::{Refs, Services, created};
use crate::api::asking::GlobalRateLimit;
use crate::api::lower::slo::Slo;
use crate::api::lower::{self, Findings};
use crate::api::traffic::{TargetKind, TargetRef};
use crate::api::{Kind, ObjectKey};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// A policy, and for each of its targets the field that names it.
struct Attached<'a> {
    key: &'a ObjectKey,
    policy: Arc<TrafficPolicy>,
    fields: Vec<String>,
}

/// Compiles every policy that counts at some target: what it sets, and what it promises.
pub fn compile(
    index: &Index,
    services: &Services,
    reports: &mut Reports,
) -> (Vec<Arc<TrafficPolicy>>, Vec<Promise>) {
    let (mut attached, mut slos) = (Vec::new(), BTreeMap::new());
    for (key, entry) in index.policies.traffic.iter() {
        let Some(name) = key.model_name() else { continue };
        let (mut settings, _) = lower::traffic::lower(&entry.object);
        if let (Some(rate), Some(it)) = (&mut settings.global_rate, &entry.object.spec.global_rate_limit) {
            rate.target = counting(it, key, &entry.origin, services, reports);
        }
        // What is wrong with it was told when the object was read.
        let mut read = Findings::default();
        let slo = entry.object.spec.slo.as_ref().map(|slo| lower::slo::lower(slo, &mut read));
        slos.extend(slo.filter(|_| read.faults.is_empty()).map(|slo| (name.clone(), slo)));
        let source = Source { key, origin: &entry.origin, metadata: &entry.object.metadata, name };
        let targets = entry.object.spec.target_refs.iter().enumerate();
        attached.push(source.attach(targets, settings, index, services, reports));
    }
    for (key, entry) in index.policies.backend.iter() {
        let Ok(name) = lower::backend_policy::model_name(&key.namespace, &key.name) else { continue };
        let (settings, targets, findings) = lower::backend_policy::lower(&entry.object);
        let source = Source { key, origin: &entry.origin, metadata: &entry.object.metadata, name };
        let targets = targets.iter().map(|(at, target)| (*at, target));
        attached.push(source.attach(targets, settings, index, services, reports));
        for fault in findings.unsupported {
            let condition =
                Condition::failed(ConditionType::Accepted, "InvalidKind", fault.field, fault.message);
            reports.say(key, condition);
        }
    }
    let settled = settle(&attached, reports);
    let promise = |policy: &Arc<TrafficPolicy>| {
        let slo = *slos.get(&policy.name)?;
        Some(Promise { policy: policy.name.clone(), targets: policy.targets.clone(), slo })
    };
    let promises = settled.iter().filter_map(promise).collect();
    // One that only promises says nothing to proxies.
    let says = |policy: &Arc<TrafficPolicy>| policy.settings != TrafficSettings::default();
    (settled.into_iter().filter(says).collect(), promises)
}

/// What a policy promises of the requests to targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// The policy.
    pub policy: Name,
    /// Where it counts.
    pub targets: Vec<PolicyTarget>,
    /// What.
    pub slo: Slo,
}

/// The service that counts. Without one that is found the limit is without an answer.
fn counting(
    it: &GlobalRateLimit,
    key: &ObjectKey,
    origin: &Arc<str>,
    services: &Services,
    reports: &mut Reports,
) -> BackendTarget {
    reports.object(key, origin, None);
    let refs = Refs { key, parents: &[] };
    let reference = lower::asking::reference(&it.backend_ref, lower::traffic::GLOBAL_RATE);
    let mut conditions = Vec::new();
    let target = refs.target(&reference, services).unwrap_or_else(|invalid| {
        let meaning = if it.fail_closed { "requests are refused" } else { "nothing is limited" };
        refs.invalid(&reference, invalid, meaning, &mut conditions)
    });
    for condition in conditions {
        reports.say(key, condition);
    }
    target
}

/// A policy object of either kind.
struct Source<'a> {
    key: &'a ObjectKey,
    origin: &'a Arc<str>,
    metadata: &'a ObjectMeta,
    name: Name,
}

impl<'a> Source<'a> {
    fn attach<'t>(
        self,
        references: impl Iterator<Item = (usize, &'t TargetRef)>,
        settings: TrafficSettings,
        index: &Index,
        services: &Services,
        reports: &mut Reports,
    ) -> Attached<'a> {
        reports.object(self.key, self.origin, None);
        let (mut targets, mut fields) = (Vec::new(), Vec::new());
        for (at, reference) in references {
            let field = format!("spec.targetRefs[{at}]");
            match target(index, services, &self.key.namespace, reference) {
                // By number and by name the same port may be there twice.
                Ok(target) if targets.contains(&target) => {}
                Ok(target) => {
                    targets.push(target);
                    fields.push(field);
                }
                Err((part, message)) => {
                    let field = format!("{field}.{part}");
                    let condition =
                        Condition::failed(ConditionType::Accepted, "TargetNotFound", field, message);
                    reports.say(self.key, condition);
                }
            }
        }
        let (created, origin) = (created(self.metadata), self.origin.to_string());
        let policy = TrafficPolicy { name: self.name, targets, created, origin, settings };
        Attached { key: self.key, policy: Arc::new(policy), fields }
    }
}

/// Takes from each policy the targets where another one counts.
fn settle(attached: &[Attached<'_>], reports: &mut Reports) -> Vec<Arc<TrafficPolicy>> {
    let mut at: BTreeMap<TargetKey<'_>, Vec<Arc<TrafficPolicy>>> = BTreeMap::new();
    for one in attached {
        for target in &one.policy.targets {
            at.entry(TargetKey::of(target)).or_default().push(Arc::clone(&one.policy));
        }
    }
    let mut settled = Vec::new();
    for Attached { key, policy, fields } in attached {
        let mut kept = Vec::new();
        for (target, field) in policy.targets.iter().zip(fields) {
            let others = at.get(&TargetKey::of(target)).map(Vec::as_slice).unwrap_or_default();
            match effective::winner(others, target) {
                Some(winner) if winner.name != policy.name => {
                    let why = if winner.created < policy.created { "older" } else { "first by name" };
                    let winner = attached.iter().find(|other| other.policy.name == winner.name);
                    let winner = winner.map(|winner| winner.key.to_string()).unwrap_or_default();
                    let message = format!(
                        "{winner} is attached to {} too and counts there, since it is {why}; merge the two or remove one of the targets",
                        shown(target)
                    );
                    reports.say(
                        key,
                        Condition::failed(ConditionType::Accepted, "Conflicted", field.clone(), message),
                    );
                }
                _ => kept.push(target.clone()),
            }
        }
        if kept.is_empty() {
            continue;
        }
        if policy.settings != TrafficSettings::default() {
            reports.carried_by(key, policy.resource_name());
        }
        settled.push(if kept.len() == policy.targets.len() {
            Arc::clone(policy)
        } else {
            Arc::new(TrafficPolicy { targets: kept, ..TrafficPolicy::clone(policy) })
        });
    }
    settled
}

/// A target as something that can be ordered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TargetKey<'a> {
    Service(&'a ServiceName, Option<u16>),
    Route(&'a RouteId, Option<&'a str>),
}

impl<'a> TargetKey<'a> {
    fn of(target: &'a PolicyTarget) -> Self {
        match target {
            PolicyTarget::Service { service, port } => Self::Service(service, *port),
            PolicyTarget::Route { route, rule } => Self::Route(route, rule.as_deref()),
        }
    }
}

fn shown(target: &PolicyTarget) -> String {
    match target {
        PolicyTarget::Service { service, port: None } => format!("Service {service}"),
        PolicyTarget::Service { service, port: Some(port) } => format!("port {port} of Service {service}"),
        PolicyTarget::Route { route, rule: None } => route.to_string(),
        PolicyTarget::Route { route, rule: Some(rule) } => format!("rule `{rule}` of {route}"),
    }
}

/// What a reference means, or which part of it leads nowhere and why.
fn target(
    index: &Index,
    services: &Services,
    namespace: &str,
    reference: &TargetRef,
) -> Result<PolicyTarget, (&'static str, String)> {
    let (kind, object) = match reference.kind {
        TargetKind::Service => return service_target(services, namespace, reference),
        TargetKind::HttpRoute => (RouteKind::Http, Kind::HttpRoute),
        TargetKind::GrpcRoute => (RouteKind::Grpc, Kind::GrpcRoute),
    };
    let key = ObjectKey::new(object, namespace, &reference.name);
    let rules = match kind {
        RouteKind::Http => index.routes.http.find(&key).map(|entry| {
            entry.object.spec.rules.iter().filter_map(|rule| rule.name.as_deref()).collect::<Vec<_>>()
        }),
        RouteKind::Grpc => index.routes.grpc.find(&key).map(|entry| {
            entry.object.spec.rules.iter().filter_map(|rule| rule.name.as_deref()).collect::<Vec<_>>()
        }),
    };
    let (Some(rules), Some(name)) = (rules, key.model_name()) else {
        return Err(("name", format!("there is no {key}; the policy takes effect once there is")));
    };
    let rule = reference.section_name.clone();
    if let Some(rule) = &rule
        && !rules.contains(&rule.as_str())
    {
        return Err((
            "sectionName",
            format!("{key} has no rule named `{rule}`; the policy takes effect once it has"),
        ));
    }
    Ok(PolicyTarget::Route { route: RouteId { kind, name }, rule })
}

fn service_target(
    services: &Services,
    namespace: &str,
    reference: &TargetRef,
) -> Result<PolicyTarget, (&'static str, String)> {
    let found =
        ServiceName::new(namespace, &reference.name).ok().and_then(|name| services.get_key_value(&name));
    let Some((name, (service, _))) = found else {
        let message = format!(
            "there is no Service {namespace}/{}; the policy takes effect once there is",
            reference.name
        );
        return Err(("name", message));
    };
    let port = match (&reference.section_name, reference.port) {
        (Some(section), _) => match service.ports.iter().find(|port| port.name == *section) {
            Some(port) => Some(port.port),
            None => {
                let message = format!(
                    "Service {name} has no port named `{section}`; the policy takes effect once it has"
                );
                return Err(("sectionName", message));
            }
        },
        (None, Some(port)) if service.port(port).is_none() => {
            return Err((
                "port",
                format!("Service {name} has no port {port}; the policy takes effect once it has"),
            ));
        }
        (None, port) => port,
    };
    Ok(PolicyTarget::Service { service: name.clone(), port })
}
