//! An OIDC issuer for tests.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub(crate) use mesh_token::testing::Issuer;

use crate::config::Oidc;

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
