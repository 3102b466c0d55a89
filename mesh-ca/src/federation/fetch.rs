//! Fetches one document over HTTPS from where an object says: from allowed addresses alone, within a deadline and a size, without
//! following where it is sent on to. It must not know what is in it.
//!
//! Source: SPIFFE Federation, sections 5.2.1 and 5.2.2.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh_fetch::Loopback;
use mesh_fetch::guard::allows;
use mesh_identity::{TrustBundle, anonymous_client};
use mesh_reach::Resolver;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::declared::{Declared, Profile};

/// The endpoint has this long for its answer, the lookup of its name included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest document.
const MAX_BYTES: usize = 512 * 1024;
/// Where systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How documents are fetched.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    pub(crate) loopback: Loopback,
    /// PEM file of the roots for profile `HttpsWeb`; the system's without.
    pub(crate) web_roots: Option<std::path::PathBuf>,
}

impl Fetcher {
    /// The document; `known` is what verifies an endpoint of profile `HttpsSpiffe`.
    pub(crate) async fn fetch(
        &self,
        declared: &Declared,
        known: Option<&TrustBundle>,
    ) -> Result<Vec<u8>, String> {
        let until = Instant::now() + DEADLINE;
        let late = |_| format!("`{}` did not answer in {} s", declared.url, DEADLINE.as_secs());
        tokio::time::timeout_at(until, self.exchange(declared, known, until)).await.map_err(late)?
    }

    async fn exchange(
        &self,
        declared: &Declared,
        known: Option<&TrustBundle>,
        until: Instant,
    ) -> Result<Vec<u8>, String> {
        let url = &declared.url;
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let (config, name) = match &declared.profile {
            Profile::Web => {
                let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
                (self.web_config()?, name)
            }
            Profile::Spiffe(id) => {
                let known = known.ok_or("nothing verifies the endpoint yet")?;
                let config = anonymous_client(known.clone(), id.clone(), &[b"http/1.1"]);
                (config, mesh_identity::server_name())
            }
        };
        let stream = self.connect(host, url.port_u16().unwrap_or(443), until).await?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| format!("`{url}`: {}", mesh_identity::reasons(&error)))?;
        mesh_fetch::get(url, stream, MAX_BYTES).await.map_err(|why| format!("`{url}`: {why}"))
    }

    /// To the first address that answers, of those that may be asked: a name that also has others gets no further by it.
    async fn connect(&self, host: &str, port: u16, until: Instant) -> Result<TcpStream, String> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => Resolver::default().addresses(host, until).await.map_err(|error| error.to_string())?,
        };
        let mut why = format!("`{host}` has no address");
        for address in addresses {
            if !allows(address, self.loopback) {
                why = format!("`{host}` is at {address}, from where no bundle is fetched");
                continue;
            }
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("cannot connect to `{host}` ({address}): {error}"),
            }
        }
        Err(why)
    }

    fn web_config(&self) -> Result<Arc<ClientConfig>, String> {
        let system = || SYSTEM_ROOTS.iter().map(std::path::PathBuf::from).find(|path| path.exists());
        let path = self.web_roots.clone().or_else(system).ok_or("this system has no list of roots")?;
        let failed = |why: String| format!("the roots in `{}` cannot be used: {why}", path.display());
        let mut store = RootCertStore::empty();
        let certs = CertificateDer::pem_file_iter(&path).map_err(|error| failed(error.to_string()))?;
        let (added, _) = store.add_parsable_certificates(certs.flatten());
        if added == 0 {
            return Err(failed("there is no root in it".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}
