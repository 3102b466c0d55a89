//! The keys of an issuer: a JWKS, reduced to the public keys that signatures are verified with. It must not know tokens.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most keys of one issuer.
pub const MAX_KEYS: usize = 32;
/// Largest JWKS that is read, bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Longest `kid` of a key, bytes.
const MAX_KID: usize = 256;
/// Shortest and longest modulus of an RSA key as base64url: 2048 and 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 340..=1368;

/// The keys of one issuer.
#[derive(Clone)]
pub struct Keys {
    keys: Vec<Key>,
}

#[derive(Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
    /// Its public members alone.
    jwk: Value,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a JWKS. A key that is for something else than signatures, or that cannot be used, is left out (RFC 7517 section 5).
    pub fn parse(jwks: &[u8]) -> Result<Self, InvalidKeys> {
        if jwks.len() > MAX_JWKS_BYTES {
            return Err(InvalidKeys::TooLarge(jwks.len()));
        }
        let set: Set =
            serde_json::from_slice(jwks).map_err(|error| InvalidKeys::NotJwks(error.to_string()))?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(usable).take(MAX_KEYS + 1).collect();
        match keys.len() {
            0 => Err(InvalidKeys::None),
            n if n > MAX_KEYS => Err(InvalidKeys::TooMany),
            _ => Ok(Self { keys }),
        }
    }

    /// The same keys as a JWKS, in the same order, with nothing else in it: no private part, no certificate, no comment.
    pub fn to_json(&self) -> String {
        json!({ "keys": self.keys.iter().map(|key| &key.jwk).collect::<Vec<_>>() }).to_string()
    }

    /// How many; never none.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key has that name.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Those that a token of that algorithm and `kid` may be signed with. Without a `kid` the only key there is.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let named = move |key: &&Key| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => self.keys.len() == 1,
        };
        self.keys.iter().filter(named).filter(move |key| key.algorithms.contains(&algorithm))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.kid.as_deref().unwrap_or("-"))).finish()
    }
}

fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|what| what.contains(&KeyOperations::Verify));
    if !signs || !verifies || common.key_id.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
        return None;
    }
    let (all, public): (&[Algorithm], Value) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if MODULUS.contains(&rsa.n.trim_end_matches('=').len()) => {
            (&RSA, json!({"kty": "RSA", "n": rsa.n, "e": rsa.e}))
        }
        AlgorithmParameters::EllipticCurve(ec) => {
            let (crv, one): (_, &[Algorithm]) = match ec.curve {
                EllipticCurve::P256 => ("P-256", &[Algorithm::ES256]),
                EllipticCurve::P384 => ("P-384", &[Algorithm::ES384]),
                _ => return None,
            };
            (one, json!({"kty": "EC", "crv": crv, "x": ec.x, "y": ec.y}))
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            (&[Algorithm::EdDSA], json!({"kty": "OKP", "crv": "Ed25519", "x": okp.x}))
        }
        // A secret is never a public key; others are not known.
        _ => return None,
    };
    let algorithms = match common.key_algorithm {
        None => all.to_vec(),
        Some(said) => {
            all.iter().copied().filter(|one| jsonwebtoken::jwk::KeyAlgorithm::from(*one) == said).collect()
        }
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    if algorithms.is_empty() {
        return None;
    }
    let mut public: Map<String, Value> = public.as_object().cloned().unwrap_or_default();
    if let Some(kid) = &common.key_id {
        public.insert("kid".to_owned(), Value::from(kid.as_str()));
    }
    if let Some(said) = common.key_algorithm {
        public.insert("alg".to_owned(), Value::from(said.to_string()));
    }
    Some(Key { kid: common.key_id.clone(), algorithms, key, jwk: Value::Object(public) })
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// More bytes than are read.
    #[error("it has {0} bytes, at most {MAX_JWKS_BYTES} are read")]
    TooLarge(usize),
    /// Not JSON, or no `keys`.
    #[error("it is no JWKS: {0}")]
    NotJwks(String),
    /// None for RS, PS, ES or EdDSA.
    #[error("it has no public key that verifies RS256 to 512, PS256 to 512, ES256, ES384 or EdDSA")]
    None,
    /// More than are kept.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Issuer;

    fn parsed(keys: &Value) -> Result<Keys, InvalidKeys> {
        Keys::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn what_is_read_is_written_without_anything_that_is_not_public() {
        let mut key = Issuer::new("a").jwk();
        key["d"] = json!("private");
        key["x5c"] = json!(["certificate"]);
        let keys = parsed(&json!([key])).unwrap();
        let text = keys.to_json();
        assert!(!text.contains("private") && !text.contains("certificate"), "{text}");
        assert_eq!(Keys::parse(text.as_bytes()).unwrap().to_json(), text);
        assert!(keys.has("a") && !keys.has("A") && !keys.has(""));
    }

    #[test]
    fn secrets_and_keys_for_other_purposes_are_left_out() {
        let good = Issuer::new("a").jwk();
        let with = |name: &str, value: Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        for (case, key) in [
            ("a secret", json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"})),
            ("for encryption", with("use", json!("enc"))),
            ("for signing only", with("key_ops", json!(["sign"]))),
            ("of another algorithm", with("alg", json!("HS256"))),
            ("of another curve", with("crv", json!("P-521"))),
            ("a short RSA key", json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
            ("a long name", with("kid", json!("k".repeat(MAX_KID + 1)))),
            ("no key", json!("text")),
        ] {
            assert_eq!(parsed(&json!([key])).map(|_| ()), Err(InvalidKeys::None), "{case}");
            assert_eq!(parsed(&json!([key, good])).unwrap().count(), 1, "{case}");
        }
    }

    #[test]
    fn sets_have_bounds() {
        let key = Issuer::new("a").jwk();
        assert_eq!(parsed(&json!(vec![&key; MAX_KEYS])).unwrap().count(), MAX_KEYS);
        assert_eq!(parsed(&json!(vec![&key; MAX_KEYS + 1])).map(|_| ()), Err(InvalidKeys::TooMany));
        let large = vec![b' '; MAX_JWKS_BYTES + 1];
        assert!(matches!(Keys::parse(&large), Err(InvalidKeys::TooLarge(_))));
        assert!(matches!(Keys::parse(b"<html>"), Err(InvalidKeys::NotJwks(_))));
    }
}
