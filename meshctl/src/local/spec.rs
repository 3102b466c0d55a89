//! A workload as a user describes it, on the command line or in a file, and what follows from it: the member, its
//! objects, the command's environment. Pure. It must not know how anything is started.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::member::{MESH_PORT, Member, Outbound, Place};
use super::objects::{PortObject, Protocol, ServiceObject, WorkloadObject, service, workload};
use super::state::MeshState;

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkloadSpec {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Its Service and its identity: the name, unless it is one of several that are the same.
    pub(crate) service: String,
    pub(crate) ports: Vec<PortSpec>,
    pub(crate) outbound: Vec<Outbound>,
    /// Besides `app`.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) zone: Option<String>,
    /// Whether the command gets the SPIFFE Workload API.
    pub(crate) workload_api: bool,
    /// Where the command serves metrics of its own, `PORT/PATH`.
    pub(crate) application_metrics: Option<String>,
    /// How long open connections get at its end.
    pub(crate) drain: Duration,
}

/// A port of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortSpec {
    /// What clients call.
    pub(crate) service: u16,
    /// Where the command listens.
    pub(crate) app: u16,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Protocol,
}

/// What leads past the sidecar, or tells things that are about `meshctl` itself.
pub(crate) const REMOVED_VARIABLES: [&str; 4] = ["ALL_PROXY", "all_proxy", "MESH_JOIN_TOKEN", "MESH_LOG"];

/// What a command whose traffic is captured must not find: its requests would go to that proxy, which knows no service.
pub(crate) const PROXY_VARIABLES: [&str; 2] = ["HTTP_PROXY", "http_proxy"];

impl WorkloadSpec {
    /// `NAME.NAMESPACE`
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// With its sidecar's ports.
    pub(crate) fn member(&self, address: Ipv4Addr, place: Place) -> Member {
        let inbound = self.port_objects().into_iter();
        let inbound =
            inbound.map(|port| (port.mesh, SocketAddr::from((Ipv4Addr::LOCALHOST, port.app)))).collect();
        Member {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            account: self.service.clone(),
            address,
            inbound,
            outbound: self.outbound.clone(),
            zone: self.zone.clone(),
            workload_api: self.workload_api,
            application_metrics: self.application_metrics.clone(),
            drain: self.drain,
            place,
        }
    }

    fn port_objects(&self) -> Vec<PortObject> {
        // Kubernetes wants names once there are several ports; the port's number makes them distinct.
        let unnamed = |port: &PortSpec| match self.ports.len() {
            1 => port.protocol.port_name().to_owned(),
            _ => format!("{}-{}", port.protocol.port_name(), port.service),
        };
        let ports = self.ports.iter().zip(MESH_PORT..);
        ports
            .map(|(port, mesh)| PortObject {
                name: port.name.clone().unwrap_or_else(|| unnamed(port)),
                app: port.app,
                mesh,
                service: port.service,
                protocol: port.protocol,
            })
            .collect()
    }

    fn all_labels(&self) -> Vec<(String, String)> {
        let mut labels = self.labels.clone();
        if !labels.iter().any(|(key, _)| key == "app") {
            labels.insert(0, ("app".to_owned(), self.service.clone()));
        }
        labels
    }

    /// The `Workload`.
    pub(crate) fn workload(&self, address: Ipv4Addr) -> String {
        workload(&self.workload_object(address, self.all_labels(), self.port_objects()))
    }

    /// The `Service` in front of it, when it has ports.
    pub(crate) fn service(&self) -> Option<String> {
        let object = || ServiceObject {
            namespace: self.namespace.clone(),
            name: self.service.clone(),
            selector: self.all_labels().into_iter().filter(|(key, _)| key == "app").collect(),
            ports: self.port_objects(),
        };
        (!self.ports.is_empty()).then(|| service(&object()))
    }

    /// What the controller has to know before the sidecar of one of several may speak for it; no Service selects it yet.
    /// None where the workload's name says who it is.
    pub(crate) fn early_objects(&self, address: Ipv4Addr) -> Option<String> {
        let object = || workload(&self.workload_object(address, Vec::new(), Vec::new()));
        (self.name != self.service).then(object)
    }

    fn workload_object(
        &self,
        address: Ipv4Addr,
        labels: Vec<(String, String)>,
        ports: Vec<PortObject>,
    ) -> WorkloadObject {
        let account = (self.name != self.service).then(|| self.service.clone());
        WorkloadObject {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            account,
            address,
            labels,
            ports,
            zone: self.zone.clone(),
        }
    }
}

/// What the command finds in its environment.
pub(crate) fn environment(mesh: &MeshState, member: &Member) -> Vec<(String, OsString)> {
    let mut found: Vec<(&str, OsString)> = vec![
        ("MESH_NAME", mesh.name.clone().into()),
        ("MESH_NAMESPACE", member.namespace.clone().into()),
        ("MESH_WORKLOAD", member.name.clone().into()),
        ("MESH_ADDRESS", member.address.to_string().into()),
    ];
    if member.place == Place::Host {
        let proxy = OsString::from(format!("http://{}", member.outbound_proxy()));
        // Names of the mesh go through the proxy; only the command's own address does not.
        let no_proxy = OsString::from("localhost,127.0.0.1,::1");
        found.extend([
            ("HTTP_PROXY", proxy.clone()),
            ("http_proxy", proxy.clone()),
            ("NO_PROXY", no_proxy.clone()),
            ("no_proxy", no_proxy),
            ("MESH_PROXY", proxy),
        ]);
    }
    if let Some(socket) = member.workload_api_socket(mesh) {
        found.push(("SPIFFE_ENDPOINT_SOCKET", format!("unix://{}", socket.display()).into()));
    }
    found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What it does not find there.
pub(crate) fn removed(place: Place) -> impl Iterator<Item = &'static str> {
    let proxies: &[&str] = match place {
        Place::Host => &[],
        Place::Namespace { .. } => &PROXY_VARIABLES,
    };
    REMOVED_VARIABLES.iter().chain(proxies).copied()
}

#[cfg(test)]
mod tests;
