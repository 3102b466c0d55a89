//! Reads a certificate request: its key, and the names that it asks for. It must not know who asks.

use aws_lc_rs::digest;
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension};

use crate::audit::hex;

/// Largest request; ours have about 200 bytes.
const MAX_BYTES: usize = 16 * 1024;

/// A request that is signed by its own key.
#[derive(Debug)]
pub(crate) struct Csr {
    /// The key, as rcgen takes it.
    pub(crate) key: SubjectPublicKeyInfo,
    /// The same as SubjectPublicKeyInfo in DER.
    pub(crate) key_der: Vec<u8>,
    /// Every SAN that it asks for, as text. The CA gives the identity that was proven, whatever is asked.
    pub(crate) names: Vec<String>,
}

impl Csr {
    /// SHA-256 of the key, hexadecimal.
    pub(crate) fn key_sha256(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.key_der).as_ref())
    }

    /// Parses PKCS #10 (RFC 2986) and verifies the signature: who asks has the key.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, InvalidCsr> {
        if der.len() > MAX_BYTES {
            return Err(InvalidCsr::TooLarge(der.len()));
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| InvalidCsr::NotPkcs10)?;
        if !rest.is_empty() {
            return Err(InvalidCsr::NotPkcs10);
        }
        let info = &request.certification_request_info.subject_pki;
        if !allowed(info) {
            return Err(InvalidCsr::Key);
        }
        request.verify_signature().map_err(|_| InvalidCsr::Signature)?;
        if let Some(what) = request.requested_extensions().into_iter().flatten().find_map(beyond) {
            return Err(InvalidCsr::Extension(what));
        }
        let names =
            request.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(san) => Some(&san.general_names),
                _ => None,
            });
        let names = names.flatten().map(name).collect();
        let key = SubjectPublicKeyInfo::from_der(info.raw).map_err(|_| InvalidCsr::Key)?;
        Ok(Self { key, key_der: info.raw.to_vec(), names })
    }
}

/// ECDSA on P-256 or P-384, or Ed25519 (RFC 5480, RFC 8410).
fn allowed(info: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> bool {
    let curve = || info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.2.1" => curve().is_some_and(|curve| {
            matches!(curve.to_id_string().as_str(), "1.2.840.10045.3.1.7" | "1.3.132.0.34")
        }),
        "1.3.101.112" => true,
        _ => false,
    }
}

/// What an extension asks for that no member gets. What a member gets anyway may be asked for, and changes nothing.
fn beyond(extension: &ParsedExtension<'_>) -> Option<String> {
    let asked = match extension {
        ParsedExtension::SubjectAlternativeName(_) | ParsedExtension::SubjectKeyIdentifier(_) => return None,
        ParsedExtension::BasicConstraints(basic) => basic.ca.then_some("to be an authority"),
        ParsedExtension::KeyUsage(usage) => {
            (usage.key_cert_sign() || usage.crl_sign()).then_some("to sign certificates")
        }
        ParsedExtension::ExtendedKeyUsage(usage) => {
            let other = usage.any
                || usage.code_signing
                || usage.email_protection
                || usage.time_stamping
                || usage.ocsp_signing
                || !usage.other.is_empty();
            other.then_some("for usages beside those of TLS")
        }
        _ => Some("for an extension that no member has"),
    };
    asked.map(str::to_owned)
}

fn name(name: &GeneralName<'_>) -> String {
    let text = match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        other => format!("{other:?}"),
    };
    text.chars().take(300).collect()
}

/// Why a request cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCsr {
    /// Beyond the bound.
    #[error("the certificate request has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Not a request.
    #[error("the certificate request is not PKCS #10 in DER")]
    NotPkcs10,
    /// A kind of key that the mesh does not use.
    #[error("the key of the certificate request is not ECDSA P-256, ECDSA P-384 or Ed25519")]
    Key,
    /// More than a member gets.
    #[error("the certificate request asks {0}")]
    Extension(String),
    /// Who asks does not prove to have the key.
    #[error("the signature of the certificate request is not by its own key")]
    Signature,
}

#[cfg(test)]
mod tests;
