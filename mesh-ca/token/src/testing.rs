//! An issuer for tests. Its keys are made anew each time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests say plainly what they expect"
)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::Keys;

/// Signs tokens with ES256.
#[derive(Debug, Clone)]
pub struct Issuer {
    key: Arc<KeyPair>,
    kid: Option<String>,
    crit: Option<Vec<String>>,
}

impl Issuer {
    /// With a new key of that name.
    pub fn new(kid: &str) -> Self {
        Self { key: Arc::new(KeyPair::generate().unwrap()), kid: Some(kid.to_owned()), crit: None }
    }

    /// The same key under another name.
    pub fn named(&self, kid: &str) -> Self {
        Self { kid: Some(kid.to_owned()), ..self.clone() }
    }

    /// The same key, which its tokens do not name.
    pub fn nameless(&self) -> Self {
        Self { kid: None, ..self.clone() }
    }

    /// The same key; its tokens have a critical header.
    pub fn critical(&self) -> Self {
        Self { crit: Some(vec!["exp".to_owned()]), ..self.clone() }
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 04, x, y.
        let (x, y) = self.key.der_bytes()[1..].split_at(32);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": b64(x), "y": b64(y)})
    }

    /// The public key, as DER.
    pub fn public_der(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The JWKS.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// The JWKS, read.
    pub fn keys(&self) -> Keys {
        Keys::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid.clone_from(&self.kid);
        header.crit.clone_from(&self.crit);
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

/// A token that is "signed" with a secret, HS256.
pub fn forged(kid: &str, secret: &[u8], claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token without a signature, with that `alg`.
pub fn unsigned(alg: &str, claims: &Value) -> String {
    let b64 = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", b64(json!({"alg": alg, "typ": "JWT"}).to_string()), b64(claims.to_string()))
}
