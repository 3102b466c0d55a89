//! EndpointSlices, as far as the mesh reads them: of which Service they are, at which ports, and who is at each address. There are as many
//! endpoints as pods, so they are small. It must not know Services or pods.

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::endpoint::EndpointState;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use serde::Deserialize;

use super::lower::Findings;
use super::pod::WrittenMeta;
use super::{Fault, ObjectKey};

/// The label that names the service of a slice. Source: Kubernetes, well-known labels.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The Service that it names.
    pub service: Option<ServiceName>,
    /// Ports by name.
    pub ports: Box<[SlicePort]>,
    /// In its order.
    pub endpoints: Box<[SliceEndpoint]>,
}

/// A port of all endpoints of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// Empty if it has none.
    pub name: Arc<str>,
    /// Its number.
    pub port: u16,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Where it is. Only the first address counts (EndpointSlice reference, `endpoints.addresses`).
    pub address: Option<IpAddr>,
    /// Its other addresses, which its hostname stands for too.
    pub others: Box<[IpAddr]>,
    /// `None`: not to be used.
    pub state: Option<EndpointState>,
    /// Whether it is said to be ready, terminating or not. As of old, one that does not say is ready.
    pub ready: bool,
    /// Whose it is.
    pub target: Option<Target>,
    /// Its hostname within the Service.
    pub hostname: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
}

/// Whose an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pod's.
    Pod(WorkloadName),
    /// A Workload's.
    Workload(WorkloadName),
}

impl Target {
    /// Of either kind.
    pub fn name(&self) -> &WorkloadName {
        match self {
            Self::Pod(name) | Self::Workload(name) => name,
        }
    }
}

impl SliceEndpoint {
    /// All addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.address.into_iter().chain(self.others.iter().copied())
    }
}

impl Slice {
    /// Of what is written, and what is wrong with it.
    pub fn of(key: &ObjectKey, written: &Written) -> (Self, Vec<Fault>) {
        let mut findings = Findings::default();
        check(written, &mut findings);
        let service = written.metadata.labels.get(SERVICE_LABEL);
        let service = service.and_then(|name| named(key, None, name)).map(ServiceName);
        let port = |port: &WrittenPort| {
            let number = port.port.and_then(|port| u16::try_from(port).ok())?;
            Some(SlicePort { name: port.name.as_deref().unwrap_or_default().into(), port: number })
        };
        let slice = Self {
            service,
            ports: written.ports.iter().flatten().filter_map(port).collect(),
            endpoints: written.endpoints.iter().flatten().map(|it| endpoint(key, it)).collect(),
        };
        (slice, findings.faults)
    }

    /// Takes over what `text` gives for each text that many slices have.
    pub(crate) fn share(&mut self, mut text: impl FnMut(&Arc<str>) -> Arc<str>) {
        let mut name = |name: &mut Name| *name = name.within(text(name.shared_namespace()));
        self.service.iter_mut().for_each(|service| name(&mut service.0));
        let targets = self.endpoints.iter_mut().filter_map(|endpoint| endpoint.target.as_mut());
        targets.for_each(|target| match target {
            Target::Pod(of) | Target::Workload(of) => name(&mut of.0),
        });
        self.ports.iter_mut().for_each(|port| port.name = text(&port.name));
        let zones = self.endpoints.iter_mut().filter_map(|endpoint| endpoint.zone.as_mut());
        zones.for_each(|zone| *zone = text(zone));
    }
}

/// In the slice's own namespace if none is said.
fn named(key: &ObjectKey, namespace: Option<&str>, name: &str) -> Option<Name> {
    match namespace.filter(|namespace| *namespace != &*key.namespace) {
        Some(other) => Name::new(other, name).ok(),
        None => Name::shared(&key.namespace, &name.into()).ok(),
    }
}

fn endpoint(key: &ObjectKey, written: &WrittenEndpoint) -> SliceEndpoint {
    let mut addresses = written.addresses.iter().filter_map(|address| address.parse().ok());
    let conditions = written.conditions.unwrap_or_default();
    let target = written.target_ref.as_ref().and_then(|target| {
        let wrap = match target.kind.as_deref()? {
            "Pod" => Target::Pod,
            "Workload" => Target::Workload,
            _ => return None,
        };
        named(key, target.namespace.as_deref(), target.name.as_deref()?).map(|name| wrap(WorkloadName(name)))
    });
    SliceEndpoint {
        address: addresses.next(),
        others: addresses.collect(),
        state: conditions.state(),
        ready: conditions.ready != Some(false),
        target,
        hostname: written.hostname.as_deref().map(Arc::from),
        zone: written.zone.as_deref().map(Arc::from),
    }
}

fn check(slice: &Written, findings: &mut Findings) {
    if slice.address_type == "FQDN" {
        findings.fault("addressType", "FQDN is not supported; use IPv4 or IPv6");
        return;
    }
    for (index, endpoint) in slice.endpoints.iter().flatten().enumerate() {
        for (n, address) in endpoint.addresses.iter().enumerate() {
            if address.parse::<IpAddr>().is_err() {
                findings.fault(
                    format!("endpoints[{index}].addresses[{n}]"),
                    format!("`{address}` is not an IP address"),
                );
            }
        }
    }
    for (index, port) in slice.ports.iter().flatten().enumerate() {
        if !port.port.is_some_and(|port| (1..=65535).contains(&port)) {
            findings.fault(format!("ports[{index}].port"), "a port from 1 to 65535 is needed");
        }
    }
}

/// An EndpointSlice as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: WrittenMeta,
    address_type: String,
    endpoints: Option<Vec<WrittenEndpoint>>,
    ports: Option<Vec<WrittenPort>>,
}

#[derive(Debug, Deserialize)]
struct WrittenPort {
    name: Option<String>,
    port: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    conditions: Option<Conditions>,
    hostname: Option<String>,
    target_ref: Option<Reference>,
    zone: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

impl Conditions {
    /// `None`: not to be used. Absent conditions mean ready. Source: EndpointSlice reference, `endpoints.conditions`.
    fn state(self) -> Option<EndpointState> {
        let ready = self.ready.unwrap_or(true);
        let terminating = self.terminating.unwrap_or(false);
        let serving = self.serving.unwrap_or(ready);
        match (ready && !terminating, serving && terminating) {
            (true, _) => Some(EndpointState::Ready),
            (false, true) => Some(EndpointState::Draining),
            (false, false) => None,
        }
    }
}
