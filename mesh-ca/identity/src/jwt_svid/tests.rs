//! Facts about tokens that are shown to us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;

use super::*;
use crate::peer::unix_now;
use crate::testing::TestCa;

struct Signer {
    key: KeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { key: KeyPair::generate().unwrap(), kid }
    }

    fn jwk(&self) -> Value {
        // An uncompressed point: 04, x, y.
        let (x, y) = self.key.der_bytes()[1..].split_at(32);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "jwt-svid", "kid": self.kid, "x": b64(x), "y": b64(y)})
    }

    fn token(&self, claims: &Value) -> String {
        self.token_as(Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) }, claims)
    }

    fn token_as(&self, header: Header, claims: &Value) -> String {
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

fn jwks(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

fn claims() -> Value {
    let now = unix_now();
    json!({"sub": "spiffe://here.test/ns/shop/sa/cart", "aud": ["orders", "bank"], "exp": now + 300, "iat": now})
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

fn bundle(ours: &[&Signer], theirs: &[&Signer]) -> TrustBundle {
    let there = TestCa::new("there.test").bundle().with_jwt_keys(&jwks(theirs));
    TestCa::new("here.test").bundle().with_jwt_keys(&jwks(ours)).with_federated(vec![there]).unwrap()
}

#[test]
fn a_token_for_the_audience_says_who_its_holder_is() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let bundle = bundle(&[&one, &two], &[]);
    for signer in [&one, &two] {
        let verified = verify(&signer.token(&claims()), "orders", &bundle).unwrap();
        assert_eq!(verified.spiffe_id, "spiffe://here.test/ns/shop/sa/cart");
        assert_eq!(verified.claims.get("aud"), Some(&json!(["orders", "bank"])));
    }
}

#[test]
fn a_token_of_a_federated_trust_domain_holds_by_its_own_keys_and_with_any_path() {
    let (ours, theirs) = (Signer::new("k"), Signer::new("k"));
    let bundle = bundle(&[&ours], &[&theirs]);
    let foreign = changed(|claims| claims["sub"] = json!("spiffe://there.test/branch/7/teller"));
    assert_eq!(
        verify(&theirs.token(&foreign), "bank", &bundle).unwrap().spiffe_id,
        "spiffe://there.test/branch/7/teller"
    );
    // The keys of one speak for no other, in both directions.
    for (signer, claims) in [(&ours, &foreign), (&theirs, &claims())] {
        let refused = verify(&signer.token(claims), "bank", &bundle).unwrap_err();
        assert!(matches!(refused, InvalidJwtSvid::Refused(_)), "{refused}");
    }
}

#[test]
fn every_way_to_be_wrong_is_refused() {
    let signer = Signer::new("k");
    let bundle = bundle(&[&signer], &[]);
    let check =
        |claims: Value, audience: &str| verify(&signer.token(&claims), audience, &bundle).unwrap_err();
    let refused = |error: InvalidJwtSvid| matches!(error, InvalidJwtSvid::Refused(_));
    assert!(refused(check(claims(), "somebody-else")));
    assert!(refused(check(changed(|c| c["exp"] = json!(unix_now() - 60)), "orders")));
    assert!(refused(check(changed(|c| c["nbf"] = json!(unix_now() + 600)), "orders")));
    for missing in ["exp", "aud"] {
        assert!(
            refused(check(changed(|c| drop(c.as_object_mut().unwrap().remove(missing))), "orders")),
            "{missing}"
        );
    }
    assert_eq!(check(claims(), ""), InvalidJwtSvid::NoAudience);
    for subject in [
        "",
        "cart",
        "spiffe://here.test",
        "spiffe://here.test/",
        "spiffe://here.test/a//b",
        "spiffe://here.test/../b",
        "https://here.test/a",
    ] {
        assert_eq!(
            check(changed(|c| c["sub"] = json!(subject)), "orders"),
            InvalidJwtSvid::NoSubject,
            "{subject}"
        );
    }
    let stranger = check(changed(|c| c["sub"] = json!("spiffe://third.test/a")), "orders");
    assert_eq!(stranger, InvalidJwtSvid::TrustDomain(TrustDomain::new("third.test").unwrap()));
    assert_eq!(verify("a.b", "orders", &bundle), Err(InvalidJwtSvid::Malformed));
    assert_eq!(
        verify(&"a".repeat(MAX_BYTES + 1), "orders", &bundle),
        Err(InvalidJwtSvid::TooLarge(MAX_BYTES + 1))
    );
}

#[test]
fn a_header_can_choose_neither_a_symmetric_algorithm_nor_another_kind_of_token() {
    let signer = Signer::new("k");
    let bundle = bundle(&[&signer], &[]);
    let hmac =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(b"x"));
    assert_eq!(verify(&hmac.unwrap(), "orders", &bundle), Err(InvalidJwtSvid::Algorithm(Algorithm::HS256)));
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    assert_eq!(verify(&none, "orders", &bundle), Err(InvalidJwtSvid::Malformed));
    let header = |typ: Option<&str>, kid: Option<&str>| Header {
        typ: typ.map(str::to_owned),
        kid: kid.map(str::to_owned),
        ..Header::new(Algorithm::ES256)
    };
    let of = |typ, kid| verify(&signer.token_as(header(typ, kid), &claims()), "orders", &bundle);
    assert_eq!(of(Some("at+jwt"), Some("k")), Err(InvalidJwtSvid::Type));
    of(Some("JOSE"), Some("k")).unwrap();
    // Without a key id the only key counts; a wrong one counts for nothing.
    of(None, None).unwrap();
    assert!(matches!(of(None, Some("other")), Err(InvalidJwtSvid::NoKey(_))));
}
