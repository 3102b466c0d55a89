//! TCPRoute, TLSRoute and UDPRoute of the Gateway API (`gateway.networking.k8s.io/v1`): routes of connections and datagrams. They have
//! one shape; what each kind may not say is checked in `lower::streams`. It must not know other objects.
//!
//! Source: Gateway API v1.6, specification of TCPRoute, TLSRoute and UDPRoute.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::gateway::{BackendRef, ParentRef};

/// A TCPRoute, a TLSRoute or a UDPRoute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StreamRoute {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: StreamRouteSpec,
}

/// What such a route says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteSpec {
    /// What it is attached to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Names that clients ask for in TLS; a TLSRoute only.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// One.
    #[serde(default)]
    pub rules: Vec<StreamRule>,
    /// Whether default Gateways take the route too. Of no effect for routes of Services.
    pub use_default_gateways: Option<Value>,
}

/// The rule of such a route.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamRule {
    /// Its own name.
    pub name: Option<String>,
    /// Where connections go.
    pub backend_refs: Vec<BackendRef>,
}
