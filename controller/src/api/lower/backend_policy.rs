//! From an XBackendTrafficPolicy to settings of the model: a TrafficPolicy with two fields. It must not know whether its targets
//! are there (`compile`).

use mesh_model::name::{InvalidName, Name};
use mesh_model::traffic::{RetryBudget, TrafficSettings};

use super::scalars::{HOUR, SECOND, duration, number, percent};
use super::{Findings, session};
use crate::api::backend_policy::{RetryConstraint, XBackendTrafficPolicy};
use crate::api::traffic::{TargetKind, TargetRef};

/// What the names of these policies begin with where proxies see them, beside those of TrafficPolicies, which may not.
pub const PREFIX: &str = mesh_model::traffic::BACKEND_POLICY_PREFIX;

/// Its name among the policies of the model.
pub fn model_name(namespace: &str, name: &str) -> Result<Name, InvalidName> {
    Name::new(namespace, &format!("{PREFIX}{name}"))
}

/// Settings, targets with the index of each, and what is wrong. Targets of other kinds than Service are unsupported findings.
pub fn lower(policy: &XBackendTrafficPolicy) -> (TrafficSettings, Vec<(usize, TargetRef)>, Findings) {
    let mut findings = Findings::default();
    let spec = &policy.spec;
    if spec.target_refs.is_empty() {
        findings.fault("spec.targetRefs", "is empty; name a Service");
    }
    findings.limit("spec.targetRefs", spec.target_refs.len(), super::MAX_LIST);
    let mut targets = Vec::with_capacity(spec.target_refs.len());
    for (index, target) in spec.target_refs.iter().enumerate() {
        let at = format!("spec.targetRefs[{index}]");
        if spec.target_refs.iter().take(index).any(|other| other == target) {
            findings.fault(&at, "is there twice; remove one of the two");
        } else if target.kind != "Service" || !matches!(target.group.as_str(), "" | "core") {
            let kind = format!("{}/{}", target.group, target.kind);
            findings.unsupported(
                format!("{at}.kind"),
                format!(
                    "a target of kind {} is not supported; only Service is",
                    kind.trim_start_matches('/')
                ),
            );
        } else {
            let name = target.name.clone();
            let target =
                TargetRef { group: None, kind: TargetKind::Service, name, section_name: None, port: None };
            targets.push((index, target));
        }
    }
    let metadata = &policy.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    if let Err(error) = model_name(namespace, name) {
        findings.fault("metadata.name", error.to_string());
    }
    let owner = format!("xbackendtrafficpolicy/{namespace}/{name}");
    let retry_budget = spec.retry_constraint.as_ref().map(|it| retry_budget(it, &mut findings));
    let session = spec.session_persistence.as_ref();
    let session = session.map(|it| session::lower(it, "spec.sessionPersistence", &owner, &mut findings));
    (TrafficSettings { retry_budget, session, ..TrafficSettings::default() }, targets, findings)
}

fn retry_budget(it: &RetryConstraint, findings: &mut Findings) -> RetryBudget {
    let at = "spec.retryConstraint";
    let share = number(it.budget.percent, &format!("{at}.budget.percent"), 0..=100, findings);
    let window = duration(&it.budget.interval, &format!("{at}.budget.interval"), SECOND..=HOUR, findings);
    let count = number(it.min_retry_rate.count, &format!("{at}.minRetryRate.count"), 1..=1_000_000, findings);
    let interval = duration(
        &it.min_retry_rate.interval,
        &format!("{at}.minRetryRate.interval"),
        SECOND..=HOUR,
        findings,
    );
    // Rounded up: a rate above none never becomes none.
    let a_second = u64::try_from(count).unwrap_or(1).saturating_mul(1_000).div_ceil(millis(interval));
    let share = f64::from(u8::try_from(share).unwrap_or(0));
    RetryBudget {
        share: percent(share, at, 0.0..=100.0, findings),
        min_per_second: u32::try_from(a_second).unwrap_or(u32::MAX),
        window,
    }
}

fn millis(interval: std::time::Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1)
}
