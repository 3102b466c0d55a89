//! Reads back what was signed and compares it with what was meant (INV-9), with another parser than the one that wrote
//! it. It must not know how it was made.

use std::time::Duration;

use mesh_identity::{Svid, TrustBundle};
use mesh_model::spiffe::TrustDomain;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::AuthorityError;
use super::template::Leaf;

/// Chain, name, usages, lifetime, key and serial number.
pub(super) fn leaf(
    svid: &Svid,
    wanted: &Leaf<'_>,
    key: &[u8],
    bundle: &TrustBundle,
) -> Result<(), AuthorityError> {
    let checked = checks(svid, wanted, key, bundle);
    checked.map_err(AuthorityError::Validation)
}

fn checks(svid: &Svid, wanted: &Leaf<'_>, key: &[u8], bundle: &TrustBundle) -> Result<(), &'static str> {
    let (leaf, intermediates) = svid.chain.split_first().ok_or("the chain is empty")?;
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| "it is not X.509")?;
    let ensure = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
    ensure(svid.spiffe_id == *wanted.id, "it names another identity")?;
    ensure(only_name_is_a_uri(&cert), "it has more names than one")?;
    ensure(cert.public_key().raw == key, "it is for another key")?;
    let serial = cert.raw_serial();
    let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
    ensure(serial == wanted.serial.significant(), "it has another serial number")?;
    ensure(
        svid.not_before == wanted.not_before() && svid.not_after == wanted.not_after,
        "it has another lifetime",
    )?;
    ensure(svid.not_after > wanted.now, "it has no lifetime")?;
    ensure(usages(&cert) == Some(()), "it has other usages")?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        verify(leaf, intermediates, bundle, usage, wanted.now)?;
    }
    Ok(())
}

fn only_name_is_a_uri(cert: &X509Certificate<'_>) -> bool {
    let san = cert.subject_alternative_name().ok().flatten();
    san.is_some_and(|san| matches!(san.value.general_names.as_slice(), [GeneralName::URI(_)]))
}

/// Signs handshakes as server and as client, and is no authority.
fn usages(cert: &X509Certificate<'_>) -> Option<()> {
    let key = cert.key_usage().ok()??;
    let extended = cert.extended_key_usage().ok()??.value;
    let basic = cert.basic_constraints().ok()??;
    // The flag of digitalSignature is bit 0.
    let good = key.critical
        && key.value.flags == 1
        && extended.server_auth
        && extended.client_auth
        && !extended.any
        && !extended.code_signing
        && extended.other.is_empty()
        && !basic.value.ca;
    good.then_some(())
}

fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    usage: KeyUsage,
    now: u64,
) -> Result<(), &'static str> {
    let anchors: Result<Vec<_>, _> = bundle.roots().iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(|_| "the root cannot be an anchor")?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let verified = EndEntityCert::try_from(leaf)
        .map_err(|_| "webpki cannot read it")?
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, intermediates, time, usage, None, None)
        .is_ok();
    if verified { Ok(()) } else { Err("it does not lead to the root") }
}

/// From when until when a certificate is valid, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl Span {
    /// `None` if it is no certificate.
    pub(crate) fn of(cert: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(cert).ok()?;
        let begin = u64::try_from(cert.validity().not_before.timestamp()).ok()?;
        Some(Self { begin, end: u64::try_from(cert.validity().not_after.timestamp()).ok()? })
    }

    /// The moment when `parts` of `of` are over.
    pub(crate) fn part(self, parts: u64, of: u64) -> u64 {
        self.begin + self.end.saturating_sub(self.begin) / of * parts
    }
}

/// The certificates in a PEM text.
pub(crate) fn roots_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| "it is not PEM".to_owned())?;
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

/// The trust domain that the first root names, if it names one.
pub(super) fn trust_domain_of(roots: &[CertificateDer<'_>]) -> Option<TrustDomain> {
    let (_, root) = X509Certificate::from_der(roots.first()?).ok()?;
    let san = root.subject_alternative_name().ok()??;
    san.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => TrustDomain::new(uri.strip_prefix("spiffe://")?).ok(),
        _ => None,
    })
}

/// The span of the root at which `chain` ends: each certificate is signed by the next one, the last by a root.
pub(super) fn leads_to(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>]) -> Option<Span> {
    let linked = chain.windows(2).all(|pair| matches!(pair, [one, next] if issued_by(one, next)));
    let last = chain.last().filter(|_| linked)?;
    roots.iter().find(|root| issued_by(last, root)).and_then(Span::of)
}

/// Public key (SubjectPublicKeyInfo) of a certificate.
pub(super) fn public_key(cert: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    Some(cert.public_key().raw.to_vec())
}

/// Whether the key of `root` signed `cert`.
fn issued_by(cert: &CertificateDer<'_>, root: &CertificateDer<'_>) -> bool {
    let (Ok((_, cert)), Ok((_, root))) = (X509Certificate::from_der(cert), X509Certificate::from_der(root))
    else {
        return false;
    };
    cert.issuer() == root.subject() && cert.verify_signature(Some(root.public_key())).is_ok()
}
