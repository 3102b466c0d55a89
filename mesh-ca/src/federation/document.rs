//! A SPIFFE bundle as the document that trust domains give each other: a JWKS with roots and keys of tokens. Pure. It must not know how it
//! travels.
//!
//! Source: the SPIFFE Trust Domain and Bundle standard, section 4; RFC 7517.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use mesh_identity::{InvalidBundle, TrustBundle};
use mesh_model::spiffe::TrustDomain;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The most keys of tokens of one trust domain.
const MAX_JWT_KEYS: usize = 32;
/// Largest number that JSON carries everywhere (2^53 - 1).
const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// A document that was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Its generation is the document's sequence number, 0 where it has none.
    pub(crate) bundle: TrustBundle,
    /// When to ask again, seconds.
    pub(crate) refresh_hint: Option<u64>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    spiffe_sequence: Option<u64>,
    #[serde(default)]
    spiffe_refresh_hint: Option<u64>,
    keys: Vec<Value>,
}

/// Why a document is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidDocument {
    #[error("it is no JWKS: {0}")]
    NotJwks(String),
    #[error("key {0}: a root is one certificate in `x5c`, base64 of DER")]
    Root(usize),
    #[error("key {index}: the root names trust domain `{found}`, not `{wanted}`")]
    OtherTrustDomain { index: usize, found: String, wanted: TrustDomain },
    #[error("it has a root of our own trust domain: a bundle speaks for its own members alone")]
    OurOwn,
    #[error("key {0}: a key of tokens needs a `kid` and must be one that can be read")]
    JwtKey(usize),
    #[error("it has more than {MAX_JWT_KEYS} keys of tokens")]
    TooMany,
    #[error("its sequence number {0} is beyond what JSON carries")]
    Sequence(u64),
    #[error(transparent)]
    Bundle(#[from] InvalidBundle),
}

/// Our own bundle for others. `sequence` grows with every change.
pub(crate) fn write(bundle: &TrustBundle, jwks: &str, sequence: u64, refresh_hint: u64) -> String {
    let roots = bundle.roots().iter().filter_map(|root| root_key(root));
    let tokens: Value = serde_json::from_str(jwks).unwrap_or_default();
    let tokens = tokens.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let keys: Vec<Value> = roots.chain(tokens).collect();
    json!({"spiffe_sequence": sequence, "spiffe_refresh_hint": refresh_hint, "keys": keys}).to_string()
}

/// Reads the bundle of `wanted`. `ours` is what it must not speak for.
pub(crate) fn read(text: &[u8], wanted: &TrustDomain, ours: &TrustBundle) -> Result<Read, InvalidDocument> {
    let document: Document =
        serde_json::from_slice(text).map_err(|error| InvalidDocument::NotJwks(error.to_string()))?;
    let sequence = document.spiffe_sequence.unwrap_or(0);
    if sequence > MAX_SEQUENCE {
        return Err(InvalidDocument::Sequence(sequence));
    }
    let (mut roots, mut tokens) = (Vec::new(), Vec::new());
    for (index, key) in document.keys.into_iter().enumerate() {
        match key.get("use").and_then(Value::as_str) {
            Some("x509-svid") => roots.push(root(index, &key, wanted, ours)?),
            Some("jwt-svid") => tokens.push(token_key(index, key)?),
            // What else a key is for is not ours to know (section 4.2.2).
            _ => {}
        }
    }
    if tokens.len() > MAX_JWT_KEYS {
        return Err(InvalidDocument::TooMany);
    }
    let jwks = if tokens.is_empty() { String::new() } else { json!({ "keys": tokens }).to_string() };
    let bundle = TrustBundle::new(wanted.clone(), sequence, roots)?.with_jwt_keys(&jwks);
    Ok(Read { bundle, refresh_hint: document.spiffe_refresh_hint })
}

fn root(
    index: usize,
    key: &Value,
    wanted: &TrustDomain,
    ours: &TrustBundle,
) -> Result<CertificateDer<'static>, InvalidDocument> {
    let chain = key.get("x5c").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let [Value::String(text)] = chain else { return Err(InvalidDocument::Root(index)) };
    let der = STANDARD.decode(text).map_err(|_| InvalidDocument::Root(index))?;
    let root = CertificateDer::from(der);
    if ours.roots().contains(&root) {
        return Err(InvalidDocument::OurOwn);
    }
    let (_, parsed) = X509Certificate::from_der(&root).map_err(|_| InvalidDocument::Root(index))?;
    let san = parsed.subject_alternative_name().ok().flatten();
    let names = san.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    let named = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    match named {
        Some(name) if name == ours.trust_domain().as_str() => Err(InvalidDocument::OurOwn),
        Some(name) if name != wanted.as_str() => Err(InvalidDocument::OtherTrustDomain {
            index,
            found: name.chars().take(80).collect(),
            wanted: wanted.clone(),
        }),
        // A root need not name its trust domain.
        _ => Ok(root),
    }
}

