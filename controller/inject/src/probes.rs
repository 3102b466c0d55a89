//! Probes and hooks that the kubelet sends over the network, handed to the sidecar: under strict mutual TLS it alone may reach the
//! application. What the kubelet then asks is a path of the sidecar's port; what the sidecar does for it is one JSON object in its
//! environment. Probes that run a program stay as they are. This module must not know the rest of the patch.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_capture::range::Ports;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::settings::Sidecar;

/// The sidecar's port for readiness, metrics and probes.
pub const PORT: u16 = 15020;
/// What begins the path of every probe.
pub const PATH: &str = "/probe/";
/// The environment variable with the table.
pub const VARIABLE: &str = "MESH_PROBES";

/// The kubelet's own default.
const DEFAULT_TIMEOUT: i32 = 1;
/// What the kubelet waits longer than the sidecar, so that it is told why.
const MARGIN: i32 = 1;
/// Hooks have no deadline of their own: they end with the pod's grace period at the latest.
const HOOK_TIMEOUT: i32 = 300;

/// All probes of a pod, by the path below [`PATH`].
pub type Table = BTreeMap<String, Target>;

/// What the sidecar asks the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Whom and how.
    #[serde(flatten)]
    pub how: How,
    /// For the whole of it.
    pub timeout_seconds: i32,
}

/// One way to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// `GET`; 200 to 399 is good.
    #[serde(rename_all = "camelCase")]
    Http {
        /// Of the application.
        port: u16,
        /// With its query.
        path: String,
        /// TLS, with whatever certificate.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        tls: bool,
        /// In their order, `Host` among them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// A connection is good.
    Tcp {
        /// Of the application.
        port: u16,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Of the application.
        port: u16,
        /// May be empty.
        #[serde(default)]
        service: String,
    },
}

impl How {
    fn port(&self) -> u16 {
        match self {
            Self::Http { port, .. } | Self::Tcp { port } | Self::Grpc { port, .. } => *port,
        }
    }
}

/// A change of one field of a container.
#[derive(Debug)]
pub(crate) struct Change {
    /// Below the container.
    pub(crate) path: Vec<&'static str>,
    pub(crate) value: Value,
}

/// The changes of one container; what the sidecar has to do for them goes into `table`.
pub(crate) fn rewrite(container: &Container, sidecar: &Sidecar, table: &mut Table) -> Vec<Change> {
    let mut changes = Vec::new();
    let ports = container.ports.as_deref().unwrap_or_default();
    let probes = [
        ("livenessProbe", "liveness", &container.liveness_probe),
        ("readinessProbe", "readiness", &container.readiness_probe),
        ("startupProbe", "startup", &container.startup_probe),
    ];
    for (field, kind, probe) in probes {
        let Some(probe) = probe else { continue };
        let timeout = probe.timeout_seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_TIMEOUT);
        let Some((old, how)) = of_probe(probe, ports) else { continue };
        if !is_captured(how.port(), sidecar) {
            continue;
        }
        let key = format!("{}/{kind}", container.name);
        changes.push(Change { path: vec![field, "httpGet"], value: get(&key) });
        if old != "httpGet" {
            changes.push(Change { path: vec![field, old], value: Value::Null });
        }
        changes.push(Change {
            path: vec![field, "timeoutSeconds"],
            value: json!(timeout.saturating_add(MARGIN)),
        });
        table.insert(key, Target { how, timeout_seconds: timeout });
    }
    let hooks = container.lifecycle.as_ref();
    let hooks = [
        ("postStart", "post-start", hooks.and_then(|hooks| hooks.post_start.as_ref())),
        ("preStop", "pre-stop", hooks.and_then(|hooks| hooks.pre_stop.as_ref())),
    ];
    for (field, kind, hook) in hooks {
        let Some(how) = hook.and_then(|hook| of_hook(hook, ports)) else { continue };
        if !is_captured(how.port(), sidecar) {
            continue;
        }
        let key = format!("{}/{kind}", container.name);
        changes.push(Change { path: vec!["lifecycle", field, "httpGet"], value: get(&key) });
        table.insert(key, Target { how, timeout_seconds: HOOK_TIMEOUT });
    }
    changes
}

/// The field, below its container, that a kind of [`rewrite`] stands for.
pub(crate) fn field(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "liveness" => &["livenessProbe"],
        "readiness" => &["readinessProbe"],
        "startup" => &["startupProbe"],
        "post-start" => &["lifecycle", "postStart"],
        "pre-stop" => &["lifecycle", "preStop"],
        _ => return None,
    })
}

fn get(key: &str) -> Value {
    json!({ "path": format!("{PATH}{key}"), "port": PORT, "scheme": "HTTP" })
}

/// The name of the field that goes, and what it asked for. `None`: it runs a program, asks another host, is ours already, or names a
/// port that does not exist, which the kubelet says better.
fn of_probe(probe: &Probe, ports: &[ContainerPort]) -> Option<(&'static str, How)> {
    if let Some(action) = &probe.http_get {
        return Some(("httpGet", of_http(action, ports)?));
    }
    if let Some(TCPSocketAction { host, port }) = &probe.tcp_socket {
        let here = host.as_deref().unwrap_or_default().is_empty();
        return here.then(|| number(port, ports)).flatten().map(|port| ("tcpSocket", How::Tcp { port }));
    }
    let GRPCAction { port, service } = probe.grpc.as_ref()?;
    let port = u16::try_from(*port).ok()?;
    Some(("grpc", How::Grpc { port, service: service.clone().unwrap_or_default() }))
}

fn of_hook(hook: &LifecycleHandler, ports: &[ContainerPort]) -> Option<How> {
    of_http(hook.http_get.as_ref()?, ports)
}

fn of_http(action: &HTTPGetAction, ports: &[ContainerPort]) -> Option<How> {
    if !action.host.as_deref().unwrap_or_default().is_empty() {
        return None;
    }
    let port = number(&action.port, ports).filter(|port| *port != PORT)?;
    let path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let headers = action.http_headers.iter().flatten().map(|one| (one.name.clone(), one.value.clone()));
    Some(How::Http { port, path, tls: action.scheme.as_deref() == Some("HTTPS"), headers: headers.collect() })
}

fn number(port: &IntOrString, ports: &[ContainerPort]) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match ports.iter().find(|port| port.name.as_ref() == Some(name)) {
            Some(port) => port.container_port,
            None => name.parse().ok()?,
        },
    };
    u16::try_from(number).ok().filter(|port| *port != 0)
}

/// What is not captured reaches the application as before.
fn is_captured(port: u16, sidecar: &Sidecar) -> bool {
    let has = |list: &[Ports]| list.iter().any(|ports| ports.contains(port));
    let included = sidecar.include_inbound_ports.is_empty() || has(&sidecar.include_inbound_ports);
    included && !has(&sidecar.exclude_inbound_ports)
}

/// The table as the value of an environment variable. Kubernetes replaces `$(NAME)` in it; `$$` stands for one dollar.
pub(crate) fn to_variable(table: &Table) -> String {
    serde_json::to_string(table).unwrap_or_default().replace('$', "$$")
}

/// Back from [`to_variable`]. `None`: not written by us.
pub(crate) fn from_variable(value: &str) -> Option<Table> {
    serde_json::from_str(&value.replace("$$", "$")).ok()
}
