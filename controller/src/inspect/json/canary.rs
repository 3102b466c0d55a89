//! Releases of new versions as JSON. Pure.

use mesh_proto::inspect::v1::{CanaryFinding, CanaryPast, CanaryRelease};
use serde_json::{Value, json};

/// A release for programs.
pub fn canary(release: &CanaryRelease) -> Value {
    let finding = |finding: &CanaryFinding| {
        json!({
            "rule": finding.rule,
            "verdict": finding.verdict,
            "text": finding.text,
            "stable": finding.stable,
            "canary": finding.canary,
        })
    };
    json!({
        "namespace": release.namespace,
        "name": release.name,
        "stable": release.stable,
        "canary": release.canary,
        "version": release.version,
        "phase": release.phase,
        "pause": release.pause,
        "step": release.step,
        "steps": release.steps,
        "routing": release.routing,
        "weight_ppm": release.weight_ppm,
        "started": release.started,
        "step_began": release.step_began,
        "checked": release.checked,
        "next_check": release.next_check,
        "failed_checks": release.failed_checks,
        "failed_checks_allowed": release.failed_checks_allowed,
        "requests": release.requests,
        "min_requests": release.min_requests,
        "stable_ready": release.stable_ready,
        "canary_ready": release.canary_ready,
        "frozen": release.frozen,
        "reason": release.reason,
        "message": release.message,
        "refused": release.refused,
        "findings": release.findings.iter().map(finding).collect::<Vec<_>>(),
        "past": canary_past(release),
    })
}

/// Releases that are over, for programs.
pub fn canary_past(release: &CanaryRelease) -> Value {
    let past = |past: &CanaryPast| {
        json!({
            "version": past.version,
            "phase": past.phase,
            "step": past.step,
            "started": past.started,
            "ended": past.ended,
            "reason": past.reason,
            "message": past.message,
        })
    };
    release.past.iter().map(past).collect()
}
