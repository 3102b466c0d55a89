//! Makes roots and issuers, as texts for a vault. It must not know when, or where they are kept.

use std::time::Duration;

use mesh_model::spiffe::TrustDomain;
use rcgen::{CertificateParams, DistinguishedName, Issuer};

use super::key::Purpose;
use super::validate::{Span, roots_of};
use super::{AuthorityError, KeyStore, template};
use crate::vault::Slot;

/// How long what the authority makes for itself lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lives {
    pub(crate) root: Duration,
    pub(crate) issuer: Duration,
}

/// What is needed to make them.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) keys: KeyStore,
    pub(crate) lives: Lives,
    /// An issuer of somebody else lives as long at least.
    pub(crate) least_issuer: Duration,
}

impl Mint {
    /// A new root and an issuer of it.
    pub(crate) fn root(&self, now: u64) -> Result<Slot, AuthorityError> {
        let (key, root_key) = self.keys.make(Purpose::Root).map_err(AuthorityError::Key)?;
        let params = template::root(&self.trust_domain, now, self.lives.root.as_secs())?;
        let cert = params.self_signed(&key)?;
        let slot = Slot { roots: cert.pem(), root_key: Some(root_key), issuer: String::new() };
        self.issuer(&slot, now)
    }

    /// Another issuer of the root of `slot`.
    pub(crate) fn issuer(&self, slot: &Slot, now: u64) -> Result<Slot, AuthorityError> {
        let key = slot.root_key.as_deref().ok_or(AuthorityError::NotOurRoot)?;
        let roots = roots_of(&slot.roots).map_err(AuthorityError::Key)?;
        let root = roots.first().ok_or(AuthorityError::NotOurRoot)?;
        let end = Span::of(root).ok_or(AuthorityError::NotOurRoot)?.end;
        let signer =
            Issuer::from_ca_cert_der(root, self.keys.open_for(key, root).map_err(AuthorityError::Key)?)?;
        let (key, text) = self.keys.make(Purpose::Issuer).map_err(AuthorityError::Key)?;
        let params = template::issuer(&self.trust_domain, now, self.lives.issuer.as_secs(), end)?;
        let cert = params.signed_by(&key, &signer)?;
        Ok(Slot { issuer: format!("{}{}", with_newline(&text), cert.pem()), ..slot.clone() })
    }

    /// A key for an issuer that somebody else signs: its text, and a PKCS #10 request (DER) that names the trust domain.
    pub(crate) fn request(&self) -> Result<(String, Vec<u8>), AuthorityError> {
        let (key, text) = self.keys.make(Purpose::Issuer).map_err(AuthorityError::Key)?;
        let named = template::issuer(&self.trust_domain, 0, 1, u64::MAX)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.clone_from(&named.distinguished_name);
        params.subject_alt_names = named.subject_alt_names;
        params.is_ca = named.is_ca;
        params.key_usages = named.key_usages;
        let request = params.serialize_request(&key)?;
        Ok((with_newline(&text), request.der().to_vec()))
    }
}

fn with_newline(text: &str) -> String {
    format!("{}\n", text.trim_end())
}
