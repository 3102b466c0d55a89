//! The identities of the mesh's own parts. They must not know where those parts are reached.

use mesh_model::spiffe::{SpiffeId, TrustDomain};

/// The namespace of the mesh's own parts, on Kubernetes and elsewhere.
pub const SYSTEM_NAMESPACE: &str = "amime-system";

/// The certificate authority.
pub fn ca(trust_domain: &TrustDomain) -> SpiffeId {
    system(trust_domain, "mesh-ca")
}

/// The controller.
pub fn controller(trust_domain: &TrustDomain) -> SpiffeId {
    system(trust_domain, "mesh-controller")
}

/// The command line tool, when it asks the controller.
pub fn meshctl(trust_domain: &TrustDomain) -> SpiffeId {
    system(trust_domain, "meshctl")
}

fn system(trust_domain: &TrustDomain, account: &str) -> SpiffeId {
    SpiffeId::new(trust_domain.clone(), SYSTEM_NAMESPACE, account)
        .expect("both names are literals of the right form")
}
