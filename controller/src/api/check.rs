//! What is wrong with one object by itself, as an API server with our CRDs would find it. It must not know other objects.

mod federation;

use mesh_model::name::Name;
use mesh_model::spiffe::TrustDomain;
use mesh_model::traffic::SERVICE_PREFIX;

use super::lower::{self, Findings, LoweredRule};
use super::{Fault, Object, ObjectKey, Scope};
use crate::api::amime::{MeshConfig, Workload};
use crate::api::authentication::{AuthenticationPolicy, WorkloadTarget, WorkloadTargetKind};
use crate::api::gateway::ParentRef;

/// The largest weight of a workload.
const MAX_WORKLOAD_WEIGHT: u32 = 10_000;
/// The largest number of a priority.
const MAX_PRIORITY: u32 = 127;

/// Every fault of this object; empty when it is good.
pub fn check(key: &ObjectKey, object: &Object) -> Vec<Fault> {
    let mut findings = Findings::default();
    check_name(key, &mut findings);
    match object {
        Object::HttpRoute(route) => {
            check_parents(&route.spec.parent_refs, &mut findings);
            let names = route.spec.rules.iter().map(|rule| rule.name.clone());
            lower::check_rules(route.spec.rules.len(), names, &mut findings);
            collect(lower::http_rules(route), &mut findings);
        }
        Object::GrpcRoute(route) => {
            check_parents(&route.spec.parent_refs, &mut findings);
            let names = route.spec.rules.iter().map(|rule| rule.name.clone());
            lower::check_rules(route.spec.rules.len(), names, &mut findings);
            collect(lower::grpc_rules(route), &mut findings);
        }
        Object::TcpRoute(route) | Object::TlsRoute(route) | Object::UdpRoute(route) => {
            check_parents(&route.spec.parent_refs, &mut findings);
            findings.faults.append(&mut lower::streams::lower(key.kind, route).findings.faults);
        }
        Object::Service(service) => check_service(service, &mut findings),
        Object::MeshConfig(config) => check_mesh_config(key, config, &mut findings),
        Object::FederatedTrustDomain(foreign) => federation::check(foreign, &mut findings),
        Object::Workload(workload) => check_workload(workload, &mut findings),
        Object::ExternalService(external) => {
            // The name is checked apart; here any good one will do.
            if let Some(name) = key.model_name() {
                findings.faults.append(&mut lower::external::lower(name, external, "").1.faults);
            }
        }
        Object::TrafficPolicy(policy) => {
            let taken = [lower::backend_policy::PREFIX, SERVICE_PREFIX];
            if let Some(prefix) = taken.into_iter().find(|prefix| key.name.starts_with(prefix)) {
                let message =
                    format!("begins with `{prefix}`, which the mesh needs itself; choose another one");
                findings.fault("metadata.name", message);
            }
            findings.faults.append(&mut lower::traffic::lower(policy).1.faults);
        }
        Object::AuthorizationPolicy(policy) => {
            findings.faults.append(&mut lower::authorization::lower(policy).1.faults);
        }
        Object::XBackendTrafficPolicy(policy) => {
            findings.faults.append(&mut lower::backend_policy::lower(policy).2.faults);
        }
        Object::AuthenticationPolicy(policy) => check_authentication(policy, &mut findings),
        Object::Canary(canary) => findings.faults.append(&mut lower::canary::lower(canary).1.faults),
        // Of a slice it is said where it is read.
        Object::EndpointSlice(_)
        | Object::Namespace(_)
        | Object::Pod(_)
        | Object::GatewayClass(_)
        | Object::XMesh(_) => {}
    }
    findings.faults
}

fn check_name(key: &ObjectKey, findings: &mut Findings) {
    let namespace = match key.kind.scope() {
        Scope::Namespaced => &*key.namespace,
        Scope::Cluster => "default",
    };
    if let Err(error) = Name::new(namespace, &key.name) {
        let field = if error.what == "namespace" { "metadata.namespace" } else { "metadata.name" };
        findings.fault(field, error.to_string());
    }
}

fn collect(rules: Vec<LoweredRule>, findings: &mut Findings) {
    for mut rule in rules {
        findings.faults.append(&mut rule.findings.faults);
    }
}

fn check_parents(parents: &[ParentRef], findings: &mut Findings) {
    if parents.len() > 32 {
        findings.fault("spec.parentRefs", format!("{} entries, at most 32 are allowed", parents.len()));
    }
    for (index, parent) in parents.iter().enumerate() {
        if parent.port == Some(0) {
            findings.fault(format!("spec.parentRefs[{index}].port"), "0 is not a port; use 1 to 65535");
        }
    }
}

fn check_service(service: &k8s_openapi::api::core::v1::Service, findings: &mut Findings) {
    let Some(spec) = &service.spec else {
        findings.fault("spec", "is missing");
        return;
    };
    let ports = spec.ports.as_deref().unwrap_or_default();
    for (index, port) in ports.iter().enumerate() {
        if !(1..=65535).contains(&port.port) {
            findings.fault(
                format!("spec.ports[{index}].port"),
                format!("{} is not a port; use 1 to 65535", port.port),
            );
        }
        let same = |other: &&k8s_openapi::api::core::v1::ServicePort| {
            other.port == port.port && other.protocol == port.protocol
        };
        if ports.iter().take(index).any(|other| same(&other)) {
            findings.fault(format!("spec.ports[{index}].port"), format!("{} occurs twice", port.port));
        }
        if ports.len() > 1 && port.name.as_deref().unwrap_or_default().is_empty() {
            findings
                .fault(format!("spec.ports[{index}].name"), "is needed where a Service has several ports");
        }
    }
}

