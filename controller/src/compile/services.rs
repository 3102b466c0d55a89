//! Services of the model, each with its endpoints. It must not know routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service as KubeService;
use mesh_model::endpoint::Endpoints;
use mesh_model::name::ServiceName;
use mesh_model::service::{Protocol, Service, ServicePort};

use super::{Reports, Trust, endpoints};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// Compiles every Service and its endpoints, and says of slices whether they belong to one.
pub fn compile(
    index: &Index,
    trust: Trust<'_>,
    reports: &mut Reports,
) -> BTreeMap<ServiceName, (Service, Endpoints)> {
    let mut services = BTreeMap::new();
    for (key, entry) in index.services.store.iter() {
        let Some(name) = key.model_name().map(ServiceName) else { continue };
        reports.object(key, &entry.origin, Some(format!("service/{name}")));
        let service = service(name.clone(), &entry.object);
        let found = endpoints::compile(index, trust, &service, &entry.object);
        for condition in found.conditions {
            reports.say(key, condition);
        }
        services.insert(name, (service, found.endpoints));
    }
    for (key, entry, service) in index.slices.iter() {
        reports.object(key, &entry.origin, service.as_ref().map(|service| format!("endpoints/{service}")));
        let message = match service {
            None => "has no label kubernetes.io/service-name, so it belongs to no Service".to_owned(),
            Some(service) if !services.contains_key(&service) => format!("there is no Service {service}"),
            Some(_) => continue,
        };
        reports.say(
            key,
            Condition::failed(ConditionType::ResolvedRefs, "ServiceNotFound", "metadata.labels", message),
        );
    }
    services
}

fn service(name: ServiceName, service: &KubeService) -> Service {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    // UDP and SCTP do not go through the mesh.
    let ports = ports.iter().filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(ServicePort {
            port: u16::try_from(port.port).ok()?,
            name: port.name.clone().unwrap_or_default(),
            protocol: Protocol::declared(port.app_protocol.as_deref(), port.name.as_deref()),
        })
    };
    let ips = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    let ips: Vec<String> = ips.into_iter().chain(spec.and_then(|spec| spec.cluster_ip.clone())).collect();
    let headless = ips.iter().any(|ip| ip == "None");
    // An empty text is how a service says that it has no address.
    let mut addresses: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Service { name, ports: ports.filter_map(port).collect(), addresses, headless }
}
