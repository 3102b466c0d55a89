//! What members are told to trust, put together: the roots, the keys of tokens, the federated trust domains. A door to `mesh.ca.v1`.
//! It must not know who asks.

use std::fmt;
use std::sync::Arc;

use mesh_identity::TrustBundle;
use mesh_proto::ca::v1 as wire;
use tokio::sync::watch;

/// All three, now and after every change.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) roots: watch::Receiver<Arc<TrustBundle>>,
    pub(super) jwks: watch::Receiver<Arc<str>>,
    pub(super) federated: watch::Receiver<Arc<[TrustBundle]>>,
}

impl Published {
    /// What there is.
    pub(super) fn now(&self) -> wire::TrustBundle {
        self.clone().now_seen()
    }

    /// What there is; [`Published::changed`] waits for what differs from it.
    pub(super) fn now_seen(&mut self) -> wire::TrustBundle {
        let roots = Arc::clone(&self.roots.borrow_and_update());
        let jwks = Arc::clone(&self.jwks.borrow_and_update());
        let federated = Arc::clone(&self.federated.borrow_and_update());
        wire::TrustBundle {
            trust_domain: roots.trust_domain().to_string(),
            roots_der: der(&roots),
            generation: roots.generation(),
            federated: federated.iter().map(encode).collect(),
            jwt_keys: jwks.to_string(),
        }
    }

    /// Waits for a change; false when there will be none any more.
    pub(super) async fn changed(&mut self) -> bool {
        let changed = tokio::select! {
            changed = self.roots.changed() => changed,
            changed = self.jwks.changed() => changed,
            changed = self.federated.changed() => changed,
        };
        changed.is_ok()
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("roots", &*self.roots.borrow()).finish_non_exhaustive()
    }
}

fn encode(bundle: &TrustBundle) -> wire::FederatedBundle {
    wire::FederatedBundle {
        trust_domain: bundle.trust_domain().to_string(),
        roots_der: der(bundle),
        jwt_keys: bundle.jwt_keys().to_owned(),
        generation: bundle.generation(),
    }
}

fn der(bundle: &TrustBundle) -> Vec<Vec<u8>> {
    bundle.roots().iter().map(|root| root.to_vec()).collect()
}
