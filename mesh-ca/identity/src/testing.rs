//! An authority in memory, for tests that need identities without a CA. It must not be in a release: the feature
//! `testing` belongs into dev-dependencies.

#![allow(clippy::missing_panics_doc, reason = "for tests, where a panic is the answer")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

use crate::bundle::TrustBundle;
use crate::identity::Identity;
use crate::key::MemberKey;
use crate::svid::Svid;

const HOUR: Duration = Duration::from_hours(1);

/// A root, an issuer below it, and any identity of their trust domain.
#[derive(Debug)]
pub struct TestCa {
    trust_domain: TrustDomain,
    root: CertifiedIssuer<'static, KeyPair>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestCa {
    /// A new authority.
    ///
    /// # Panics
    /// If `trust_domain` is none.
    pub fn new(trust_domain: &str) -> Self {
        let trust_domain = TrustDomain::new(trust_domain).expect("a valid trust domain");
        let key = || KeyPair::generate().expect("a key pair");
        let root = CertifiedIssuer::self_signed(authority(&trust_domain, "root", 1), key()).expect("a root");
        let issuer = CertifiedIssuer::signed_by(authority(&trust_domain, "issuer", 0), key(), &root)
            .expect("an issuer");
        Self { trust_domain, root, issuer }
    }

    /// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
    pub fn id(&self, namespace: &str, service_account: &str) -> SpiffeId {
        SpiffeId::new(self.trust_domain.clone(), namespace, service_account).expect("valid names")
    }

    /// An identity for an hour that nobody renews.
    pub fn identity(&self, namespace: &str, service_account: &str) -> Identity {
        self.identity_until(namespace, service_account, SystemTime::now() + HOUR)
    }

    /// An identity whose certificate ended an hour ago.
    pub fn expired_identity(&self, namespace: &str, service_account: &str) -> Identity {
        self.identity_until(namespace, service_account, SystemTime::now() - HOUR)
    }

    /// An identity whose certificate began two hours before its end.
    pub fn identity_until(&self, namespace: &str, service_account: &str, end: SystemTime) -> Identity {
        let key = MemberKey::generate().expect("a key pair");
        let uri = self.id(namespace, service_account).to_string();
        let svid = self.sign(&key, &[&uri], end);
        Identity::unchecked(key, svid, self.bundle()).expect("a usable key")
    }

    /// Puts a new certificate for an hour in force, as a renewal does.
    pub fn renew(&self, identity: &Identity) {
        let key = MemberKey::generate().expect("a key pair");
        let svid = self.sign(&key, &[&identity.svid().spiffe_id.to_string()], SystemTime::now() + HOUR);
        identity.renew(key, svid, self.bundle()).expect("an identity of this authority");
    }

    /// The roots in PEM.
    pub fn roots_pem(&self) -> String {
        self.root.pem()
    }

    /// The trust bundle, generation 1.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::new(self.trust_domain.clone(), 1, vec![self.root.der().clone()]).expect("a usable root")
    }

    /// A certificate with any URI SANs, even with none or with several.
    pub fn sign(&self, key: &MemberKey, uris: &[&str], end: SystemTime) -> Svid {
        let leaf = self.leaf(key, uris, end);
        let chain = vec![leaf, self.issuer.der().clone()];
        Svid::from_chain(chain).expect("an SVID")
    }

    pub(crate) fn leaf(
        &self,
        key: &MemberKey,
        uris: &[&str],
        end: SystemTime,
    ) -> rustls_pki_types::CertificateDer<'static> {
        let params = Self::params(uris, end);
        params.signed_by(key.pair(), &self.issuer).expect("a certificate").into()
    }

    /// A member's certificate that is not as it should be.
    #[cfg(test)]
    pub(crate) fn odd(
        &self,
        key: &MemberKey,
        uri: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Svid {
        let leaf = self.odd_leaf(key, &[uri], change);
        Svid::from_chain(vec![leaf, self.issuer.der().clone()]).expect("a certificate with a name")
    }

    /// The same, that may have no name or a bad one.
    #[cfg(test)]
    pub(crate) fn odd_leaf(
        &self,
        key: &MemberKey,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> rustls_pki_types::CertificateDer<'static> {
        let mut params = Self::params(uris, SystemTime::now() + HOUR);
        change(&mut params);
        params.signed_by(key.pair(), &self.issuer).expect("a certificate").into()
    }

    /// An issuer with the name of ours and another key, below our root.
    #[cfg(test)]
    pub(crate) fn namesake_of_issuer(&self) -> rustls_pki_types::CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key pair");
        let params = authority(&self.trust_domain, "issuer", 0);
        params.signed_by(&key, &self.root).expect("a certificate").into()
    }

    fn params(uris: &[&str], end: SystemTime) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names =
            uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("an ASCII URI"))).collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(fastrand::u64(1..)));
        let end = end.duration_since(UNIX_EPOCH).expect("an end after 1970");
        params.not_before = date_time_ymd(1970, 1, 1) + end.checked_sub(2 * HOUR).expect("an end after 1970");
        params.not_after = date_time_ymd(1970, 1, 1) + end;
        params
    }
}

/// A client that shows the certificate of `client` and accepts any member of `server`'s trust domain named
/// `shop/orders`: what a member of another mesh that wants in would use.
#[cfg(test)]
pub(crate) fn trusting(client: &Identity, server: &TestCa) -> std::sync::Arc<rustls::ClientConfig> {
    let id = server.id("shop", "orders");
    let mut config = crate::tls::bootstrap_config(server.bundle(), id.clone(), &[]);
    let own = client.client_config(crate::ExpectedServer::Exactly(id), &[]);
    config.client_auth_cert_resolver = std::sync::Arc::clone(&own.client_auth_cert_resolver);
    std::sync::Arc::new(config)
}

fn authority(trust_domain: &TrustDomain, role: &str, path_length: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("test {role} of {trust_domain}"));
    let uri = format!("spiffe://{trust_domain}");
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().expect("an ASCII URI"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
