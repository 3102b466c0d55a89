//! Attestation by JWT: an OIDC ID token or a Kubernetes service account token proves namespace and service account.
//! It must not know certificates.
//!
//! Sources: RFC 7519, RFC 8725 (only asymmetric algorithms, keys by `kid`), OpenID Connect Core 3.1.3.7.

mod jwks;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::config::Oidc;
use crate::refusal::Refusal;
use jwks::{Freshness, Jwks};

pub use jwks::InvalidJwks;

/// Largest token that is looked at.
const MAX_BYTES: usize = 16 * 1024;
/// Seconds that the issuer's clock may differ from ours.
const LEEWAY: u64 = 30;
/// Public-key algorithms alone: with a symmetric one who can verify can also forge.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Accepts the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Verifier {
    issuer: String,
    audience: String,
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
        Ok(Self { issuer: config.issuer.clone(), audience: config.audience.clone(), keys })
    }

    /// Who the token proves its holder to be.
    pub(crate) async fn attest(&self, jwt: &str) -> Result<Account, Refusal> {
        let keys = self.keys.get(Freshness::Cached).await.map_err(Refusal::NoKeys)?;
        match verify(jwt, &keys, &self.issuer, &self.audience) {
            Err(InvalidJwt::UnknownKey(_)) => {
                // The issuer may have rotated its keys since.
                let keys = self.keys.get(Freshness::Now).await.map_err(Refusal::NoKeys)?;
                verify(jwt, &keys, &self.issuer, &self.audience)
            }
            verified => verified,
        }
        .map_err(|error| Refusal::Jwt(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
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

fn verify(jwt: &str, keys: &JwkSet, issuer: &str, audience: &str) -> Result<Account, InvalidJwt> {
    if jwt.len() > MAX_BYTES {
        return Err(InvalidJwt::TooLarge(jwt.len()));
    }
    let header = jsonwebtoken::decode_header(jwt).map_err(|_| InvalidJwt::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(InvalidJwt::Algorithm(header.alg));
    }
    let jwk = match (&header.kid, keys.keys.as_slice()) {
        (Some(kid), _) => {
            keys.find(kid).ok_or_else(|| InvalidJwt::UnknownKey(kid.chars().take(80).collect()))?
        }
        (None, [only]) => only,
        (None, _) => return Err(InvalidJwt::NoKeyId),
    };
    let key = DecodingKey::from_jwk(jwk).map_err(|_| InvalidJwt::UnusableKey)?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY;
    let claims: Claims = jsonwebtoken::decode(jwt, &key, &validation).map_err(InvalidJwt::Refused)?.claims;
    account(claims)
}

/// Kubernetes says it in claims of its own; the subject says it for older ones and for other issuers.
fn account(claims: Claims) -> Result<Account, InvalidJwt> {
    if let Some(kubernetes) = claims.kubernetes {
        return Ok(Account { namespace: kubernetes.namespace, name: kubernetes.serviceaccount.name });
    }
    let mut parts = claims.sub.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("system"), Some("serviceaccount"), Some(namespace), Some(name)) => {
            Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err(InvalidJwt::NoAccount),
    }
}

/// Why a token proves nobody. The member may read this: it holds the token anyway.
#[derive(Debug, thiserror::Error)]
enum InvalidJwt {
    #[error("it has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    #[error("it is no JWT with a readable header")]
    Malformed,
    #[error("its algorithm {0:?} is not one of the public-key algorithms")]
    Algorithm(Algorithm),
    #[error("it has no `kid`, and the issuer has not exactly one key")]
    NoKeyId,
    #[error("the issuer has no key `{0}`")]
    UnknownKey(String),
    #[error("the issuer's key cannot be used")]
    UnusableKey,
    #[error("{0}")]
    Refused(jsonwebtoken::errors::Error),
    #[error(
        "it names no service account: neither claim `kubernetes.io` nor sub `system:serviceaccount:NAMESPACE:NAME`"
    )]
    NoAccount,
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
