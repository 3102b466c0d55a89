//! Keys in a token that speaks PKCS #11: a hardware module, or SoftHSM. They are made there and never leave it. It must not know what is
//! signed.
//!
//! Source: PKCS #11 version 2.40, sections 2.3.1 (ECDSA: the signature is r and s, each as long as the curve's order) and 2.3.3 (EC_POINT is an
//! OCTET STRING in DER).

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, rand};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm};

use super::Purpose;
use crate::audit::hex;

/// What stands for a key in the text that is kept; its label follows.
const NAMED: &str = "pkcs11:object=";
/// secp256r1 and secp384r1 as DER (RFC 5480, section 2.1.1.1).
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// A token, logged in. One call at a time: sessions are not for several threads.
pub(crate) struct Token {
    session: Mutex<Session>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A key in it.
pub(crate) struct TokenKey {
    token: Arc<Token>,
    private: ObjectHandle,
    /// Uncompressed point.
    pub(super) public: Vec<u8>,
    pub(super) algorithm: &'static SignatureAlgorithm,
}

impl Token {
    /// Loads the module and logs in to the token of that label.
    pub(crate) fn open(module: &Path, label: &str, pin: &str) -> Result<Self, String> {
        let said = |error: cryptoki::error::Error| error.to_string();
        let pkcs11 = Pkcs11::new(module).map_err(said)?;
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(said)?;
        let slots = pkcs11.get_slots_with_token().map_err(said)?;
        let is_it = |slot: &cryptoki::slot::Slot| {
            pkcs11.get_token_info(*slot).is_ok_and(|info| info.label().trim() == label)
        };
        let slot = slots.into_iter().find(is_it).ok_or_else(|| format!("there is no token `{label}`"))?;
        let session = pkcs11.open_rw_session(slot).map_err(said)?;
        session.login(UserType::User, Some(&AuthPin::new(pin.into()))).map_err(said)?;
        Ok(Self { session: Mutex::new(session) })
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key, and the text that names it.
    pub(super) fn make(self: &Arc<Self>, purpose: Purpose) -> Result<(TokenKey, String), String> {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| "no randomness".to_owned())?;
        let (curve, what) = match purpose {
            Purpose::Root => (P384, "root"),
            Purpose::Issuer => (P256, "issuer"),
        };
        let label = format!("amime-{what}-{}", hex(&random));
        let named = || [Attribute::Label(label.clone().into_bytes()), Attribute::Id(random.to_vec())];
        let mut public =
            vec![Attribute::Token(true), Attribute::EcParams(curve.to_vec()), Attribute::Verify(true)];
        let mut private = vec![
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        public.extend(named());
        private.extend(named());
        let made = self.session().generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
        made.map_err(|error| error.to_string())?;
        Ok((self.find(&label)?, format!("{NAMED}{label}\n")))
    }

    /// Opens the key of that label.
    pub(super) fn find(self: &Arc<Self>, label: &str) -> Result<TokenKey, String> {
        let session = self.session();
        let said = |error: cryptoki::error::Error| error.to_string();
        let one = |class: ObjectClass| {
            let wanted = [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
            let found = session.find_objects(&wanted).map_err(said)?;
            found.first().copied().ok_or_else(|| format!("the token has no key `{label}`"))
        };
        let (private, public) = (one(ObjectClass::PRIVATE_KEY)?, one(ObjectClass::PUBLIC_KEY)?);
        let attributes = session.get_attributes(public, &[AttributeType::EcPoint]).map_err(said)?;
        let point = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        let point = point.ok_or_else(|| format!("key `{label}` of the token is not of an elliptic curve"))?;
        drop(session);
        // Some modules give the point itself, without the OCTET STRING around it.
        let point = match point.as_slice() {
            [0x04, length, rest @ ..] if rest.len() == usize::from(*length) => rest.to_vec(),
            _ => point,
        };
        let algorithm = match point.len() {
            65 => &PKCS_ECDSA_P256_SHA256,
            97 => &PKCS_ECDSA_P384_SHA384,
            _ => return Err(format!("key `{label}` of the token is neither P-256 nor P-384")),
        };
        Ok(TokenKey { token: Arc::clone(self), private, public: point, algorithm })
    }

    /// Destroys the key of that label, if it is there.
    pub(super) fn forget(&self, label: &str) -> Result<(), String> {
        let session = self.session();
        let said = |error: cryptoki::error::Error| error.to_string();
        for object in session.find_objects(&[Attribute::Label(label.as_bytes().to_vec())]).map_err(said)? {
            session.destroy_object(object).map_err(said)?;
        }
        Ok(())
    }
}

impl TokenKey {
    /// An ECDSA signature in DER.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let hash = if self.public.len() == 65 { &digest::SHA256 } else { &digest::SHA384 };
        let hash = digest::digest(hash, message);
        let raw = self.token.session().sign(&Mechanism::Ecdsa, self.private, hash.as_ref());
        let raw = raw.map_err(|error| error.to_string())?;
        let (r, s) = raw.split_at_checked(raw.len() / 2).ok_or("the token gave no signature")?;
        let mut body = integer(r);
        body.extend(integer(s));
        // At most 104 bytes: one byte says how many.
        let length = u8::try_from(body.len()).map_err(|_| "the token gave no signature")?;
        let mut der = vec![0x30, length];
        der.extend(body);
        Ok(der)
    }
}

/// A positive INTEGER in DER: without leading zeros, but for the one that keeps it positive.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits = bytes.get(zeros..).unwrap_or_default().to_vec();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    let mut der = vec![0x02, u8::try_from(digits.len()).unwrap_or(u8::MAX)];
    der.extend(digits);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_positive_and_short() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80, 1]), [2, 3, 0, 0x80, 1]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
    }
}
