//! `ExternalService`: hosts outside the mesh. It must not know other objects.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::amime::AmimeStatus;

/// Hosts outside the mesh: what is spoken there, where they are, and whether the sidecar begins TLS.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "ExternalService",
    plural = "externalservices",
    namespaced,
    shortname = "xsvc",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "Hosts outside the mesh: what is spoken there, where they are, and whether the sidecar begins TLS.",
    printcolumn(name = "Hosts", type_ = "string", json_path = ".spec.hosts"),
    printcolumn(name = "Resolution", type_ = "string", json_path = ".spec.resolution"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalServiceSpec {
    /// Host names, such as `api.example.com`, or `*.example.com` for every name under one.
    #[schemars(length(min = 1, max = 64))]
    pub hosts: Vec<String>,
    /// What is served there.
    #[schemars(length(min = 1, max = 64))]
    pub ports: Vec<ExternalPort>,
    /// Where connections go. Absent: `DNS`.
    #[serde(default)]
    pub resolution: ResolutionMode,
    /// For `Static` IP addresses, at least one; for `DNS` names that are looked up instead of the host.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub endpoints: Vec<ExternalEndpoint>,
}

/// A port of external hosts.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPort {
    /// As the application dials it.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Where to connect. Absent: the same port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub target_port: Option<u16>,
    /// What the application speaks: `http`, `http2`, `grpc`, `tcp` or `tls`. Absent: found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The sidecar begins TLS towards the host, for an application that speaks none. Absent: bytes go as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOrigination>,
}

/// TLS that the sidecar begins.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOrigination {
    /// The name that is asked for and that the certificate must have. Absent: the host that was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Certificates that the host's must lead to, PEM. Absent: the well-known public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_certificates: Option<String>,
}

/// Where connections to external hosts go.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResolutionMode {
    /// To the addresses that DNS gives.
    #[default]
    #[serde(rename = "DNS")]
    Dns,
    /// To the addresses of `endpoints`.
    Static,
    /// To the address that the application dialled.
    None,
}

/// A place of external hosts.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// An IP address, or with `resolution: DNS` a host name.
    #[schemars(length(min = 1, max = 253))]
    pub address: String,
}
