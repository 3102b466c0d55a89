//! What a CA does as replicas in a cluster: the API server says who a token's holder is (`review`), a Secret keeps root and issuer
//! (`store`), another one the keys of tokens (`jwt_secret`), a ConfigMap tells members the root (`roots`). The arrow points down:
//! `kubernetes → {review, store, jwt_secret, roots} → api`. It must
//! not know how members connect.

mod api;
mod jwt_secret;
mod review;
mod roots;
mod store;

use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::{CancellationToken, Tasks};
use mesh_model::spiffe::TrustDomain;

use crate::authority::{Authority, Keys};
use crate::metrics::Metrics;
use crate::serve::unix_now;
use roots::Roots;
use store::{Found, Store};

pub use api::{ApiFailure, Cluster};
pub(crate) use jwt_secret::{JwtSecret, SecretVersion};
pub(crate) use review::Reviewer;
pub use store::StoreError;

/// Between two looks at Secret and ConfigMap.
const LOOK: Duration = Duration::from_mins(1);
/// After a failure.
const RETRY: Duration = Duration::from_secs(5);
/// The API server is waited for at the start as long; then this process ends, and is started again.
const START: Duration = Duration::from_mins(1);

/// The keys of the cluster's mesh: those in the Secret, or new ones that this replica was the first to put there.
pub(crate) async fn open(cluster: &Cluster, trust_domain: &TrustDomain) -> Result<Authority, StoreError> {
    let store = Store::new(cluster);
    let until = tokio::time::Instant::now() + START;
    let mut said = None;
    loop {
        let reason = match try_open(&store, trust_domain).await {
            Ok(authority) => return Ok(authority),
            // Even a right that is missing may come: roles are often created a moment after what they are for.
            Err(StoreError::Api(failure)) if tokio::time::Instant::now() < until => failure.to_string(),
            Err(error) => return Err(error),
        };
        if said.as_ref() != Some(&reason) {
            tracing::warn!(reason, "the API server gives no keys yet, trying again");
            said = Some(reason);
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_open(store: &Store, trust_domain: &TrustDomain) -> Result<Authority, StoreError> {
    loop {
        let found = store.read().await?;
        let held = match found {
            Found::Keys(held) => held,
            empty => {
                let keys = Keys::generate(trust_domain, unix_now())?;
                if !store.begin(&empty, &keys).await? {
                    // Another replica was faster: its keys count.
                    continue;
                }
                tracing::info!(secret = store.name(), %trust_domain, "new root");
                match store.read().await? {
                    Found::Keys(held) => held,
                    _ => continue,
                }
            }
        };
        let bad = |why| store.broken(why);
        let authority = Authority::shared(trust_domain.clone(), &held.keys, unix_now()).map_err(bad)?;
        if authority.issuer_is_due(unix_now()) {
            // An issuer that has ended signs nothing that holds.
            let issuer = authority.next_issuer(unix_now())?;
            if !store.replace_issuer(&held, &issuer).await? {
                continue;
            }
            authority.adopt_issuer(&issuer).map_err(bad)?;
        }
        return Ok(authority);
    }
}

/// Keeps the issuer young and everybody's, and the published root true, until the process ends.
pub(crate) struct Keeper {
    store: Store,
    roots: Roots,
    authority: Arc<Authority>,
    metrics: Metrics,
}

/// What a look found that no further look can mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ousted {
    /// The keys were replaced from outside.
    #[error(
        "{secret} has another root than this CA began with: it ends, so that its next start takes the new one. Members that trust the old root must be restarted"
    )]
    OtherRoot {
        /// Which Secret.
        secret: String,
    },
}

impl Keeper {
    pub(crate) fn new(cluster: &Cluster, authority: Arc<Authority>, metrics: Metrics) -> Self {
        Self { store: Store::new(cluster), roots: Roots::new(cluster), authority, metrics }
    }

    /// Looks now and then, on `tasks`. When the keys are no longer ours, `ousted` is cancelled.
    pub(crate) fn keep(self, tasks: &Tasks, ousted: CancellationToken) {
        let stop = tasks.token();
        tasks.spawn("keys in the cluster", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                why = self.look_for_ever() => {
                    tracing::error!("{why}");
                    ousted.cancel();
                }
            }
        });
    }

    async fn look_for_ever(self) -> Ousted {
        let mut said: Option<String> = None;
        loop {
            let (roots, keys) = (self.roots.publish(self.authority.root_pem()).await, self.keys().await);
            let failed = match (roots, keys) {
                (_, Err(Look::Ousted(why))) => return why,
                (Err(error), _) => Some(error.to_string()),
                (_, Err(Look::Failed(error))) => Some(error),
                (Ok(()), Ok(())) => None,
            };
            self.metrics.in_sync(failed.is_none());
            if let Some(reason) = failed.as_ref().filter(|reason| said.as_ref() != Some(*reason)) {
                tracing::error!(
                    reason,
                    "the keys or the published root in the cluster cannot be kept, trying again"
                );
            }
            let wait = if failed.is_some() { RETRY } else { LOOK };
            said = failed;
            tokio::time::sleep(wait).await;
        }
    }

    async fn keys(&self) -> Result<(), Look> {
        let held = match self.store.read().await.map_err(Look::failed)? {
            Found::Keys(held) => held,
            empty => {
                // Somebody removed it. What members trust is still in this process, so it is put back.
                if self.store.begin(&empty, &self.authority.keys()).await.map_err(Look::failed)? {
                    tracing::warn!(secret = self.store.name(), "the Secret was gone; its keys are back");
                }
                return Ok(());
            }
        };
        if held.keys.root_cert.trim() != self.authority.root_pem().trim() {
            return Err(Look::Ousted(Ousted::OtherRoot { secret: self.store.name().to_owned() }));
        }
        let adopt =
            |pem: &str| self.authority.adopt_issuer(pem).map_err(|why| Look::failed(self.store.broken(why)));
        if adopt(&held.keys.issuer)? {
            tracing::info!("the issuer of another replica is in use");
        }
        if self.authority.issuer_is_due(unix_now()) {
            let issuer =
                self.authority.next_issuer(unix_now()).map_err(|error| Look::Failed(error.to_string()))?;
            if self.store.replace_issuer(&held, &issuer).await.map_err(Look::failed)? {
                adopt(&issuer)?;
                tracing::info!(not_after = self.authority.issuer_not_after(), "new issuer");
            }
        }
        Ok(())
    }
}

enum Look {
    /// It may work at the next one.
    Failed(String),
    Ousted(Ousted),
}

impl Look {
    fn failed(error: StoreError) -> Self {
        Self::Failed(mesh_identity::reasons(&error))
    }
}

impl From<ApiFailure> for Look {
    fn from(failure: ApiFailure) -> Self {
        Self::Failed(failure.to_string())
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
