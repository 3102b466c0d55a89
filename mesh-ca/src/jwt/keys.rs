//! The keys of tokens and how they follow each other. Pure but for randomness: time comes in. It must not know where they are kept.
//!
//! A key is published for an hour before it signs, so that whoever verifies has it by then; it signs for a day; and it is published for
//! as long as a token of its may live after another one took over.

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::MAX_TTL;

/// Seconds between one key's beginning to sign and the next one's.
const SIGNS: u64 = 86_400;
/// Seconds that a key is published before it signs.
const AHEAD: u64 = 3600;
/// Seconds that a key is published beyond the life of its last token, for clocks that differ.
const BEHIND: u64 = 300;
/// More are in no store of ours.
const MAX_KEYS: usize = 8;

/// Oldest first; there is at least one. It has no `Debug`: they are secret (INV-8).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct JwtKeys {
    keys: Vec<JwtKey>,
    /// Unix second of the last change.
    changed: u64,
}

#[derive(Clone, PartialEq, Eq)]
struct JwtKey {
    id: String,
    /// PKCS #8, DER.
    private: Vec<u8>,
    x: String,
    y: String,
    /// Unix second from which it signs.
    from: u64,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    keys: Vec<KeptKey>,
    #[serde(default)]
    changed: u64,
}

#[derive(Serialize, Deserialize)]
struct KeptKey {
    kid: String,
    private: String,
    from: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: &'a [String],
    exp: u64,
    iat: u64,
}

/// Why a key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyTrouble {
    #[error("no key can be made")]
    Make,
    #[error("the keys of tokens cannot be read: {0}")]
    Read(String),
    #[error("a token cannot be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

impl JwtKeys {
    /// The first key, which signs at once.
    pub(super) fn begin(now: u64) -> Result<Self, KeyTrouble> {
        Ok(Self { keys: vec![JwtKey::generate(now)?], changed: now })
    }

    /// Reads what [`JwtKeys::kept`] wrote.
    pub(super) fn read(text: &str) -> Result<Self, KeyTrouble> {
        let bad = |why: &str| KeyTrouble::Read(why.to_owned());
        let kept: Kept = serde_json::from_str(text).map_err(|_| bad("they are not what the CA writes"))?;
        if kept.keys.is_empty() || kept.keys.len() > MAX_KEYS {
            return Err(bad("there are none, or too many"));
        }
        let mut keys = Vec::new();
        for key in &kept.keys {
            let private = STANDARD.decode(&key.private).map_err(|_| bad("a key is not base64"))?;
            keys.push(
                JwtKey::of(key.kid.clone(), private, key.from)
                    .ok_or_else(|| bad("a key is not PKCS #8 of P-256"))?,
            );
        }
        keys.sort_by_key(|key| key.from);
        Ok(Self { keys, changed: kept.changed })
    }

    /// As text that must stay secret.
    pub(super) fn kept(&self) -> String {
        let keys = self.keys.iter().map(|key| KeptKey {
            kid: key.id.clone(),
            private: STANDARD.encode(&key.private),
            from: key.from,
        });
        serde_json::to_string(&Kept { keys: keys.collect(), changed: self.changed }).unwrap_or_default()
    }

    /// What there should be at `now`; `None` if that is what there is.
    pub(super) fn turned(&self, now: u64) -> Result<Option<Self>, KeyTrouble> {
        let mut keys = self.keys.clone();
        let last = keys.last().map_or(0, |key| key.from);
        if now + AHEAD >= last + SIGNS {
            // After a long sleep it is still an hour until the new one signs: nobody has it yet.
            keys.push(JwtKey::generate((last + SIGNS).max(now + AHEAD))?);
        }
        // A key is over when its successor has signed for longer than a token lives.
        let over = |next: &JwtKey| next.from + MAX_TTL.as_secs() + BEHIND <= now;
        while keys.get(1).is_some_and(over) {
            keys.remove(0);
        }
        Ok((keys != self.keys).then_some(Self { keys, changed: now }))
    }

    /// Unix second of the last change.
    pub(super) fn changed(&self) -> u64 {
        self.changed
    }

