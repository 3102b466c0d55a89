//! From a TrafficPolicy to settings of the model. It must not know whether what it is attached to is there (`compile`). The same
//! function serves `check`, which keeps the faults, and `compile`, which keeps the settings.

mod backend;
mod request;

use mesh_model::traffic::TrafficSettings;

use super::scalars::{MILLISECOND, MINUTE, optional};
use super::{Findings, asking, compare, session};
use crate::api::traffic::{TargetKind, TargetRef, TrafficPolicy, TrafficPolicySpec};

/// Targets of a policy.
const MAX_TARGETS: usize = 16;

/// The field of a limit that a service counts.
pub const GLOBAL_RATE: &str = "spec.globalRateLimit";

/// The group of a target where it is not written.
pub fn group_of(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Service => "",
        TargetKind::HttpRoute | TargetKind::GrpcRoute => "gateway.networking.k8s.io",
    }
}

/// Every setting, and what is wrong with them.
pub fn lower(policy: &TrafficPolicy) -> (TrafficSettings, Findings) {
    let mut findings = Findings::default();
    let spec = &policy.spec;
    targets(&spec.target_refs, &mut findings);
    let name = (&policy.metadata.namespace, &policy.metadata.name);
    let owner = format!(
        "trafficpolicy/{}/{}",
        name.0.as_deref().unwrap_or_default(),
        name.1.as_deref().unwrap_or_default()
    );
    let settings = settings(spec, &owner, &mut findings);
    spec.slo.as_ref().map(|slo| super::slo::lower(slo, &mut findings));
    if settings == TrafficSettings::default() && spec.slo.is_none() && findings.faults.is_empty() {
        findings.fault("spec", "sets nothing; add a setting such as `retries`, or delete the policy");
    }
    let services = spec.target_refs.iter().any(|target| target.kind == TargetKind::Service);
    if !services && !spec.target_refs.is_empty() {
        for (field, _) in fields(&settings).into_iter().filter(|(_, about)| *about == About::Backend) {
            findings.fault(field, "has no effect on a route; target the Service that requests go to");
        }
    }
    (settings, findings)
}

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A request: it may stand on rules, routes and Services.
    Request,
    /// A backend: it stands on Services.
    Backend,
}

/// The settings that are there, by their field, in the order of the object.
pub fn fields(settings: &TrafficSettings) -> Vec<(&'static str, About)> {
    let all = [
        ("spec.timeouts", About::Request, settings.timeouts.is_some()),
        ("spec.retries", About::Request, settings.retries.is_some()),
        ("spec.hedging", About::Request, settings.hedging.is_some()),
        ("spec.fault", About::Request, settings.fault.is_some()),
        ("spec.directResponse", About::Request, settings.direct_response.is_some()),
        ("spec.requestBodyLimit", About::Request, settings.bodies.is_some_and(|it| it.request.is_some())),
        ("spec.responseBodyLimit", About::Request, settings.bodies.is_some_and(|it| it.response.is_some())),
        ("spec.sessionPersistence", About::Request, settings.session.is_some()),
        ("spec.rateLimits", About::Request, settings.rate_limits.is_some()),
        ("spec.globalRateLimit", About::Request, settings.global_rate.is_some()),
        ("spec.splitOn", About::Request, settings.split.is_some()),
        ("spec.compare", About::Request, settings.compare.is_some()),
        ("spec.loadBalancer", About::Backend, settings.balancing.is_some()),
        ("spec.circuitBreaker", About::Backend, settings.circuit_breaker.is_some()),
        ("spec.retryBudget", About::Backend, settings.retry_budget.is_some()),
        ("spec.outlierDetection", About::Backend, settings.outlier.is_some()),
        ("spec.healthCheck", About::Backend, settings.health_check.is_some()),
        ("spec.connectTimeout", About::Backend, settings.connect_timeout.is_some()),
        ("spec.protocol", About::Backend, settings.protocol.is_some()),
        ("spec.concurrency", About::Backend, settings.concurrency.is_some()),
    ];
    all.into_iter().filter(|(.., there)| *there).map(|(field, about, _)| (field, about)).collect()
}

