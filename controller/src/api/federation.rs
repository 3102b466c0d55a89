//! `FederatedTrustDomain`: another mesh whose members may be known here. The certificate authority follows it; the controller says whether it
//! can be followed. It must not know other objects.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::amime::AmimeStatus;

/// A trust domain whose members are known here: they may be named in policies and called as endpoints.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "FederatedTrustDomain",
    plural = "federatedtrustdomains",
    shortname = "ftd",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "A trust domain whose members are known here: they may be named in policies and called as endpoints.",
    printcolumn(name = "Trust domain", type_ = "string", json_path = ".spec.trustDomain"),
    printcolumn(name = "Bundle", type_ = "string", json_path = ".spec.bundleEndpoint.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct FederatedTrustDomainSpec {
    /// Its name, as in `spiffe://NAME/…`. Not our own.
    #[schemars(length(min = 1, max = 255))]
    pub trust_domain: String,
    /// Where its bundle is: roots, and keys of tokens.
    pub bundle_endpoint: BundleEndpoint,
    /// Its roots (PEM), trusted until a bundle has been fetched. Needed for profile `HttpsSpiffe`, whose endpoint they verify at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub initial_roots: Option<String>,
}

/// A bundle endpoint (SPIFFE Federation, section 5).
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleEndpoint {
    /// `https://HOST[:PORT][/PATH]`. Not a link-local address; loopback only where the authority is told so.
    #[schemars(length(min = 9, max = 2048))]
    pub url: String,
    /// How it shows that it is the right one. Absent: `HttpsSpiffe`.
    #[serde(default)]
    pub profile: EndpointProfile,
    /// Whose SVID it shows, for `HttpsSpiffe`: `spiffe://NAME/ns/amime-system/sa/mesh-ca` of another Amime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub endpoint_spiffe_id: Option<String>,
}

/// How a bundle endpoint shows that it is the right one.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndpointProfile {
    /// By an SVID, which the bundle there is verifies.
    #[default]
    HttpsSpiffe,
    /// By a certificate of the public web for the URL's host.
    HttpsWeb,
}
