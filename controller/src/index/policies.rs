//! Policies. It must not know what they are attached to.

use super::store::Store;
use crate::api::authorization::AuthorizationTargetKind;
use crate::api::{
    AuthenticationPolicy, AuthorizationPolicy, ObjectKey, TrafficPolicy, XBackendTrafficPolicy,
};

/// Policies by name.
#[derive(Debug, Default)]
pub struct Policies {
    /// TrafficPolicies.
    pub traffic: Store<TrafficPolicy>,
    /// AuthorizationPolicies.
    pub authorization: Store<AuthorizationPolicy>,
    /// XBackendTrafficPolicies.
    pub backend: Store<XBackendTrafficPolicy>,
    /// AuthenticationPolicies.
    pub authentication: Store<AuthenticationPolicy>,
}

impl Policies {
    /// Whether an AuthorizationPolicy has that Service as its target.
    pub(super) fn names_service(&self, service: &ObjectKey) -> bool {
        let named = |policy: &AuthorizationPolicy| {
            let mut targets = policy.spec.target_refs.iter().flatten();
            targets.any(|it| it.kind == AuthorizationTargetKind::Service && *it.name == *service.name)
        };
        let mut here = self.authorization.iter().filter(|(key, _)| key.namespace == service.namespace);
        here.any(|(_, entry)| named(&entry.object))
    }
}
