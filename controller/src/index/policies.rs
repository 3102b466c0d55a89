//! Policies. It must not know what they are attached to.

use super::store::Store;
use crate::api::{AuthenticationPolicy, TrafficPolicy, XBackendTrafficPolicy};

/// Policies by name.
#[derive(Debug, Default)]
pub struct Policies {
    /// TrafficPolicies.
    pub traffic: Store<TrafficPolicy>,
    /// XBackendTrafficPolicies.
    pub backend: Store<XBackendTrafficPolicy>,
    /// AuthenticationPolicies.
    pub authentication: Store<AuthenticationPolicy>,
}
