//! Certificates of the Envoy pair: a root and one identity that both sides have, ECDSA P-256 as our own authority makes them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::process::Starter;

/// PEM files, and the name in the certificate.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) root: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificate and key in one file, as some programs want them.
    pub(crate) both: PathBuf,
    /// `spiffe://…`
    pub(crate) identity: String,
}

impl Certificates {
    /// A client with this identity.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.root)?).context("take the root")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&self.certificate)?],
                PrivateKeyDer::from_pem_file(&self.key)?,
            )?;
        Ok(Arc::new(config))
    }
}

pub(crate) fn write(starter: &Starter) -> Result<Certificates> {
    let identity = "spiffe://bench.local/ns/bench/sa/echo".to_owned();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "bench root");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?).context("make a root")?;
    let key = KeyPair::generate().context("make a key")?;
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![
        SanType::URI(identity.as_str().try_into().context("name the certificate")?),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
    ];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = leaf.signed_by(&key, &root).context("sign the certificate")?;
    Ok(Certificates {
        root: starter.write("peer-root.pem", &root.pem())?,
        certificate: starter.write("peer-certificate.pem", &leaf.pem())?,
        key: starter.write("peer-key.pem", &key.serialize_pem())?,
        both: starter.write("peer-both.pem", &format!("{}{}", leaf.pem(), key.serialize_pem()))?,
        identity,
    })
}
