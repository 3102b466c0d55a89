//! JWT-SVIDs: the keys that sign them, how those follow each other, and where they are kept. The arrow points down: `jwt → {keys, store}`.
//! It must not know who asks for a token or why it may have one.

mod keys;
mod store;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_model::spiffe::SpiffeId;
use tokio::sync::watch;

use crate::clock::unix_now;
use keys::{JwtKeys, KeyTrouble};
pub(crate) use store::JwtStore;
pub(crate) use store::JwtStoreError;

/// Lifetime of a token unless somebody asks for another one.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_mins(5);
/// The longest: a token cannot be taken back.
pub(crate) const MAX_TTL: Duration = Duration::from_hours(1);
/// The shortest.
const MIN_TTL: Duration = Duration::from_secs(10);
/// The most audiences of one token.
const MAX_AUDIENCES: usize = 16;
/// Bytes of one audience.
const MAX_AUDIENCE: usize = 512;
/// Between two looks at the keys: those of a store may have been changed by another replica.
const LOOK: Duration = Duration::from_mins(1);

/// After a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Signs tokens, and says by which keys they are verified. Without keys it signs none; certificates do not depend on it.
pub(crate) struct JwtAuthority {
    keys: RwLock<Option<Arc<JwtKeys>>>,
    store: JwtStore,
    /// The JWKS, watched by every member.
    jwks: watch::Sender<Arc<str>>,
}

/// A token, and when it ends (Unix seconds).
pub(crate) struct Token {
    pub(crate) token: String,
    pub(crate) expires: u64,
}

impl JwtAuthority {
    /// Has no keys yet: [`JwtAuthority::look`] or [`JwtAuthority::keep`] finds or makes them.
    pub(crate) fn new(store: JwtStore) -> Self {
        Self { keys: RwLock::default(), store, jwks: watch::Sender::new("".into()) }
    }

    /// Takes the keys of the store, or makes new ones, which are in the store before they sign anything.
    pub(crate) async fn look(&self) -> Result<(), JwtStoreError> {
        self.adopt(self.store.turn(unix_now()).await?);
        Ok(())
    }

    /// The JWKS now and after every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<str>> {
        self.jwks.subscribe()
    }

    /// Unix second of the last change of the keys; 0 while there are none.
    pub(crate) fn changed(&self) -> u64 {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().map_or(0, |keys| keys.changed())
    }

    /// A token of `id` for `audience`; `ttl` zero takes the default.
    pub(crate) fn sign(
        &self,
        id: &SpiffeId,
        audience: &[String],
        ttl: Duration,
        now: u64,
    ) -> Result<Token, JwtRefusal> {
        if audience.is_empty() || audience.iter().any(String::is_empty) {
            return Err(JwtRefusal::NoAudience);
        }
        if audience.len() > MAX_AUDIENCES || audience.iter().any(|one| one.len() > MAX_AUDIENCE) {
            return Err(JwtRefusal::Audiences);
        }
        let ttl = if ttl.is_zero() { DEFAULT_TTL } else { ttl.clamp(MIN_TTL, MAX_TTL) };
        let expires = now + ttl.as_secs();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = keys.ok_or(JwtRefusal::NoKeys)?;
        let token = keys.sign(&id.to_string(), audience, now, expires)?;
        Ok(Token { token, expires })
    }

    /// Looks at once, and then now and then whether it is time for another key, on `tasks`.
    pub(crate) fn keep(self: Arc<Self>, tasks: &Tasks) {
        tasks.keep_until("keys of tokens", self, |this, _| Box::pin(this.look_for_ever()));
    }

    async fn look_for_ever(&self) {
        let mut said = None;
        loop {
            // The keys of now sign on while others cannot be had: tokens of theirs still hold.
            let failed = self.look().await.err().map(|error| mesh_identity::reasons(&error));
            if let Some(reason) = failed.as_ref().filter(|reason| said.as_ref() != Some(*reason)) {
                tracing::error!(reason, "the keys of tokens cannot be kept, trying again");
            }
            let wait = if failed.is_some() { RETRY } else { LOOK };
            said = failed;
            tokio::time::sleep(wait).await;
        }
    }

    fn adopt(&self, keys: JwtKeys) {
        let jwks: Arc<str> = keys.jwks().into();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
        self.jwks.send_if_modified(|now| {
            let changed = **now != *jwks;
            if changed {
                tracing::info!("the keys of tokens changed");
                *now = jwks;
            }
            changed
        });
    }
}

impl fmt::Debug for JwtAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys (INV-8).
        f.write_str("JwtAuthority(…)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JwtRefusal {
    #[error("there are no keys of tokens yet, see the CA's log")]
    NoKeys,
    #[error("a token is for somebody: name one audience or more")]
    NoAudience,
    #[error("a token has at most {MAX_AUDIENCES} audiences of at most {MAX_AUDIENCE} bytes each")]
    Audiences,
    #[error(transparent)]
    Keys(#[from] KeyTrouble),
}

#[cfg(test)]
mod tests;
