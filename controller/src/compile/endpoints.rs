//! Endpoints of a Service: from EndpointSlices that name it, and from Workloads that its selector selects. It must not know routes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service as KubeService;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, PortEndpoints, Transport};
use mesh_model::name::WorkloadName;
use mesh_model::service::Service;
use mesh_model::spiffe::TrustDomain;

use super::Trust;
use crate::api::amime::WorkloadPort;
use crate::api::slice::{SliceEndpoint, Target as Owner};
use crate::api::{Pod, Slice, Workload};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// What was found for a service.
#[derive(Debug)]
pub struct Found {
    /// Its endpoints.
    pub endpoints: Endpoints,
    /// What is to be said about the Service.
    pub conditions: Vec<Condition>,
}

/// Finds the endpoints of every port of `service`, which was made of `object`.
pub fn compile(index: &Index, trust: Trust<'_>, service: &Service, object: &KubeService) -> Found {
    let mut conditions = Vec::new();
    let namespace = service.name.0.namespace();
    let none = BTreeMap::new();
    let spec = object.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref()).unwrap_or(&none);
    let mut ports = Vec::with_capacity(service.ports.len());
    for (at, port) in service.ports.iter().enumerate() {
        // Sorted by address, and a slice's word (it knows readiness) counts before the selector's.
        let mut endpoints: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
        for (_, entry) in index.slices.of_service(&service.name) {
            for endpoint in from_slice(index, trust, &entry.object, &port.name) {
                endpoints.entry(endpoint.address).or_insert(endpoint);
            }
        }
        let target = target_port(object, port.port);
        for (name, entry) in index.workloads.selected(namespace, selector) {
            match workload_port(&entry.object, &target) {
                Some(target) => {
                    let endpoint = from_workload(trust, &name, &entry.object, target);
                    endpoints.entry(endpoint.address).or_insert(endpoint);
                }
                None => conditions.push(no_port(at, &name, &target)),
            }
        }
        ports.push(PortEndpoints { service_port: port.port, endpoints: endpoints.into_values().collect() });
    }
    Found { endpoints: Endpoints { service: service.name.clone(), ports }, conditions }
}

fn no_port(at: usize, workload: &WorkloadName, target: &Target) -> Condition {
    let target = match target {
        Target::Number(number) => number.to_string(),
        Target::Name(name) => format!("named `{name}`"),
    };
    let message = format!(
        "Workload {workload} is selected but has no port {target}; add it to the Workload's spec.ports"
    );
    Condition::failed(
        ConditionType::ResolvedRefs,
        "PortNotFound",
        format!("spec.ports[{at}].targetPort"),
        message,
    )
}

/// Which port of a workload serves a service's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Number(u16),
    Name(String),
}

pub(super) fn target_port(object: &KubeService, port: u16) -> Target {
    let ports = object.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = ports
        .iter()
        .find(|candidate| candidate.port == i32::from(port) && candidate.protocol.as_deref() != Some("UDP"));
    match found.and_then(|found| found.target_port.as_ref()) {
        Some(IntOrString::String(name)) => Target::Name(name.clone()),
        // 0 is how some tools write "the same".
        Some(IntOrString::Int(number)) => {
            Target::Number(u16::try_from(*number).ok().filter(|n| *n != 0).unwrap_or(port))
        }
        None => Target::Number(port),
    }
}

pub(super) fn workload_port<'a>(workload: &'a Workload, target: &Target) -> Option<&'a WorkloadPort> {
    workload.spec.ports.iter().find(|port| match target {
        Target::Number(number) => port.port == *number,
        Target::Name(name) => port.name.as_ref() == Some(name),
    })
}

pub(super) fn from_workload(
    trust: Trust<'_>,
    name: &WorkloadName,
    workload: &Workload,
    port: &WorkloadPort,
) -> Endpoint {
    let address = SocketAddr::new(workload.spec.address, port.mesh_port.unwrap_or(port.port));
    Endpoint {
        address,
        transport: transport(trust, name, workload, Some(address.port())),
        workload: Some(name.clone()),
        zone: workload.spec.zone.clone().unwrap_or_default(),
        state: EndpointState::Ready,
        weight: workload.spec.weight.max(1),
        priority: workload.spec.priority,
    }
}

