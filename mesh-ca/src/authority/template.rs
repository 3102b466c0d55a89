//! What the certificates of the mesh look like, as parameters. Pure: time and randomness come in. It must not know
//! keys.
//!
//! Sources: RFC 5280; X.509-SVID standard, sections 3 and 4.

use std::time::Duration;

use aws_lc_rs::rand;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

/// Certificates begin so many seconds ago, for members whose clock is behind: by 45 s with a margin.
pub(super) const BACKDATE: u64 = 60;

/// 128 random bits, positive and not zero (RFC 5280, section 4.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serial([u8; 16]);

impl Serial {
    /// `None` if the operating system gives no randomness.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        Some(Self(bytes)).filter(|serial| serial.significant().len() > 8)
    }

    /// Without leading zeros, as DER has it but for the sign.
    pub(super) fn significant(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0.get(zeros..).unwrap_or_default()
    }
}

/// What a member's certificate is to be.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) id: &'a SpiffeId,
    pub(super) serial: Serial,
    /// Unix seconds.
    pub(super) now: u64,
    /// Unix seconds.
    pub(super) not_after: u64,
}

impl Leaf<'_> {
    /// Unix seconds.
    pub(super) fn not_before(&self) -> u64 {
        self.now.saturating_sub(BACKDATE)
    }

    /// An SVID: exactly one URI SAN, no subject (so the SAN is critical), a key that signs handshakes and nothing else.
    pub(super) fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri(&self.id.to_string())?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(self.serial.significant()));
        span(&mut params, self.not_before(), self.not_after);
        Ok(params)
    }
}

/// The root: it signs issuers.
pub(super) fn root(
    trust_domain: &TrustDomain,
    now: u64,
    life: u64,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = authority(trust_domain, "root")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    span(&mut params, now.saturating_sub(BACKDATE), now + life);
    Ok(params)
}

/// An issuer: it signs members, and ends with the root at the latest.
pub(super) fn issuer(
    trust_domain: &TrustDomain,
    now: u64,
    life: u64,
    root_end: u64,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = authority(trust_domain, "issuer")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.use_authority_key_identifier_extension = true;
    span(&mut params, now.saturating_sub(BACKDATE), (now + life).min(root_end));
    Ok(params)
}

/// Names its trust domain in a URI SAN, so that members learn it from the root they pin.
fn authority(trust_domain: &TrustDomain, role: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Amime");
    // A common name has 64 characters at most (RFC 5280, appendix A.1).
    let name: String = format!("{role} of {trust_domain}").chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))?];
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(text.try_into()?))
}

fn span(params: &mut CertificateParams, begin: u64, end: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begin);
    params.not_after = epoch + Duration::from_secs(end);
}
