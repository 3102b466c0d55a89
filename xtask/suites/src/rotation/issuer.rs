//! An OIDC issuer of our own: tokens that prove a workload again when its certificate has ended, which a one-time token cannot.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const NAME: &str = "https://issuer.suites";
const AUDIENCE: &str = "mesh-ca";
/// Seconds that a token is good: longer than any run.
const LIFE: u64 = 86_400;

/// The issuer.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    key: Rc<EcdsaKeyPair>,
}

impl Issuer {
    /// With a key of its own.
    pub(crate) fn new() -> Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("make a key")?;
        Ok(Self { key: Rc::new(key) })
    }

    /// Writes its keys into `folder`, and gives the options by which an authority trusts it.
    pub(crate) fn options(&self, folder: &Path) -> Result<String> {
        let path = folder.join("jwks.json");
        // An uncompressed point: 04, x, y.
        let point = self.key.public_key().as_ref();
        let (x, y) = (point.get(1..33).context("a point")?, point.get(33..65).context("a point")?);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]});
        std::fs::write(&path, keys.to_string()).with_context(|| format!("write {}", path.display()))?;
        Ok(format!("--oidc-issuer {NAME} --oidc-audience {AUDIENCE} --oidc-jwks {}", path.display()))
    }

    /// A file with a token of a workload.
    pub(crate) fn token(&self, folder: &Path, namespace: &str, account: &str) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": NAME, "aud": [AUDIENCE], "nbf": now - 10, "exp": now + LIFE,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": "1"})), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).context("sign a token")?;
        let path = folder.join(format!("{namespace}-{account}.jwt"));
        let text = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
