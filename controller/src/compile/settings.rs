//! The MeshConfig with its defaults: strict mTLS, any host outside may be called, 1 % of traces. It must not know other objects.

use mesh_model::settings::{MeshSettings, MetricSettings, OutboundMode};
use mesh_model::spiffe::TrustDomain;

use super::Reports;
use crate::api::amime::{MeshConfigSpec, MetricNames, OutboundModeSetting};
use crate::api::lower::{Findings, access_log, telemetry};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// The settings in force.
pub fn compile(index: &Index, trust_domain: &TrustDomain, reports: &mut Reports) -> MeshSettings {
    let defaults = MeshConfigSpec::default();
    let found = index.settings.find();
    if let Some((key, entry)) = found {
        reports.object(key, &entry.origin, Some("mesh".to_owned()));
        let other =
            entry.object.spec.trust_domain.as_deref().filter(|domain| *domain != trust_domain.as_str());
        if let Some(other) = other {
            let message = format!(
                "`{other}` is not the certificate authority's trust domain `{trust_domain}`, which stays in force"
            );
            reports.say(
                key,
                Condition::failed(
                    ConditionType::Accepted,
                    "TrustDomainMismatch",
                    "spec.trustDomain",
                    message,
                ),
            );
        }
    }
    // What is wrong with the object by itself was said when it was read, and such an object never comes here.
    let mut findings = Findings::default();
    let spec = found.map_or(&defaults, |(_, entry)| &entry.object.spec);
    MeshSettings {
        trust_domain: trust_domain.clone(),
        mtls_mode: super::authentication::mode(spec.mtls.mode),
        outbound_mode: match spec.outbound.mode {
            OutboundModeSetting::AllowAny => OutboundMode::AllowAny,
            OutboundModeSetting::RegistryOnly => OutboundMode::RegistryOnly,
        },
        trace_sample_ppm: spec.tracing.sample_ppm,
        access_log: access_log::access_log(spec, &mut findings),
        access_log_overrides: access_log::overrides(spec, &mut findings),
        metrics: MetricSettings {
            istio: spec.metrics.also_as.contains(&MetricNames::Istio),
            linkerd: spec.metrics.also_as.contains(&MetricNames::Linkerd),
        },
        tracing: telemetry::tracing(spec, &mut findings),
        open_telemetry: telemetry::open_telemetry(spec, &mut findings),
    }
}
