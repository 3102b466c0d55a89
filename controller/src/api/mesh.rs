//! GatewayClass and XMesh of the Gateway API: objects that say which controller is meant, so that this one can say that it is there and
//! what it can do. It must not know what that is (`status`).
//!
//! Source: Gateway API v1.6, GatewayClass; GEP-3949, XMesh (experimental channel).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

/// What objects of the Gateway API call this controller.
pub const CONTROLLER_NAME: &str = "amime.io/mesh";

/// A GatewayClass or an XMesh.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Announcement {
    /// Its name, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Whom it means.
    pub spec: AnnouncementSpec,
}

/// Whom an object means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementSpec {
    /// The controller that is meant.
    pub controller_name: String,
    /// Settings for it; this one has none here.
    pub parameters_ref: Option<Value>,
    /// For people.
    pub description: Option<String>,
}

impl Announcement {
    /// Whether this controller is meant.
    pub fn is_ours(&self) -> bool {
        self.spec.controller_name == CONTROLLER_NAME
    }
}
