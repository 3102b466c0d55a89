//! Private keys of root and issuer: how they are made, named in a text, and opened again. It must not know certificates beyond whose key
//! is in them.

#[cfg(feature = "pkcs11")]
mod token;

#[cfg(feature = "pkcs11")]
use std::sync::Arc;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::validate;
#[cfg(feature = "pkcs11")]
pub(crate) use token::Token;
#[cfg(feature = "pkcs11")]
use token::TokenKey;

/// Where private keys live.
#[derive(Debug, Clone)]
pub(crate) enum KeyStore {
    /// In the text that is kept, as PEM: the file or the Secret guards it.
    Text,
    /// In a token; what is kept is their names.
    #[cfg(feature = "pkcs11")]
    Token(Arc<Token>),
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// P-384: it lives for years and signs seldom.
    Root,
    /// P-256.
    Issuer,
}

/// A key that signs. It has no `Debug` of its contents (INV-8).
pub(crate) enum Key {
    Text(Box<KeyPair>),
    #[cfg(feature = "pkcs11")]
    Token(TokenKey),
}

impl KeyStore {
    /// Makes a key, and the text by which it is opened again.
    pub(crate) fn make(&self, purpose: Purpose) -> Result<(Key, String), String> {
        let algorithm = match purpose {
            Purpose::Root => &PKCS_ECDSA_P384_SHA384,
            Purpose::Issuer => &PKCS_ECDSA_P256_SHA256,
        };
        match self {
            Self::Text => {
                let pair = KeyPair::generate_for(algorithm).map_err(|error| error.to_string())?;
                let text = pair.serialize_pem();
                Ok((Key::Text(Box::new(pair)), text))
            }
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => {
                let (key, text) = token.make(purpose)?;
                Ok((Key::Token(key), text))
            }
        }
    }

    /// Opens the key that `text` has or names.
    pub(crate) fn open(&self, text: &str) -> Result<Key, String> {
        if let Some(label) = named(text) {
            return self.open_named(label);
        }
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "there is no key for it".to_owned())?;
        let pair = KeyPair::try_from(&key).map_err(|_| "its key cannot be used".to_owned())?;
        Ok(Key::Text(Box::new(pair)))
    }

    #[cfg(feature = "pkcs11")]
    fn open_named(&self, label: &str) -> Result<Key, String> {
        match self {
            Self::Token(token) => Ok(Key::Token(token.find(label)?)),
            Self::Text => Err(ELSEWHERE.to_owned()),
        }
    }

    #[cfg(not(feature = "pkcs11"))]
    fn open_named(&self, _label: &str) -> Result<Key, String> {
        let Self::Text = self;
        Err(ELSEWHERE.to_owned())
    }

    /// Destroys a key that is in use nowhere any more. One that is in a text is gone with the text.
    #[cfg_attr(
        not(feature = "pkcs11"),
        expect(clippy::unnecessary_wraps, reason = "a token may not destroy what it is told to")
    )]
    pub(crate) fn forget(&self, text: &str) -> Result<(), String> {
        match (self, named(text)) {
            #[cfg(feature = "pkcs11")]
            (Self::Token(token), Some(label)) => token.forget(label),
            (_, _) => Ok(()),
        }
    }

    /// Opens it, if it is the key of `cert`.
    pub(crate) fn open_for(&self, text: &str, cert: &CertificateDer<'_>) -> Result<Key, String> {
        let key = self.open(text)?;
        let public = validate::public_key(cert).ok_or("it cannot be read")?;
        if public != key.subject_public_key_info() {
            return Err("its key is another one's".to_owned());
        }
        Ok(key)
    }
}

const ELSEWHERE: &str = "its key is in a PKCS #11 token; start a mesh-ca that was built with the feature `pkcs11`, with --pkcs11-module";

/// The label of a key that is in a token.
fn named(text: &str) -> Option<&str> {
    Some(text.lines().next()?.strip_prefix("pkcs11:object=")?.trim())
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Text(pair) => pair.der_bytes(),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => &key.public,
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Text(pair) => pair.algorithm(),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.algorithm,
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::Text(pair) => pair.sign(msg),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.sign(msg).map_err(|why| {
                tracing::error!(why, "the token signs nothing");
                rcgen::Error::RemoteKeyError
            }),
        }
    }
}
