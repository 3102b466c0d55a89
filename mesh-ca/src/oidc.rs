//! Attestation by JWT: an OIDC ID token or a Kubernetes service account token proves namespace and service account.
//! It must not know certificates.
//!
//! What makes a token good is decided in `mesh-token`. Source: OpenID Connect Core 3.1.3.7.

mod jwks;

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_token::{Expected, InvalidToken, Keys};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::Oidc;
use crate::refusal::Refusal;
use jwks::{Freshness, Jwks};

pub use jwks::InvalidJwks;

/// Accepts the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    issuer: String,
    audiences: [String; 1],
    keys: Jwks,
}

/// Whom a token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Verifier {
    pub(crate) fn new(config: &Oidc) -> Result<Self, InvalidJwks> {
        let keys = Jwks::new(&config.jwks, config.jwks_roots.as_deref())?;
        Ok(Self { issuer: config.issuer.clone(), audiences: [config.audience.clone()], keys })
    }

    /// Who the token proves its holder to be.
    pub(crate) async fn attest(&self, jwt: &str) -> Result<Account, Refusal> {
        let keys = self.keys.get(Freshness::Cached).await.map_err(Refusal::NoKeys)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let check = |keys: &Keys| verify(jwt, keys, &self.issuer, &self.audiences, now);
        match check(&keys) {
            Err(InvalidJwt::Token(InvalidToken::UnknownKey)) => {
                // The issuer may have rotated its keys since.
                let keys = self.keys.get(Freshness::Now).await.map_err(Refusal::NoKeys)?;
                check(&keys)
            }
            verified => verified,
        }
        .map_err(|error| Refusal::Jwt(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn verify(
    jwt: &str,
    keys: &Keys,
    issuer: &str,
    audiences: &[String],
    now: u64,
) -> Result<Account, InvalidJwt> {
    let verified = mesh_token::verify(jwt, keys, &Expected { issuer, audiences, now })?;
    account(&verified.claims).ok_or(InvalidJwt::NoAccount)
}

/// Kubernetes says it in claims of its own; the subject says it for older ones and for other issuers.
fn account(claims: &Map<String, Value>) -> Option<Account> {
    if let Some(kubernetes) = claims.get("kubernetes.io") {
        let Kubernetes { namespace, serviceaccount } = Kubernetes::deserialize(kubernetes).ok()?;
        return Some(Account { namespace, name: serviceaccount.name });
    }
    let mut parts = claims.get("sub")?.as_str()?.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("system"), Some("serviceaccount"), Some(namespace), Some(name)) => {
            Some(Account { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => None,
    }
}

/// Why a token proves nobody. The member may read this: it holds the token anyway.
#[derive(Debug, thiserror::Error)]
enum InvalidJwt {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error(
        "it names no service account: neither claim `kubernetes.io` nor sub `system:serviceaccount:NAMESPACE:NAME`"
    )]
    NoAccount,
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
