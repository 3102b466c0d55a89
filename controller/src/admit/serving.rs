//! The certificate that the webhook shows: when a new one is made and when it comes into use, so that at every moment every API server
//! trusts what every replica shows. Pure but for the key that is made. It must not know where certificates are kept.
//!
//! The certificate signs itself and is its own trust anchor: there is no authority whose key could be lost. A new one is first
//! published beside the old one, and shown only once that is known everywhere.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ServerConfig, server};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long a certificate holds.
const LIFETIME_SECONDS: u64 = 90 * 24 * 3600;
/// Before now: clocks differ.
const BACKDATE_SECONDS: u64 = 3600;
/// From publishing a certificate to showing it: every replica and API server has seen the new bundle by then.
pub const SETTLE_SECONDS: u64 = 600;

/// A certificate with its key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// What is kept, shared by all replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// What is shown.
    pub current: Option<Pair>,
    /// What will be shown.
    pub next: Option<Pair>,
    /// Since when `next` is kept, Unix seconds.
    pub next_since: u64,
    /// What was shown before: a replica that has not looked yet still does. PEM, or empty.
    pub previous: String,
}

/// What is to be done with what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// A new certificate is made and shown at once: there is none that can be shown.
    Begin,
    /// A new certificate is made and published.
    Prepare,
    /// The next one is shown from now on.
    Promote,
}

impl Kept {
    /// The step that is due.
    pub fn step(&self, now: u64) -> Step {
        let Some(end) = self.current.as_ref().and_then(Pair::not_after).filter(|end| *end > now) else {
            // A next one that was published is as good as a new one.
            return if self.next.as_ref().and_then(Pair::not_after).is_some_and(|end| end > now) {
                Step::Promote
            } else {
                Step::Begin
            };
        };
        match &self.next {
            Some(_) if now >= self.next_since.saturating_add(SETTLE_SECONDS) => Step::Promote,
            Some(_) => Step::Wait,
            None if end - now < LIFETIME_SECONDS / 3 => Step::Prepare,
            None => Step::Wait,
        }
    }

    /// After the step; `made` is used by the steps that need a new certificate.
    pub fn after(self, step: &Step, made: Pair, now: u64) -> Self {
        match step {
            Step::Wait => self,
            Step::Begin => Self { current: Some(made), next: None, next_since: 0, previous: String::new() },
            Step::Prepare => Self { next: Some(made), next_since: now, ..self },
            Step::Promote => {
                let previous = self.current.map(|pair| pair.cert).unwrap_or_default();
                Self { current: self.next, next: None, next_since: 0, previous }
            }
        }
    }

    /// What API servers have to trust, PEM.
    pub fn bundle(&self) -> String {
        let pairs = self.current.iter().chain(&self.next).map(|pair| pair.cert.as_str());
        pairs.chain([self.previous.as_str()]).collect()
    }
}

impl Pair {
    /// Makes a certificate for these DNS names.
    pub fn make(names: &[String], now: u64) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "amime webhook");
        params.distinguished_name = subject;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(now.saturating_sub(BACKDATE_SECONDS));
        params.not_after = epoch + Duration::from_secs(now.saturating_add(LIFETIME_SECONDS));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(Self { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// When it ends, Unix seconds. `None`: it cannot be read.
    pub fn not_after(&self) -> Option<u64> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).ok()?;
        let (_, cert) = X509Certificate::from_der(&der).ok()?;
        u64::try_from(cert.validity().not_after.timestamp()).ok()
    }

    /// As TLS takes it. `None`: certificate or key cannot be read.
    pub fn certified(&self) -> Option<CertifiedKey> {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).ok()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).ok()?;
        CertifiedKey::from_der(vec![cert], key, &aws_lc_rs::default_provider()).ok()
    }
}

/// What is shown in handshakes from now on; none before the first is there.
pub type Shown = watch::Receiver<Option<Arc<CertifiedKey>>>;

/// TLS 1.3 with whatever certificate is shown.
#[expect(clippy::missing_panics_doc, reason = "the provider is ours and has TLS 1.3")]
pub fn tls(shown: Shown) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(shown)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Resolver(Shown);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn pair(now: u64) -> Pair {
        Pair::make(&["mesh-controller.amime-system.svc".to_owned()], now).unwrap()
    }

    fn next(kept: Kept, now: u64) -> (Step, Kept) {
        let step = kept.step(now);
        let kept = kept.after(&step, pair(now), now);
        (step, kept)
    }

    // T37
    #[test]
    fn a_certificate_is_published_before_it_is_shown_and_trusted_after_it_was() {
        let start = 1_800_000_000;
        let (step, kept) = next(Kept::default(), start);
        assert_eq!(step, Step::Begin);
        let first = kept.current.clone().unwrap();
        assert_eq!(first.not_after(), Some(start + LIFETIME_SECONDS));
        assert!(first.certified().is_some());
        assert_eq!(kept.step(start + 59 * DAY), Step::Wait);
        let now = start + 61 * DAY;
        let (step, kept) = next(kept, now);
        assert_eq!(step, Step::Prepare);
        assert_eq!(kept.current.as_ref(), Some(&first));
        let second = kept.next.clone().unwrap();
        assert_eq!(kept.bundle(), format!("{}{}", first.cert, second.cert));
        assert_eq!(kept.step(now + SETTLE_SECONDS - 1), Step::Wait);
        let (step, kept) = next(kept, now + SETTLE_SECONDS);
        assert_eq!(step, Step::Promote);
        assert_eq!(kept.current.as_ref(), Some(&second));
        assert_eq!(kept.bundle(), format!("{}{}", second.cert, first.cert));
        assert_eq!(kept.step(now + 2 * SETTLE_SECONDS), Step::Wait);
    }

    #[test]
    fn what_has_expired_or_cannot_be_read_is_replaced_at_once() {
        let start = 1_800_000_000;
        let kept = Kept { current: Some(pair(start)), ..Kept::default() };
        assert_eq!(kept.step(start + 90 * DAY), Step::Begin);
        let junk = Some(Pair { cert: "junk".into(), key: String::new() });
        assert_eq!(Kept { current: junk, ..Kept::default() }.step(start), Step::Begin);
        let late = start + 90 * DAY;
        let prepared = Kept { next: Some(pair(late)), next_since: late, ..kept };
        assert_eq!(prepared.step(late), Step::Promote);
    }
}
