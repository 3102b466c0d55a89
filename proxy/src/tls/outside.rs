//! TLS that this proxy begins towards a host outside the mesh, for an application that speaks none: as any client of the public
//! internet does, with the host's name and without a certificate of ours. It must not know which hosts there are, nor what is said.
//!
//! Sources: RFC 6066 section 3 (SNI), RFC 7301 (ALPN), RFC 9525 (which names of a certificate count).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::{Alpn, ClientFailure};
use crate::config::PUBLIC_ROOTS;
use crate::net::Stream;

/// A host that TLS is begun to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outside {
    /// What is asked for and what the certificate must be for.
    name: ServerName<'static>,
    /// Certificates that the host's must lead to, PEM; `None`: the public ones.
    ca: Option<Arc<str>>,
}

impl Outside {
    /// `None`: that is no name of a host.
    pub fn new(name: &str, ca: Option<&str>) -> Option<Self> {
        let name = ServerName::try_from(name.to_owned()).ok()?;
        Some(Self { name, ca: ca.map(Arc::from) })
    }

    pub(super) fn name(&self) -> String {
        self.name.to_str().into_owned()
    }
}

/// Configurations kept; beyond it all are made anew.
const CONFIGS: usize = 64;

/// Configurations by who vouches and what is spoken.
type Configs = HashMap<(Option<Arc<str>>, Alpn), Arc<ClientConfig>>;

/// Begins TLS to hosts outside.
pub(super) struct Outsiders {
    /// Where the public certificates are; None: where systems have them, else built in.
    roots: Option<PathBuf>,
    /// Where systems have them; the first file that is there counts.
    system: &'static [&'static str],
    configs: RefCell<Configs>,
}

impl Outsiders {
    pub(super) fn new(roots: Option<PathBuf>) -> Self {
        Self { roots, system: &PUBLIC_ROOTS, configs: RefCell::default() }
    }

    pub(super) async fn connect(
        &self,
        stream: Stream,
        address: SocketAddr,
        host: &Outside,
        alpn: Alpn,
        deadline: Duration,
    ) -> Result<Stream, ClientFailure> {
        let config = self
            .config(host, alpn)
            .map_err(|reason| ClientFailure::Roots { host: host.name().into(), reason: reason.into() })?;
        let handshake = TlsConnector::from(config).connect(host.name.clone(), stream);
        let stream = match tokio::time::timeout(deadline, handshake).await {
            Err(_) => return Err(ClientFailure::Timeout { address }),
            Ok(Err(error)) => return Err(ClientFailure::handshake(address, &host.name(), &error)),
            Ok(Ok(stream)) => stream,
        };
        if alpn == Alpn::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ClientFailure::NotHttp2 { address });
        }
        Ok(Stream::tls_client(stream))
    }

    fn config(&self, host: &Outside, alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
        let key = (host.ca.clone(), alpn);
        if let Some(config) = self.configs.borrow().get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = made(self.anchors(host.ca.as_deref())?, offered(alpn))?;
        let config = Arc::new(config);
        let mut configs = self.configs.borrow_mut();
        if configs.len() >= CONFIGS {
            configs.clear();
        }
        configs.insert(key, Arc::clone(&config));
        Ok(config)
    }

    fn anchors(&self, ca: Option<&str>) -> Result<RootCertStore, String> {
        anchors(self.roots.as_deref(), self.system, ca)
    }
}

/// How TLS is begun to a host outside: its certificate must lead to `ca` (PEM) or, without, to the public ones, which are in the file `roots` or
/// where systems have them.
pub fn outside_config(
    roots: Option<&Path>,
    ca: Option<&str>,
    offered: &[&[u8]],
) -> Result<Arc<ClientConfig>, String> {
    made(anchors(roots, &PUBLIC_ROOTS, ca)?, offered).map(Arc::new)
}

fn made(anchors: RootCertStore, offered: &[&[u8]]) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        // Many hosts outside have no 1.3 yet.
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn anchors(roots: Option<&Path>, system: &[&str], ca: Option<&str>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let mut add = |pem: &[u8]| {
        // Files of public roots have some that nobody reads any more.
        let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        store.add_parsable_certificates(certificates).0
    };
    match ca {
        Some(pem) if add(pem.as_bytes()) == 0 => {
            return Err("caCertificates holds no certificate that can be read".to_owned());
        }
        Some(_) => {}
        None => {
            // A file of some 200 KB, read once by each worker that needs it.
            let found = match roots {
                Some(path) => Some((path.to_owned(), fs::read(path))),
                None => system.iter().find_map(|path| Some((path.into(), Ok(fs::read(path).ok()?)))),
            };
            match found {
                Some((path, Err(error))) => {
                    return Err(format!("{} (--outside-roots) cannot be read: {error}", path.display()));
                }
                Some((path, Ok(pem))) if add(&pem) == 0 => {
                    return Err(format!("{} holds no certificate that can be read", path.display()));
                }
                Some(_) => {}
                // An image from scratch has no such file.
                None => store.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS),
            }
        }
    }
    Ok(store)
}
/// What is offered, the best first. A server that has never heard of the extension speaks HTTP/1.1.
const fn offered(alpn: Alpn) -> &'static [&'static [u8]] {
    match alpn {
        Alpn::Http1 | Alpn::Http1Shared => &[b"http/1.1"],
        Alpn::Http2 => &[b"h2", b"http/1.1"],
        Alpn::Tcp => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outsiders(roots: Option<PathBuf>, system: &'static [&'static str]) -> Outsiders {
        Outsiders { roots, system, configs: RefCell::default() }
    }

    #[test]
    fn a_system_without_public_roots_has_those_of_this_program() {
        let store = outsiders(None, &["/nonexistent/a.crt", "/nonexistent/b.crt"]).anchors(None).unwrap();
        assert_eq!(store.roots, webpki_roots::TLS_SERVER_ROOTS);
        assert!(store.len() > 50);
    }

    #[test]
    fn a_file_that_is_named_counts_and_nothing_stands_in_for_it() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let anchors = |path| outsiders(Some(path), &[]).anchors(None);
        assert_eq!(anchors(file("one.pem", &root)).unwrap().len(), 1);
        assert!(anchors(file("none.pem", "nothing")).unwrap_err().contains("holds no certificate"));
        let why = anchors("/nonexistent".into()).unwrap_err();
        assert!(why.starts_with("/nonexistent (--outside-roots) cannot be read"), "{why}");
        // An object's own count alone.
        assert_eq!(outsiders(None, &[]).anchors(Some(&root)).unwrap().len(), 1);
        assert!(outsiders(None, &[]).anchors(Some("nothing")).is_err());
    }
}
