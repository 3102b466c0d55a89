//! What a token proves, given the keys of its issuer and the time. It must not know where it was found.

use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

use crate::Keys;

/// Largest token that is looked at, bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Seconds that an issuer's clock may differ from ours.
pub const LEEWAY: u64 = 30;
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

/// Whose token it must be, for whom and when.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`, literally.
    pub issuer: &'a str,
    /// `aud` must name one of these, literally.
    pub audiences: &'a [String],
    /// Unix seconds.
    pub now: u64,
}

/// A token that is good.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Everything that its issuer says.
    pub claims: Map<String, Value>,
    /// From when on it is good no more, Unix seconds, the leeway included.
    pub until: u64,
}

/// The issuer that a token claims to be of: good for choosing keys, and proves nothing.
pub fn issuer_of(token: &str) -> Result<String, InvalidToken> {
    match unproven(token)?.get("iss") {
        Some(Value::String(issuer)) => Ok(issuer.clone()),
        _ => Err(InvalidToken::Missing("iss")),
    }
}

/// What a token claims, proven by nothing: for those who tell people why a token is refused, and for nobody who lets anybody in.
pub fn unproven(token: &str) -> Result<Map<String, Value>, InvalidToken> {
    bounded(token)?;
    Ok(jsonwebtoken::dangerous::insecure_decode(token).map_err(|_| InvalidToken::Malformed)?.claims)
}

/// Judges all but the signature of a token whose issuer's keys are not at hand: for those who tell people what would become of it.
pub fn judge_unproven(token: &str, expected: &Expected<'_>) -> Result<Verified, InvalidToken> {
    judge(unproven(token)?, expected)
}

/// Verifies signature, issuer, audience and times.
pub fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Verified, InvalidToken> {
    bounded(token)?;
    let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(InvalidToken::Algorithm);
    }
    // What must be understood is not: RFC 7515 section 4.1.11.
    if header.crit.is_some() {
        return Err(InvalidToken::Critical);
    }
    if header.kid.as_deref().is_some_and(|kid| !keys.has(kid)) {
        return Err(InvalidToken::UnknownKey);
    }
    // Times, issuer and audience are judged below, by the clock that is given.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let mut failed = InvalidToken::NoKey;
    for key in keys.candidates(header.kid.as_deref(), header.alg) {
        match jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation) {
            Ok(token) => return judge(token.claims, expected),
            Err(_) => failed = InvalidToken::Signature,
        }
    }
    Err(failed)
}

fn bounded(token: &str) -> Result<(), InvalidToken> {
    if token.len() > MAX_TOKEN_BYTES { Err(InvalidToken::TooLarge) } else { Ok(()) }
}

fn judge(claims: Map<String, Value>, expected: &Expected<'_>) -> Result<Verified, InvalidToken> {
    match claims.get("iss") {
        Some(Value::String(issuer)) if issuer == expected.issuer => {}
        None => return Err(InvalidToken::Missing("iss")),
        Some(_) => return Err(InvalidToken::Issuer),
    }
    let meant = |audience: &Value| {
        audience.as_str().is_some_and(|audience| expected.audiences.iter().any(|one| one == audience))
    };
    match claims.get("aud") {
        Some(Value::Array(several)) if several.iter().any(meant) => {}
        Some(one) if meant(one) => {}
        None => return Err(InvalidToken::Missing("aud")),
        Some(_) => return Err(InvalidToken::Audience),
    }
    let late = expected.now.saturating_add(LEEWAY);
    let until = time(&claims, "exp")?.ok_or(InvalidToken::Missing("exp"))?.saturating_add(LEEWAY);
    if expected.now >= until {
        return Err(InvalidToken::Expired);
    }
    for claim in ["nbf", "iat"] {
        if time(&claims, claim)?.is_some_and(|from| from > late) {
            return Err(InvalidToken::TooEarly);
        }
    }
    Ok(Verified { claims, until })
}

/// A NumericDate (RFC 7519 section 2): seconds, of which the fraction does not count here.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<u64>, InvalidToken> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in this range")]
        Some(seconds as u64)
    });
    whole.map(Some).ok_or(InvalidToken::Time(claim))
}

