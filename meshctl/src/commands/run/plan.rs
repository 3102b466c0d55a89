//! What `meshctl run` makes of its arguments: the member, its objects, the command's environment. Pure.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use mesh_model::name::Name;

use super::Args;
use crate::local::member::{MAX_PORTS, MESH_PORT, Member, Outbound};
use crate::local::objects::{PortObject, ServiceObject, WorkloadObject, service, workload};
use crate::local::state::MeshState;

/// `PORT[=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortArgument {
    pub(crate) number: u16,
    pub(crate) name: Option<String>,
}

impl FromStr for PortArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, name) = match text.split_once('=') {
            Some((number, name)) => (number, Some(name)),
            None => (text, None),
        };
        if let Some(name) = name {
            label(name)?;
        }
        Ok(Self { number: port(number)?, name: name.map(str::to_owned) })
    }
}

/// `[ADDR:]PORT=SERVICE[.NS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct To(Outbound);

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (listen, target) = text.split_once('=').ok_or("it has no `=`: PORT=SERVICE:PORT is meant")?;
        let (service, service_port) =
            target.rsplit_once(':').ok_or("the service has no port: PORT=SERVICE:PORT")?;
        let listen = match listen.rsplit_once(':') {
            Some((address, number)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
                SocketAddr::new(address, port(number)?)
            }
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, port(listen)?)),
        };
        for part in service.split('.') {
            label(part)?;
        }
        Ok(Self(Outbound { listen, service: service.to_owned(), port: port(service_port)? }))
    }
}

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("it has no `=`: KEY=VALUE is meant")?;
        if key.is_empty() || !is_plain(key) || !is_plain(value) {
            return Err("letters, digits, `-`, `_`, `.` and `/` are allowed".to_owned());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// A zone, such as `eu-central-1a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(String);

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 63 || !is_plain(text) {
            return Err("a zone has 1 to 63 letters, digits, `-`, `_`, `.` or `/`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// What may be part of a label.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no port: 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

fn label(text: &str) -> Result<(), String> {
    Name::new(text, "x").map(|_| ()).map_err(|error| error.to_string())
}

/// Refuses what cannot work, before anything is started.
pub(crate) fn check(args: &Args) -> anyhow::Result<()> {
    // Both end up in a SPIFFE id and in host names.
    for text in [&args.name, &args.namespace] {
        label(text).map_err(anyhow::Error::msg)?;
    }
    if args.ports.len() > MAX_PORTS {
        bail!("a member has at most {MAX_PORTS} ports, --port was given {} times", args.ports.len());
    }
    for (i, port) in args.ports.iter().enumerate() {
        if args.ports.iter().skip(i + 1).any(|other| other.number == port.number) {
            bail!("--port {} was given twice", port.number);
        }
    }
    Ok(())
}

/// The member with its sidecar's ports.
pub(crate) fn member(args: &Args, address: Ipv4Addr, drain: Duration) -> Member {
    let inbound = ports(args).into_iter();
    let inbound =
        inbound.map(|port| (port.mesh, SocketAddr::from((Ipv4Addr::LOCALHOST, port.app)))).collect();
    Member {
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        address,
        inbound,
        outbound: args.outbound.iter().map(|to| to.0.clone()).collect(),
        zone: args.zone.as_ref().map(|zone| zone.0.clone()),
        drain,
    }
}

fn ports(args: &Args) -> Vec<PortObject> {
    let protocol = args.protocol;
    // Kubernetes wants names once there are several ports; the port's number makes them distinct.
    let unnamed = |number: u16| match args.ports.len() {
        1 => protocol.port_name().to_owned(),
        _ => format!("{}-{number}", protocol.port_name()),
    };
    let ports = args.ports.iter().zip(MESH_PORT..);
    ports
        .map(|(port, mesh)| PortObject {
            name: port.name.clone().unwrap_or_else(|| unnamed(port.number)),
            app: port.number,
            mesh,
            service: port.number,
            protocol,
        })
        .collect()
}

/// `Workload` and, when it has ports, the `Service` of the same name.
pub(crate) fn objects(args: &Args, member: &Member) -> String {
    let own = ("app".to_owned(), args.name.clone());
    let mut labels: Vec<(String, String)> =
        args.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect();
    if !labels.iter().any(|(key, _)| key == "app") {
        labels.insert(0, own);
    }
    let selector = labels.iter().filter(|(key, _)| key == "app").cloned().collect();
    let mut out = workload(&WorkloadObject {
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        address: member.address,
        labels,
        ports: ports(args),
        zone: member.zone.clone(),
    });
    if !args.ports.is_empty() {
        out.push_str(&service(&ServiceObject {
            namespace: args.namespace.clone(),
            name: args.name.clone(),
            selector,
            ports: ports(args),
        }));
    }
    out
}

/// What would lead the command past its sidecar, or tell it things that are about `meshctl` itself.
pub(crate) const REMOVED_VARIABLES: [&str; 4] = ["ALL_PROXY", "all_proxy", "MESH_JOIN_TOKEN", "MESH_LOG"];

/// What the command finds in its environment.
pub(crate) fn environment(mesh: &MeshState, member: &Member) -> Vec<(&'static str, OsString)> {
    let proxy = OsString::from(format!("http://{}", member.outbound_proxy()));
    // Names of the mesh go through the proxy; only the command's own address does not.
    let no_proxy = OsString::from("localhost,127.0.0.1,::1");
    vec![
        ("HTTP_PROXY", proxy.clone()),
        ("http_proxy", proxy.clone()),
        ("NO_PROXY", no_proxy.clone()),
        ("no_proxy", no_proxy),
        ("MESH_PROXY", proxy),
        ("MESH_NAME", mesh.name.clone().into()),
        ("MESH_NAMESPACE", member.namespace.clone().into()),
        ("MESH_WORKLOAD", member.name.clone().into()),
        ("MESH_ADDRESS", member.address.to_string().into()),
    ]
}

#[cfg(test)]
mod tests;