/// A member of the mesh shows the identity of its namespace and service account at a port, or at those that no policy names. Where mTLS is disabled nobody shows any.
pub(super) fn transport(
    trust: Trust<'_>,
    name: &WorkloadName,
    workload: &Workload,
    port: Option<u16>,
) -> Transport {
    if !workload.spec.mesh {
        return Transport::Plain;
    }
    // One that is none is refused before; if it came here, no server would show our own for it.
    let foreign = workload.spec.trust_domain.as_deref().and_then(|text| TrustDomain::new(text).ok());
    trust.transport(name, &workload.spec.account(name.0.name()).into(), port, foreign)
}

fn from_slice(index: &Index, trust: Trust<'_>, slice: &Slice, port_name: &str) -> Vec<Endpoint> {
    let Some(port) = slice.ports.iter().find(|port| &*port.name == port_name).map(|port| port.port) else {
        return Vec::new();
    };
    let mut found = Vec::with_capacity(slice.endpoints.len());
    for endpoint in &slice.endpoints {
        let (Some(state), Some(ip)) = (endpoint.state, endpoint.address) else { continue };
        let target = target(index, endpoint);
        let zone = endpoint.zone.as_deref().map(ToOwned::to_owned);
        let plain = Endpoint {
            address: SocketAddr::new(ip, port),
            transport: Transport::Plain,
            workload: None,
            zone: zone.clone().unwrap_or_default(),
            state,
            weight: 1,
            priority: 0,
        };
        found.push(match target {
            Referent::Nobody => plain,
            // Its slice came before it, or stays after it: how it is to be spoken to is not known, and plaintext is no guess.
            Referent::UnknownPod => continue,
            Referent::Pod(name, pod) => Endpoint {
                transport: pod_transport(trust, &name, pod, Some(port)),
                workload: Some(name),
                ..plain
            },
            Referent::Workload(name, workload) => {
                let own = workload.spec.ports.iter().find(|own| own.port == port);
                let port = own.and_then(|own| own.mesh_port).unwrap_or(port);
                Endpoint {
                    address: SocketAddr::new(ip, port),
                    transport: transport(trust, &name, workload, Some(port)),
                    zone: zone.or_else(|| workload.spec.zone.clone()).unwrap_or_default(),
                    workload: Some(name),
                    state,
                    weight: workload.spec.weight.max(1),
                    priority: workload.spec.priority,
                }
            }
        });
    }
    found
}

/// Whom an endpoint of a slice is said to be.
enum Referent<'a> {
    /// Nobody that is known: an address and no more.
    Nobody,
    /// A pod that is not there (yet).
    UnknownPod,
    Pod(WorkloadName, &'a Pod),
    Workload(WorkloadName, &'a Workload),
}

fn target<'a>(index: &'a Index, endpoint: &SliceEndpoint) -> Referent<'a> {
    match &endpoint.target {
        Some(Owner::Workload(name)) => match index.workloads.find(name) {
            Some(entry) => Referent::Workload(name.clone(), &entry.object),
            None => Referent::Nobody,
        },
        // A folder may have slices of pods and no pods.
        Some(Owner::Pod(name)) if !index.pods.store.is_empty() => match index.pods.entry(name) {
            // The text is held once, by the pod.
            Some((key, entry)) => {
                let name = key.model_name().map_or_else(|| name.clone(), WorkloadName);
                Referent::Pod(name, &entry.object)
            }
            None => Referent::UnknownPod,
        },
        Some(Owner::Pod(_)) | None => Referent::Nobody,
    }
}

/// A pod with a sidecar shows the identity of its namespace and service account.
pub(super) fn pod_transport(
    trust: Trust<'_>,
    name: &WorkloadName,
    pod: &Pod,
    port: Option<u16>,
) -> Transport {
    if !pod.injected() {
        return Transport::Plain;
    }
    trust.transport(name, pod.account(), port, None)
}
