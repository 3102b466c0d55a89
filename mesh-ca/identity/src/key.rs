//! The private key of a member: made here, used here, never written and never handed out (INV-8).

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use crate::bundle::TrustBundle;
use crate::svid::{InvalidSvid, Svid};
use crate::verify;

/// An ECDSA P-256 key that waits for its certificate.
pub struct MemberKey {
    pair: KeyPair,
}

impl MemberKey {
    /// Makes a new one from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError)?;
        Ok(Self { pair })
    }

    /// A PKCS #10 request (DER) that names nobody: the CA decides the identity from what it attested.
    pub fn certificate_request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(KeyError)?;
        Ok(request.der().to_vec())
    }

    /// Joins key and certificate, after checking that they belong together and that peers will accept them.
    pub(crate) fn certified(
        self,
        svid: Svid,
        bundle: &TrustBundle,
    ) -> Result<(Arc<Svid>, Arc<CertifiedKey>), InvalidSvid> {
        if svid.public_key().as_deref() != Some(self.pair.subject_public_key_info().as_slice()) {
            return Err(InvalidSvid::OtherKey(svid.spiffe_id));
        }
        if svid.spiffe_id.trust_domain() != bundle.trust_domain() {
            let expected = bundle.trust_domain().to_string();
            return Err(InvalidSvid::TrustDomain { id: svid.spiffe_id, expected });
        }
        let at = svid.not_before.midpoint(svid.not_after);
        if let Err(source) = verify::chain(&svid.chain, bundle, verify::Usage::Client, at) {
            return Err(InvalidSvid::Untrusted { id: svid.spiffe_id, source });
        }
        self.certified_unchecked(svid)
    }

    pub(crate) fn certified_unchecked(
        self,
        svid: Svid,
    ) -> Result<(Arc<Svid>, Arc<CertifiedKey>), InvalidSvid> {
        let der = PrivateKeyDer::from(self.pair);
        match any_supported_type(&der) {
            Ok(key) => {
                let certified = CertifiedKey::new(svid.chain.clone(), key);
                Ok((Arc::new(svid), Arc::new(certified)))
            }
            Err(source) => Err(InvalidSvid::Key(svid.spiffe_id, source)),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberKey(…)")
    }
}

/// A key could not be made or could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the key pair cannot be made or used")]
pub struct KeyError(#[source] rcgen::Error);
