//! What policies promise, as metrics: rules that are the same for all objectives find their numbers here. It must not know how they
//! are counted.

use std::fmt;

use mesh_proto::inspect::v1::{Objective, ObjectiveKind};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::observe::promises::Exported;

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, all: &[Exported]) -> fmt::Result {
    let help = "The share of requests that is to be good";
    let mut family = encoder.encode_descriptor("mesh_slo_objective_ratio", help, None, MetricType::Gauge)?;
    for one in all {
        ConstGauge::new(one.objective.ratio).encode(family.encode_family(&labels(&one.objective))?)?;
    }
    let help = "For how long it is promised";
    let mut family = encoder.encode_descriptor("mesh_slo_window_seconds", help, None, MetricType::Gauge)?;
    for one in all {
        let seconds = i64::try_from(one.objective.window_seconds).unwrap_or(i64::MAX);
        ConstGauge::new(seconds).encode(family.encode_family(&labels(&one.objective))?)?;
    }
    let help = "Requests that count for the objective, as proxies told this controller";
    let mut family = encoder.encode_descriptor("mesh_slo_requests", help, None, MetricType::Counter)?;
    for one in all {
        ConstCounter::new(one.requests).encode(family.encode_family(&labels(&one.objective))?)?;
    }
    let help = "Those of them that were not good";
    let mut family = encoder.encode_descriptor("mesh_slo_bad_requests", help, None, MetricType::Counter)?;
    for one in all {
        ConstCounter::new(one.bad).encode(family.encode_family(&labels(&one.objective))?)?;
    }
    Ok(())
}

fn labels(objective: &Objective) -> [(&'static str, String); 8] {
    let (slo, under) = match objective.kind() {
        ObjectiveKind::Latency => ("latency", (objective.under_us as f64 / 1e6).to_string()),
        ObjectiveKind::Availability | ObjectiveKind::Unspecified => ("availability", String::new()),
    };
    let port = match objective.service_port {
        0 => String::new(),
        port => port.to_string(),
    };
    [
        ("slo", slo.to_owned()),
        ("policy_namespace", objective.policy_namespace.clone()),
        ("policy", objective.policy.clone()),
        ("service_namespace", objective.service_namespace.clone()),
        ("service", objective.service.clone()),
        ("service_port", port),
        ("route", objective.route.clone()),
        ("under_seconds", under),
    ]
}
