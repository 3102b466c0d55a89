//! JWT-SVIDs: whether a token holds for an audience, by the keys of the trust bundle. It must not know who asks, or how a token is signed.
//!
//! Source: the JWT-SVID standard, sections 2 to 4; RFC 7519; RFC 8725.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mesh_model::spiffe::TrustDomain;
use serde_json::{Map, Value};

use crate::bundle::TrustBundle;

/// Largest token that is looked at.
pub const MAX_BYTES: usize = 16 * 1024;
/// Seconds that the issuer's clock may differ from ours.
const LEEWAY: u64 = 30;
/// What the standard allows (section 2.1.1) and we can verify: public keys alone.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Its subject, a SPIFFE id. One of another trust domain may have any path.
    pub spiffe_id: String,
    /// Everything that it claims, the subject included.
    pub claims: Map<String, Value>,
}

/// Verifies `token` for `audience`. Which keys count is said by the trust domain of its subject, so that the keys of one trust domain
/// speak for no other.
pub fn verify(token: &str, audience: &str, bundle: &TrustBundle) -> Result<Verified, InvalidJwtSvid> {
    if token.len() > MAX_BYTES {
        return Err(InvalidJwtSvid::TooLarge(token.len()));
    }
    if audience.is_empty() {
        return Err(InvalidJwtSvid::NoAudience);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidJwtSvid::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(InvalidJwtSvid::Algorithm(header.alg));
    }
    if header.typ.as_deref().is_some_and(|typ| typ != "JWT" && typ != "JOSE") {
        return Err(InvalidJwtSvid::Type);
    }
    let claimed: Map<String, Value> =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| InvalidJwtSvid::Malformed)?;
    let subject = claimed.get("sub").and_then(Value::as_str).ok_or(InvalidJwtSvid::NoSubject)?;
    let trust_domain = trust_domain(subject).ok_or(InvalidJwtSvid::NoSubject)?;
    let of = bundle.of(&trust_domain).ok_or_else(|| InvalidJwtSvid::TrustDomain(trust_domain.clone()))?;
    let keys: JwkSet = serde_json::from_str(of.jwt_keys()).unwrap_or(JwkSet { keys: Vec::new() });
    let jwk = match (&header.kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let jwk = jwk.ok_or(InvalidJwtSvid::NoKey(trust_domain))?;
    let key = DecodingKey::from_jwk(jwk).map_err(|_| InvalidJwtSvid::UnusableKey)?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY;
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
    let claims = decoded.map_err(|error| InvalidJwtSvid::Refused(error.to_string()))?.claims;
    // What was verified counts, not what was looked at before.
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(InvalidJwtSvid::NoSubject)?;
    Ok(Verified { spiffe_id: subject.to_owned(), claims })
}

/// The trust domain of a SPIFFE id of any path (SPIFFE-ID standard, section 2).
fn trust_domain(id: &str) -> Option<TrustDomain> {
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let good = |segment: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
    };
    let fits = id.len() <= 2048 && path.split('/').all(good);
    TrustDomain::new(domain).ok().filter(|_| fits)
}

/// Why a token proves nobody. Whoever shows it may read this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwtSvid {
    /// Beyond the bound.
    #[error("it has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Nobody says for whom it should be.
    #[error("the audience is empty; name the one that the token must be for")]
    NoAudience,
    /// Not a JWT.
    #[error("it is no JWT with readable header and claims")]
    Malformed,
    /// Symmetric, or unknown to the standard.
    #[error("its algorithm {0:?} is not one of those that a JWT-SVID may have")]
    Algorithm(Algorithm),
    /// Another kind of token.
    #[error("its `typ` is neither JWT nor JOSE")]
    Type,
    /// No SPIFFE id.
    #[error("its `sub` is no SPIFFE id of a workload")]
    NoSubject,
    /// Not known here.
    #[error("it is of trust domain `{0}`, which is neither ours nor federated")]
    TrustDomain(TrustDomain),
    /// Its key is not in the bundle.
    #[error("trust domain `{0}` has no key of that id")]
    NoKey(TrustDomain),
    /// The key in the bundle is of no use.
    #[error("the key in the bundle cannot be used")]
    UnusableKey,
    /// Signature, lifetime or audience.
    #[error("{0}")]
    Refused(String),
}

#[cfg(test)]
mod tests;