fn settings(spec: &TrafficPolicySpec, owner: &str, findings: &mut Findings) -> TrafficSettings {
    TrafficSettings {
        timeouts: spec.timeouts.as_ref().map(|it| request::timeouts(it, findings)),
        retries: spec.retries.as_ref().map(|it| request::retries(it, findings)),
        hedging: spec.hedging.as_ref().map(|it| request::hedging(it, findings)),
        fault: spec.fault.as_ref().map(|it| request::fault(it, findings)),
        direct_response: spec.direct_response.as_ref().map(|it| request::direct_response(it, findings)),
        bodies: request::bodies(
            spec.request_body_limit.as_ref(),
            spec.response_body_limit.as_ref(),
            findings,
        ),
        session: spec
            .session_persistence
            .as_ref()
            .map(|it| session::lower(it, "spec.sessionPersistence", owner, findings)),
        rate_limits: spec.rate_limits.as_ref().map(|it| request::rate_limits(it, findings)),
        global_rate: spec.global_rate_limit.as_ref().map(|it| asking::global_rate(it, GLOBAL_RATE, findings)),
        split: spec.split_on.as_ref().and_then(|it| backend::hash_key(it, "spec.splitOn", findings)),
        compare: spec.compare.as_ref().map(|it| compare::lower(it, "spec.compare", findings)),
        balancing: spec.load_balancer.as_ref().map(|it| backend::balancing(it, findings)),
        circuit_breaker: spec.circuit_breaker.as_ref().map(|it| backend::circuit_breaker(it, findings)),
        retry_budget: spec.retry_budget.as_ref().map(|it| backend::retry_budget(it, findings)),
        outlier: spec.outlier_detection.as_ref().map(|it| backend::outlier(it, findings)),
        health_check: spec.health_check.as_ref().and_then(|it| backend::health_check(it, findings)),
        connect_timeout: optional(
            spec.connect_timeout.as_ref(),
            "spec.connectTimeout",
            MILLISECOND..=MINUTE,
            findings,
        ),
        protocol: spec.protocol.map(backend::protocol),
        concurrency: spec.concurrency.as_ref().map(|it| backend::concurrency(it, findings)),
    }
}

fn targets(targets: &[TargetRef], findings: &mut Findings) {
    if targets.is_empty() {
        findings.fault("spec.targetRefs", "is empty; name a Service, an HTTPRoute or a GRPCRoute");
    }
    findings.limit("spec.targetRefs", targets.len(), MAX_TARGETS);
    for (index, target) in targets.iter().enumerate() {
        let at = format!("spec.targetRefs[{index}]");
        let group = group_of(target.kind);
        let written = target.group.as_deref().unwrap_or(group);
        if written != group && !(target.kind == TargetKind::Service && written == "core") {
            let message = format!("`{written}` has no such kind; write `group: \"{group}\"` or leave it out");
            findings.fault(format!("{at}.group"), message);
        }
        if target.name.is_empty() {
            findings.fault(format!("{at}.name"), "is empty");
        }
        if target.port == Some(0) {
            findings.fault(format!("{at}.port"), "0 is not a port; use 1 to 65535");
        }
        if target.port.is_some() && target.kind != TargetKind::Service {
            findings.fault(
                format!("{at}.port"),
                "only a Service has ports; a rule of a route is named by `sectionName`",
            );
        }
        if target.port.is_some() && target.section_name.is_some() {
            findings.fault(format!("{at}.port"), "`sectionName` names the port too; remove one of the two");
        }
        let same = |other: &TargetRef| TargetRef { group: None, ..other.clone() };
        if targets.iter().take(index).any(|other| same(other) == same(target)) {
            findings.fault(at, "is there twice; remove one of the two");
        }
    }
}

#[cfg(test)]
mod tests;