/// Why a token is not good. Nothing of the token is in the text: whoever sent it may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Beyond [`MAX_TOKEN_BYTES`].
    #[error("it is larger than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    /// Not three parts with readable JSON, or with an algorithm that nobody knows.
    #[error("it is no JWT of a known algorithm")]
    Malformed,
    /// `none`, or one with a shared secret.
    #[error("its algorithm is not one of RS256 to 512, PS256 to 512, ES256, ES384 and EdDSA")]
    Algorithm,
    /// A header that must be understood.
    #[error("it has critical headers, and none is known")]
    Critical,
    /// `kid` names no key.
    #[error("the issuer has no key of that `kid`")]
    UnknownKey,
    /// No key is for the algorithm; or there is no `kid`, and several keys.
    #[error("the issuer has no key for it")]
    NoKey,
    /// Nobody signed this.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer's.
    #[error("it is of another issuer")]
    Issuer,
    /// For others.
    #[error("it is for another audience")]
    Audience,
    /// `exp` is over.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("it is not valid yet")]
    TooEarly,
    /// A claim is required.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A time that is none.
    #[error("its `{0}` is no time")]
    Time(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Issuer, forged, unsigned};
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Value {
        json!({"iss": "https://issuer.test", "aud": ["web", "mesh"], "exp": NOW + 600, "nbf": NOW - 10, "sub": "ann"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn check(issuer: &Issuer, token: &str) -> Result<Verified, InvalidToken> {
        let audiences = ["mesh".to_owned()];
        verify(
            token,
            &issuer.keys(),
            &Expected { issuer: "https://issuer.test", audiences: &audiences, now: NOW },
        )
    }

    #[test]
    fn a_good_token_proves_its_claims_until_it_expires() {
        let issuer = Issuer::new("a");
        let verified = check(&issuer, &issuer.token(&claims())).unwrap();
        assert_eq!((verified.claims["sub"].as_str(), verified.until), (Some("ann"), NOW + 600 + LEEWAY));
        check(&issuer, &issuer.token(&with("aud", json!("mesh")))).unwrap();
        check(&issuer, &issuer.token(&with("exp", json!(1.8e9 + 0.5)))).unwrap();
        check(&issuer, &issuer.token(&with("nbf", json!(NOW + LEEWAY)))).unwrap();
        assert_eq!(issuer_of(&issuer.token(&claims())).unwrap(), "https://issuer.test");
    }

    // T23
    #[test]
    fn issuer_audience_and_times_are_required_and_literal() {
        let issuer = Issuer::new("a");
        for (claims, refused) in [
            (with("iss", json!("https://issuer.test/")), InvalidToken::Issuer),
            (with("iss", json!(["https://issuer.test"])), InvalidToken::Issuer),
            (without("iss"), InvalidToken::Missing("iss")),
            (with("aud", json!("web")), InvalidToken::Audience),
            (with("aud", json!("mes")), InvalidToken::Audience),
            (with("aud", json!(["MESH"])), InvalidToken::Audience),
            (with("aud", json!([])), InvalidToken::Audience),
            (without("aud"), InvalidToken::Missing("aud")),
            (with("exp", json!(NOW - LEEWAY)), InvalidToken::Expired),
            (with("exp", json!(0)), InvalidToken::Expired),
            (without("exp"), InvalidToken::Missing("exp")),
            (with("exp", json!("2099-01-01")), InvalidToken::Time("exp")),
            (with("exp", json!(-1)), InvalidToken::Time("exp")),
            (with("exp", json!(1e300)), InvalidToken::Time("exp")),
            (with("exp", Value::Null), InvalidToken::Time("exp")),
            (with("nbf", json!(NOW + LEEWAY + 1)), InvalidToken::TooEarly),
            (with("iat", json!(NOW + LEEWAY + 1)), InvalidToken::TooEarly),
            (with("nbf", json!("now")), InvalidToken::Time("nbf")),
        ] {
            assert_eq!(check(&issuer, &issuer.token(&claims)), Err(refused), "{claims}");
        }
    }

    // T23
    #[test]
    fn no_algorithm_without_a_key_pair_is_taken() {
        let issuer = Issuer::new("a");
        let secret = issuer.jwks().to_string();
        let der = issuer.public_der();
        for secret in [secret.as_bytes(), der.as_slice()] {
            assert_eq!(check(&issuer, &forged("a", secret, &claims())), Err(InvalidToken::Algorithm));
        }
        for alg in ["none", "None", "NONE", ""] {
            assert_eq!(check(&issuer, &unsigned(alg, &claims())), Err(InvalidToken::Malformed), "{alg}");
        }
        for text in ["", "a.b.c", "..", "a", &"x".repeat(100)] {
            assert_eq!(check(&issuer, text), Err(InvalidToken::Malformed), "{text}");
        }
        assert_eq!(check(&issuer, &"x".repeat(1024 * 1024)), Err(InvalidToken::TooLarge));
        assert_eq!(issuer_of(&"x".repeat(1024 * 1024)), Err(InvalidToken::TooLarge));
    }

    // T23
    #[test]
    fn a_key_is_found_by_its_literal_name_alone() {
        let issuer = Issuer::new("a");
        for kid in ["b", "A", "a ", "../a", "/etc/passwd", "a' OR '1'='1", "http://169.254.169.254/", ""] {
            let token = issuer.named(kid).token(&claims());
            assert_eq!(check(&issuer, &token), Err(InvalidToken::UnknownKey), "{kid}");
        }
        let other = Issuer::new("a");
        assert_eq!(check(&issuer, &other.token(&claims())), Err(InvalidToken::Signature));
        check(&issuer, &issuer.nameless().token(&claims())).unwrap();
        let two = json!({"keys": [issuer.jwk(), other.jwk()]});
        let two = Keys::parse(two.to_string().as_bytes()).unwrap();
        let audiences = ["mesh".to_owned()];
        let expected = Expected { issuer: "https://issuer.test", audiences: &audiences, now: NOW };
        assert_eq!(verify(&issuer.nameless().token(&claims()), &two, &expected), Err(InvalidToken::NoKey));
        // Two keys of one name, as while one replaces the other: either may have signed.
        verify(&other.token(&claims()), &two, &expected).unwrap();
    }

    #[test]
    fn headers_that_must_be_understood_are_refused() {
        let issuer = Issuer::new("a");
        assert_eq!(check(&issuer, &issuer.critical().token(&claims())), Err(InvalidToken::Critical));
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_anywhere_is_refused(at in 0_usize..1000, to in "[A-Za-z0-9_-]") {
            let issuer = Issuer::new("a");
            let token = issuer.token(&claims());
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            let same = changed == token;
            // The last character of a part has bits that say nothing; a decoder must refuse others than zero.
            prop_assert_eq!(check(&issuer, &changed).is_ok(), same, "{}", changed);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}") {
            let issuer = Issuer::new("a");
            prop_assert!(check(&issuer, &text).is_err());
            prop_assert!(issuer_of(&text).is_err());
        }
    }
}
