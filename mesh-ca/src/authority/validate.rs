//! Reads back what was signed and compares it with what was meant (INV-9), with another parser than the one that wrote
//! it. It must not know how it was made.

use std::time::Duration;

use mesh_identity::{Svid, TrustBundle};
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

/// Public key (SubjectPublicKeyInfo) and end (Unix seconds) of a certificate.
pub(super) fn key_and_end(cert: &CertificateDer<'_>) -> Option<(Vec<u8>, u64)> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    let end = u64::try_from(cert.validity().not_after.timestamp()).ok()?;
    Some((cert.public_key().raw.to_vec(), end))
}

/// Whether the key of `root` signed `cert`.
pub(super) fn issued_by(cert: &CertificateDer<'_>, root: &CertificateDer<'_>) -> bool {
    let (Ok((_, cert)), Ok((_, root))) = (X509Certificate::from_der(cert), X509Certificate::from_der(root))
    else {
        return false;
    };
    cert.issuer() == root.subject() && cert.verify_signature(Some(root.public_key())).is_ok()
}
