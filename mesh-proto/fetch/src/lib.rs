//! Fetches small documents from URLs that objects name, for those who hold more rights than the objects' authors: only over TLS, only from
//! addresses that [`guard::allows`], never further than the URL itself, and bounded in size and time. It must not know what is fetched.
//!
//! The name is resolved once, every address is judged, and the very address that was judged is dialled: a name that resolves to something
//! else a moment later changes nothing (CVE-2026-41413, DNS rebinding).

pub mod ask;
pub mod guard;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HOST};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mesh_reach::Resolver;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

pub use guard::Loopback;

/// One address has this long to take the connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Where systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How documents are fetched.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Whether this machine itself may be asked.
    pub loopback: Loopback,
    /// PEM file of the roots that servers must show; without, the system's, and where it has none, those of the public web.
    pub roots: Option<PathBuf>,
    /// Who answers for names.
    pub resolver: Resolver,
    /// Everything together has this long.
    pub deadline: Duration,
    /// Largest document.
    pub bytes: usize,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfetched {
    /// Not a URL to fetch from.
    #[error("`{0}` is no https:// URL with a host and without a user")]
    Url(String),
    /// The name has no address.
    #[error("{0}")]
    Unresolved(String),
    /// None of its addresses may be asked.
    #[error(
        "`{host}` is at {address}, from where nothing is fetched: it is loopback, link-local or metadata"
    )]
    Forbidden {
        /// Who was asked for.
        host: String,
        /// Where that is.
        address: IpAddr,
    },
    /// No connection, or not with whom it should be.
    #[error("cannot connect to `{host}` ({address}): {why}")]
    Connect {
        /// Who was asked for.
        host: String,
        /// Where that is.
        address: IpAddr,
        /// What happened.
        why: String,
    },
    /// The answer is none.
    #[error("the answer of `{host}` cannot be used: {why}")]
    Answer {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// Too slow.
    #[error("`{host}` did not answer in {} s", .after.as_secs())]
    Late {
        /// Who was asked.
        host: String,
        /// How long that was.
        after: Duration,
    },
    /// It would be asked in plaintext, and nobody said that it may be.
    #[error(
        "`http://{0}` is plaintext: use https://, or have whoever runs the controller name the host with --canary-plaintext"
    )]
    Plaintext(String),
    /// There is nothing to verify a server with.
    #[error("{0}")]
    Roots(String),
}

/// Reads a URL that may be fetched: `https`, a host, no user (RFC 3986 section 3.2.1 has them, and they hide hosts).
pub fn url(text: &str) -> Result<Uri, Unfetched> {
    let bad = || Unfetched::Url(text.chars().take(120).collect());
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let good = uri.scheme_str() == Some("https")
        && uri.host().is_some_and(|host| !host.is_empty())
        && !authority.contains('@');
    if good { Ok(uri) } else { Err(bad()) }
}

/// Why nothing is ever fetched from a URL, whatever the machine: its host is an address that nobody may ask. `None`: that is not known before
/// the host is resolved.
pub fn never(text: &str) -> Option<Unfetched> {
    let uri = ask::url(text).ok()?;
    let address: IpAddr = bare(&uri).parse().ok()?;
    let allowed = guard::allows(address, Loopback::Allowed);
    (!allowed).then(|| Unfetched::Forbidden { host: bare(&uri).to_owned(), address })
}

impl Fetcher {
    /// The document at a URL. A redirect is an error: what it names was not declared.
    pub async fn fetch(&self, text: &str) -> Result<Vec<u8>, Unfetched> {
        let uri = url(text)?;
        let host = bare(&uri);
        let until = Instant::now() + self.deadline;
        let late = |_| Unfetched::Late { host: host.to_owned(), after: self.deadline };
        timeout_at(until, self.exchange(&uri, host, until)).await.map_err(late)?
    }

    async fn exchange(&self, uri: &Uri, host: &str, until: Instant) -> Result<Vec<u8>, Unfetched> {
        let config = self.tls()?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Unfetched::Url(uri.to_string().chars().take(120).collect()))?;
        let found = self.found(host, until).await?;
        let (address, stream) = dial(host, &found, uri.port_u16().unwrap_or(443)).await?;
        let failed = |error: std::io::Error| Unfetched::Connect {
            host: host.to_owned(),
            address,
            why: error.to_string(),
        };
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
        let answered = get(uri, stream, self.bytes).await;
        answered.map_err(|why| Unfetched::Answer { host: host.to_owned(), why })
    }

    /// Its addresses, if all of them may be asked.
    async fn found(&self, host: &str, until: Instant) -> Result<Vec<IpAddr>, Unfetched> {
        let unresolved = |error: mesh_reach::Unresolved| Unfetched::Unresolved(error.to_string());
        let found = self.resolver.addresses(host, until).await.map_err(unresolved)?;
        // One that may not be asked spoils the name: who can put it there means no good.
        match found.iter().find(|address| !guard::allows(**address, self.loopback)) {
            Some(address) => Err(Unfetched::Forbidden { host: host.to_owned(), address: *address }),
            None => Ok(found),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Unfetched> {
        let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
        let mut store = RootCertStore::empty();
        match self.roots.as_deref().or_else(system) {
            Some(path) => {
                let failed =
                    |why: String| Unfetched::Roots(format!("the roots in `{}`: {why}", path.display()));
                let certs = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
                let (added, _) = store.add_parsable_certificates(certs.flatten());
                if added == 0 {
                    return Err(failed("there is none".to_owned()));
                }
            }
            None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let failed = |why: String| Unfetched::Roots(why);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// To the first address that takes the connection.
async fn dial(host: &str, found: &[IpAddr], port: u16) -> Result<(IpAddr, TcpStream), Unfetched> {
    let mut failed = Unfetched::Unresolved(format!("`{host}` has no address"));
    for address in found {
        let dialled = TcpStream::connect(SocketAddr::new(*address, port));
        let why = match tokio::time::timeout(CONNECT, dialled).await {
            Ok(Ok(stream)) => return Ok((*address, stream)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", CONNECT.as_secs()),
        };
        failed = Unfetched::Connect { host: host.to_owned(), address: *address, why };
    }
    Err(failed)
}

fn bare(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Asks once for `uri` on a connection that somebody has made, and gives the document, of `most` bytes at most. A redirect is an error.
pub async fn get(
    uri: &Uri,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    most: usize,
) -> Result<Vec<u8>, String> {
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = http::Request::get(path).header(HOST, authority(uri)).header(ACCEPT, "application/json");
    let request = request.body(Full::default()).map_err(|error| error.to_string())?;
    send(request, stream, most, |status| status == StatusCode::OK).await
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", http::uri::Authority::as_str)
}

/// Asks once on a connection that somebody has made, and gives the body of an answer whose status is `good`.
async fn send(
    request: http::Request<Full<Bytes>>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    most: usize,
    good: impl Fn(StatusCode) -> bool,
) -> Result<Vec<u8>, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        if !good(response.status()) {
            let follows =
                if response.status().is_redirection() { "; redirects are not followed" } else { "" };
            return Err(format!("status {}{follows}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
    };
    tokio::pin!(answer, connection);
    // The connection has to be driven until the answer is there; it may end first, having read all of it.
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(text)?;
            answer.await
        }
    }
}

#[cfg(test)]
mod tests;