/// One that cannot be read would make the whole set of no use where it is used.
fn token_key(index: usize, key: Value) -> Result<Value, InvalidDocument> {
    let bad = || InvalidDocument::JwtKey(index);
    let parsed: Jwk = serde_json::from_value(key.clone()).map_err(|_| bad())?;
    let named = parsed.common.key_id.is_some_and(|kid| !kid.is_empty());
    // Those that a JWT-SVID may be signed by (JWT-SVID, section 2.1.1): nothing symmetric.
    let kind = key.get("kty").and_then(Value::as_str);
    if named && matches!(kind, Some("EC" | "RSA")) { Ok(key) } else { Err(bad()) }
}

/// A root as a JWK. Its parameters are those of its key, as RFC 7517 section 4.7 wants them to agree.
fn root_key(root: &CertificateDer<'_>) -> Option<Value> {
    let (_, cert) = X509Certificate::from_der(root).ok()?;
    let point = cert.public_key().subject_public_key.data.strip_prefix(&[4])?;
    let (curve, size) = match point.len() {
        64 => ("P-256", 32),
        96 => ("P-384", 48),
        _ => return None,
    };
    let (x, y) = point.split_at_checked(size)?;
    let encode = |bytes| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    Some(json!({
        "kty": "EC", "crv": curve, "use": "x509-svid", "x": encode(x), "y": encode(y), "x5c": [STANDARD.encode(root)]
    }))
}

#[cfg(test)]
mod tests {
    use mesh_identity::testing::TestCa;

    use super::*;
    use crate::jwt::{JwtAuthority, JwtStore};

    async fn jwks() -> String {
        let authority = JwtAuthority::new(JwtStore::in_memory());
        authority.look().await.unwrap();
        authority.watch().borrow().to_string()
    }

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::new(name).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_reads_back_elsewhere() {
        let (ours, theirs) = (TestCa::new("here.test").bundle(), TestCa::new("there.test").bundle());
        let text = write(&theirs, &jwks().await, 7, 300);
        let read = read(text.as_bytes(), &domain("there.test"), &ours).unwrap();
        assert_eq!(read.bundle.roots(), theirs.roots());
        assert_eq!((read.bundle.generation(), read.refresh_hint), (7, Some(300)));
        assert!(read.bundle.jwt_keys().contains("jwt-svid"));
        assert!(!text.contains("\"d\""), "no private part is published");
    }

    #[tokio::test]
    async fn a_document_speaks_for_its_own_trust_domain_alone() {
        let ours = TestCa::new("here.test").bundle();
        let text = |ca: &TestCa| write(&ca.bundle(), "", 1, 300).into_bytes();
        let says = |text: &[u8], name| read(text, &domain(name), &ours).unwrap_err().to_string();
        let impostor = TestCa::new("here.test");
        assert!(says(&text(&impostor), "there.test").contains("a root of our own trust domain"));
        assert!(says(write(&ours, "", 1, 300).as_bytes(), "there.test").contains("our own trust domain"));
        let third = TestCa::new("third.test");
        assert!(
            says(&text(&third), "there.test").contains("names trust domain `third.test`, not `there.test`")
        );
    }

    #[tokio::test]
    async fn every_way_to_be_wrong_is_told() {
        let ours = TestCa::new("here.test").bundle();
        let good: Value =
            serde_json::from_str(&write(&TestCa::new("there.test").bundle(), &jwks().await, 1, 300)).unwrap();
        let says = |change: &dyn Fn(&mut Value)| {
            let mut document = good.clone();
            change(&mut document);
            match read(document.to_string().as_bytes(), &domain("there.test"), &ours) {
                Ok(_) => "accepted".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        assert!(says(&|d| *d = json!([])).contains("no JWKS"));
        assert!(says(&|d| d["keys"] = json!([])).contains("has no root"));
        assert!(says(&|d| d["keys"][0]["x5c"] = json!([])).contains("key 0: a root is one certificate"));
        assert!(says(&|d| d["keys"][0]["x5c"] = json!(["!"])).contains("key 0: a root is one certificate"));
        assert!(says(&|d| d["keys"][1]["kid"] = json!("")).contains("key 1: a key of tokens needs a `kid`"));
        assert!(says(&|d| d["keys"][1]["kty"] = json!("oct")).contains("key 1"));
        assert!(says(&|d| d["spiffe_sequence"] = json!(u64::MAX)).contains("beyond what JSON carries"));
        let many = |d: &mut Value| {
            let key = d["keys"][1].clone();
            d["keys"].as_array_mut().unwrap().extend(vec![key; MAX_JWT_KEYS]);
        };
        assert!(says(&many).contains("more than 32 keys"));
        let mut other = good;
        other["keys"][1]["use"] = json!("sig");
        let read = read(other.to_string().as_bytes(), &domain("there.test"), &ours).unwrap();
        assert_eq!(read.bundle.jwt_keys(), "", "keys for other things are left alone");
    }
}