/// As the rules of the CRD say it.
fn check_authentication(policy: &AuthenticationPolicy, findings: &mut Findings) {
    let spec = &policy.spec;
    let named = spec.target_refs.is_some() || spec.selector.is_some();
    check_targets(spec.target_refs.as_deref(), findings);
    if spec.target_refs.is_some() && spec.selector.is_some() {
        findings.fault("spec.selector", "targetRefs and selector exclude each other; use one of them");
    }
    if spec.selector.as_ref().is_some_and(|selector| selector.match_labels.is_empty()) {
        let message =
            "is empty; name at least one label, or leave the selector out to mean the whole namespace";
        findings.fault("spec.selector.matchLabels", message);
    }
    if let Some(jwt) = &spec.jwt {
        lower::jwt::check(jwt, findings);
        if jwt.ports.is_some() && !named {
            let message = "a port is one of a workload: name workloads by targetRefs or a selector";
            findings.fault("spec.jwt.ports", message);
        }
    }
    let Some(mtls) = &spec.mtls else {
        if spec.jwt.is_none() {
            findings.fault("spec", "the policy sets nothing; give it `mtls` or `jwt`");
        }
        return;
    };
    match mtls.ports.as_deref() {
        None if mtls.mode.is_none() => findings.fault("spec.mtls", "says neither a mode nor ports"),
        None => {}
        Some([]) => findings.fault("spec.mtls.ports", "is empty; name a port or leave it out"),
        Some(ports) => {
            if !named {
                let message = "a port is one of a workload: name workloads by targetRefs or a selector";
                findings.fault("spec.mtls.ports", message);
            }
            if ports.len() > 64 {
                findings.fault("spec.mtls.ports", format!("{} entries, at most 64 are allowed", ports.len()));
            }
            for (at, port) in ports.iter().enumerate() {
                let field = format!("spec.mtls.ports[{at}].port");
                if port.port == 0 {
                    findings.fault(field, "0 is not a port; use 1 to 65535");
                } else if ports.iter().take(at).any(|other| other.port == port.port) {
                    findings.fault(field, format!("{} occurs twice", port.port));
                }
            }
        }
    }
}

fn check_targets(targets: Option<&[WorkloadTarget]>, findings: &mut Findings) {
    let Some(targets) = targets else { return };
    if targets.is_empty() || targets.len() > 16 {
        findings.fault("spec.targetRefs", format!("{} entries, 1 to 16 are allowed", targets.len()));
    }
    for (at, target) in targets.iter().enumerate() {
        let right = match (target.kind, target.group.as_deref()) {
            (_, None) => true,
            (WorkloadTargetKind::Service, Some(group)) => matches!(group, "" | "core"),
            (WorkloadTargetKind::Workload, Some(group)) => group == "amime.io",
        };
        if !right {
            let message = "is \"\" for a Service and amime.io for a Workload";
            findings.fault(format!("spec.targetRefs[{at}].group"), message);
        }
    }
}

fn check_mesh_config(key: &ObjectKey, config: &MeshConfig, findings: &mut Findings) {
    if &*key.name != "default" {
        findings.fault(
            "metadata.name",
            format!("`{}`: the one MeshConfig of a mesh is named `default`", key.name),
        );
    }
    if let Some(Err(error)) = config.spec.trust_domain.as_deref().map(TrustDomain::new) {
        findings.fault("spec.trustDomain", error.to_string());
    }
    lower::access_log::access_log(&config.spec, findings);
    lower::access_log::overrides(&config.spec, findings);
    lower::telemetry::tracing(&config.spec, findings);
    lower::telemetry::open_telemetry(&config.spec, findings);
}

fn check_workload(workload: &Workload, findings: &mut Findings) {
    if let Some(account) = &workload.spec.service_account
        && let Err(error) = Name::new("default", account)
    {
        findings.fault("spec.serviceAccount", error.to_string());
    }
    if let Some(Err(error)) = workload.spec.trust_domain.as_deref().map(TrustDomain::new) {
        findings.fault("spec.trustDomain", error.to_string());
    }
    let spec = &workload.spec;
    lower::scalars::number(spec.weight, "spec.weight", 1..=MAX_WORKLOAD_WEIGHT, findings);
    lower::scalars::number(spec.priority, "spec.priority", 0..=MAX_PRIORITY, findings);
    let ports = &spec.ports;
    for (index, port) in ports.iter().enumerate() {
        if port.port == 0 {
            findings.fault(format!("spec.ports[{index}].port"), "0 is not a port; use 1 to 65535");
        }
        if port.mesh_port == Some(0) {
            findings.fault(format!("spec.ports[{index}].meshPort"), "0 is not a port; use 1 to 65535");
        }
        if port.name.is_some() && ports.iter().take(index).any(|other| other.name == port.name) {
            findings
                .fault(format!("spec.ports[{index}].name"), "is the name of another port of this workload");
        }
    }
}

#[cfg(test)]
mod tests;
