//! An OIDC issuer for tests.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::config::Oidc;

pub(crate) struct Issuer {
    key: KeyPair,
    kid: &'static str,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { key: KeyPair::generate().unwrap(), kid }
    }

    pub(crate) fn jwks(&self) -> Value {
        // An uncompressed point: 04, x, y.
        let (x, y) = self.key.der_bytes()[1..].split_at(32);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": b64(x), "y": b64(y)}]})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

pub(crate) fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": "https://issuer.test", "aud": ["mesh"], "exp": now + 600, "nbf": now - 10,
        "sub": "system:serviceaccount:shop:cart",
    })
}

pub(crate) fn config(jwks: String) -> Oidc {
    Oidc { issuer: "https://issuer.test".into(), audience: "mesh".into(), jwks, jwks_roots: None }
}
