//! The sidecar of a member: which addresses it has and with which arguments it is started. Pure. It must not know how
//! processes are kept running.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::network;
use super::paths::MeshPaths;
use super::process::Launch;
use super::state::{MemberState, MeshState};
use super::supervisor::{ChildSpec, Kind, TokenFor};

/// Outbound HTTP proxy.
pub(crate) const PROXY_PORT: u16 = 15001;
/// The first inbound mesh port.
pub(crate) const MESH_PORT: u16 = 15006;
/// Metrics and readiness.
pub(crate) const METRICS_PORT: u16 = 15020;
/// Admin.
pub(crate) const ADMIN_PORT: u16 = 15000;
/// Mesh ports are 15006 to 15019: the next one is taken.
pub(crate) const MAX_PORTS: usize = 14;

/// A workload and its sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Its identity: the name, unless it is one of several that are the same.
    pub(crate) account: String,
    pub(crate) address: Ipv4Addr,
    /// Mesh port and the application's address behind it.
    pub(crate) inbound: Vec<(u16, SocketAddr)>,
    pub(crate) outbound: Vec<Outbound>,
    /// Where it runs: its sidecar prefers endpoints of the same zone.
    pub(crate) zone: Option<String>,
    /// Whether its sidecar serves the SPIFFE Workload API.
    pub(crate) workload_api: bool,
    /// Where its application serves metrics of its own.
    pub(crate) application_metrics: Option<String>,
    /// How long open connections get after SIGTERM.
    pub(crate) drain: Duration,
    pub(crate) place: Place,
}

/// Where the application runs, seen from its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside it: what is to go through the sidecar is sent to its ports.
    Host,
    /// In the network namespace of this process, where all traffic is captured.
    Namespace {
        /// The process; 0 while it is not there yet.
        pid: u32,
    },
}

/// A local port that stands for one port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outbound {
    pub(crate) listen: SocketAddr,
    /// `SERVICE` or `SERVICE.NAMESPACE`.
    pub(crate) service: String,
    pub(crate) port: u16,
}

impl Member {
    /// The HTTP proxy of its application.
    pub(crate) fn outbound_proxy(&self) -> SocketAddr {
        self.at(PROXY_PORT)
    }

    /// Local ports of the application's side that lead to services: they are not captured.
    pub(crate) fn local_ports(&self) -> Vec<u16> {
        self.outbound.iter().map(|outbound| outbound.listen.port()).collect()
    }

    /// Where its sidecar says that it is ready.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.at(METRICS_PORT)
    }

    /// The socket of its Workload API. Named by the address, since a path of a socket has at most 107 bytes.
    pub(crate) fn workload_api_socket(&self, mesh: &MeshState) -> Option<PathBuf> {
        let socket = || mesh.ca.admin_socket.with_file_name(format!("api-{}.sock", self.address));
        self.workload_api.then(socket)
    }

    /// The name of its sidecar's process.
    pub(crate) fn sidecar_name(&self) -> String {
        format!("{}.{}-sidecar", self.name, self.namespace)
    }

    /// As others see it.
    pub(crate) fn state(&self) -> MemberState {
        MemberState {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            address: self.address,
            outbound_proxy: self.outbound_proxy(),
        }
    }

    /// The sidecar's process in `mesh`.
    pub(crate) fn sidecar(&self, mesh: &MeshState, paths: &MeshPaths) -> ChildSpec {
        let name = self.sidecar_name();
        let token = TokenFor {
            namespace: self.namespace.clone(),
            service_account: self.account.clone(),
            socket: mesh.ca.admin_socket.clone(),
            file: paths.tokens().join(&name),
        };
        let launch = Launch {
            args: self.arguments(mesh, &token, paths.sidecars().join(&name)),
            log: paths.logs().join(format!("{name}.log")),
        };
        let grace = self.drain + Duration::from_secs(2);
        ChildSpec {
            name,
            kind: Kind::Sidecar,
            launch,
            ready: Some(self.metrics()),
            token: Some(token),
            grace,
        }
    }

    fn arguments(&self, mesh: &MeshState, token: &TokenFor, kept: PathBuf) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["__proxy".into(), "sidecar".into()];
        let mut option = |name: &str, value: OsString| args.extend([name.into(), value]);
        option("--namespace", (&self.namespace).into());
        option("--workload", (&self.name).into());
        if let Some(zone) = &self.zone {
            option("--zone", zone.into());
        }
        option("--controller", mesh.controller.address.to_string().into());
        option("--ca", mesh.ca.address.to_string().into());
        option("--ca-roots", mesh.root_pem.clone().into());
        option("--join-token-file", token.file.clone().into());
        for (port, app) in &self.inbound {
            option("--inbound", format!("{}={app}", self.at(*port)).into());
        }
        match self.place {
            Place::Host => option("--outbound-proxy", self.outbound_proxy().to_string().into()),
            Place::Namespace { pid } => {
                option("--network-of", pid.to_string().into());
                for (name, value) in network::sidecar_options() {
                    option(name, value.into());
                }
            }
        }
        for outbound in &self.outbound {
            option(
                "--outbound",
                format!("{}={}:{}", outbound.listen, outbound.service, outbound.port).into(),
            );
        }
        if let Some(socket) = self.workload_api_socket(mesh) {
            option("--workload-api", socket.into());
        }
        option("--admin", self.at(ADMIN_PORT).to_string().into());
        option("--metrics", self.metrics().to_string().into());
        if let Some(at) = &self.application_metrics {
            option("--application-metrics", at.into());
        }
        option("--state-dir", kept.into());
        option("--drain-seconds", self.drain.as_secs().to_string().into());
        args
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::control_plane;

    #[test]
    fn arguments_of_a_sidecar_name_everything_it_needs() {
        let address = Ipv4Addr::new(127, 7, 0, 10);
        let member = Member {
            namespace: "shop".into(),
            name: "web".into(),
            address,
            inbound: vec![(15006, SocketAddr::from((address, 8080)))],
            outbound: vec![Outbound {
                listen: SocketAddr::from((address, 15002)),
                service: "cart".into(),
                port: 9000,
            }],
            zone: Some("east".into()),
            workload_api: true,
            application_metrics: Some("9090/metrics".into()),
            drain: Duration::from_secs(1),
            account: "web".into(),
            place: Place::Host,
        };
        let paths = MeshPaths::at("/m/test".into());
        let spec = member.sidecar(&control_plane::tests::state(&paths), &paths);
        let args: Vec<_> = spec.launch.args.iter().map(|arg| arg.to_string_lossy()).collect();
        insta::assert_snapshot!(args.join(" ").replace(" --", "\n--"));
    }
}