    /// The JWKS, with every public key.
    pub(super) fn jwks(&self) -> String {
        let keys = self.keys.iter().map(|key| {
            json!({"kty": "EC", "crv": "P-256", "use": "jwt-svid", "kid": key.id, "x": key.x, "y": key.y})
        });
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// A token in compact form. Times are Unix seconds.
    pub(super) fn sign(
        &self,
        subject: &str,
        audience: &[String],
        now: u64,
        expires: u64,
    ) -> Result<String, KeyTrouble> {
        let signer = self.keys.iter().rev().find(|key| key.from <= now).or(self.keys.first());
        let signer = signer.ok_or(KeyTrouble::Make)?;
        let header = Header { kid: Some(signer.id.clone()), ..Header::new(Algorithm::ES256) };
        let claims = Claims { sub: subject, aud: audience, exp: expires, iat: now };
        let key = EncodingKey::from_ec_der(&signer.private);
        jsonwebtoken::encode(&header, &claims, &key).map_err(KeyTrouble::Sign)
    }
}

impl JwtKey {
    fn generate(from: u64) -> Result<Self, KeyTrouble> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| KeyTrouble::Make)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| KeyTrouble::Make)?;
        Self::of(URL_SAFE_NO_PAD.encode(id), key.serialize_der(), from).ok_or(KeyTrouble::Make)
    }

    fn of(id: String, private: Vec<u8>, from: u64) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private).ok()?;
        // An uncompressed point: 04, x, y (SEC 1, section 2.3.3).
        let point = pair.public_key().as_ref().strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Some(Self { id, private, x, y, from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn ids(keys: &JwtKeys) -> Vec<&str> {
        keys.keys.iter().map(|key| key.id.as_str()).collect()
    }

    fn signer(keys: &JwtKeys, now: u64) -> String {
        let token = keys.sign("spiffe://a.test/ns/b/sa/c", &["d".to_owned()], now, now + 60).unwrap();
        jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after_it_signed() {
        let first = JwtKeys::begin(NOW).unwrap();
        assert!(first.turned(NOW + SIGNS - AHEAD - 1).unwrap().is_none(), "not yet");
        let both = first.turned(NOW + SIGNS - AHEAD).unwrap().unwrap();
        let (old, new) = (both.keys[0].id.clone(), both.keys[1].id.clone());
        assert!(both.jwks().contains(&new), "published an hour ahead");
        assert_eq!(signer(&both, NOW + SIGNS - 1), old);
        assert_eq!(signer(&both, NOW + SIGNS), new);
        let last_token = NOW + SIGNS + MAX_TTL.as_secs();
        assert!(both.turned(last_token + BEHIND - 1).unwrap().is_none(), "a token of the old key may live");
        let after = both.turned(last_token + BEHIND).unwrap().unwrap();
        assert_eq!(ids(&after), [new.as_str()]);
    }

    #[test]
    fn at_every_moment_of_a_week_the_signer_was_published_for_an_hour_and_stays_for_one() {
        let mut keys = JwtKeys::begin(NOW).unwrap();
        let mut seen: Vec<(String, u64)> = vec![(keys.keys[0].id.clone(), 0)];
        let mut signed: Vec<(String, u64)> = Vec::new();
        for minute in 0..7 * 24 * 60 {
            let now = NOW + minute * 60;
            if let Some(turned) = keys.turned(now).unwrap() {
                keys = turned;
            }
            for key in &keys.keys {
                if !seen.iter().any(|(id, _)| *id == key.id) {
                    seen.push((key.id.clone(), now));
                }
            }
            let by = keys.keys.iter().rev().find(|key| key.from <= now).map(|key| key.id.clone()).unwrap();
            let published = seen.iter().find(|(id, _)| *id == by).unwrap().1;
            assert!(published == 0 || now >= published + AHEAD - 60, "minute {minute}");
            signed.push((by, now));
            signed.retain(|(id, at)| {
                let lives = *at + MAX_TTL.as_secs() > now;
                assert!(!lives || ids(&keys).contains(&id.as_str()), "minute {minute}");
                lives
            });
            assert!(keys.keys.len() <= 2, "minute {minute}");
        }
        assert!(seen.len() >= 7, "it rotated");
    }

    #[test]
    fn after_a_long_sleep_the_old_key_signs_until_the_new_one_is_known() {
        let first = JwtKeys::begin(NOW).unwrap();
        let later = NOW + 40 * SIGNS;
        let both = first.turned(later).unwrap().unwrap();
        assert_eq!(both.keys.len(), 2);
        assert_eq!(signer(&both, later), first.keys[0].id);
        assert_eq!(signer(&both, later + AHEAD), both.keys[1].id);
    }

    #[test]
    fn what_is_kept_reads_back_and_anything_else_is_an_error() {
        let keys = JwtKeys::begin(NOW).unwrap().turned(NOW + SIGNS).unwrap().unwrap();
        assert!(JwtKeys::read(&keys.kept()).unwrap() == keys);
        for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kid":"a","private":"AAAA","from":1}]}"#] {
            assert!(JwtKeys::read(bad).is_err(), "{bad}");
        }
        assert!(!keys.jwks().contains(r#""d""#), "no private part is published");
    }
}
