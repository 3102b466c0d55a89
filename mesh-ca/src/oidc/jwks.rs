//! The keys of the OIDC issuer, from a file or a URL, fresh enough. It must not know tokens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Uri;
use mesh_token::{Keys, MAX_JWKS_BYTES as MAX_BYTES};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// Keys of a URL are asked for again after this.
const MAX_AGE: Duration = Duration::from_mins(5);
/// And not more often than this, however many tokens name unknown keys.
const MIN_AGE: Duration = Duration::from_secs(10);
/// The issuer has this long for its answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Where systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How fresh the keys must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// The usual.
    Cached,
    /// As fresh as the bound on asking allows.
    Now,
}

/// The keys, and where they come from.
#[derive(Debug)]
pub(super) struct Jwks {
    source: Source,
    /// Held while they are asked for, so that many waiters make one question.
    cache: Mutex<Cache>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url { uri: Uri, tls: Option<Arc<ClientConfig>> },
}

#[derive(Debug, Default)]
struct Cache {
    keys: Option<Arc<Keys>>,
    asked: Option<Instant>,
    /// Of the file: when it was changed, and its length.
    version: Option<(SystemTime, u64)>,
}

impl Jwks {
    /// `source` is a path, or a URL if it begins with `http://` or `https://`.
    pub(super) fn new(source: &str, roots: Option<&Path>) -> Result<Self, InvalidJwks> {
        let source = if source.starts_with("http://") || source.starts_with("https://") {
            let uri: Uri = source.parse().map_err(|_| InvalidJwks::Url(source.to_owned()))?;
            if uri.host().is_none() {
                return Err(InvalidJwks::Url(source.to_owned()));
            }
            let tls = (uri.scheme_str() == Some("https")).then(|| tls(roots)).transpose()?;
            Source::Url { uri, tls }
        } else {
            Source::File(source.into())
        };
        Ok(Self { source, cache: Mutex::default() })
    }

    /// The keys; the last good ones while new ones cannot be had.
    pub(super) async fn get(&self, freshness: Freshness) -> Result<Arc<Keys>, String> {
        let mut cache = self.cache.lock().await;
        let read = match &self.source {
            Source::File(path) => match changed(path, cache.version) {
                Ok(None) => None,
                Ok(Some(version)) => {
                    cache.version = Some(version);
                    Some(fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display())))
                }
                Err(error) => Some(Err(format!("cannot read `{}`: {error}", path.display()))),
            },
            Source::Url { uri, tls } => {
                let least = if freshness == Freshness::Now { MIN_AGE } else { MAX_AGE };
                if cache.keys.is_some() && cache.asked.is_some_and(|asked| asked.elapsed() < least) {
                    None
                } else {
                    cache.asked = Some(Instant::now());
                    let fetched = tokio::time::timeout(DEADLINE, fetch(uri, tls.as_ref())).await;
                    Some(fetched.unwrap_or_else(|_| Err(format!("`{uri}` did not answer in time"))))
                }
            }
        };
        let parsed = read.map(|read| {
            read.and_then(|bytes| {
                Keys::parse(&bytes).map_err(|error| format!("they cannot be used: {error}"))
            })
        });
        match (parsed, &cache.keys) {
            (Some(Ok(keys)), _) => {
                let keys = Arc::new(keys);
                cache.keys = Some(Arc::clone(&keys));
                Ok(keys)
            }
            (None, Some(keys)) => Ok(Arc::clone(keys)),
            (Some(Err(reason)), Some(keys)) => {
                tracing::warn!(reason, "new keys of the OIDC issuer cannot be had, using the last ones");
                Ok(Arc::clone(keys))
            }
            (Some(Err(reason)), None) => {
                // Nothing good was read, so the next call reads again.
                cache.version = None;
                Err(reason)
            }
            (None, None) => Err("there are none yet".to_owned()),
        }
    }
}

/// The file's version if it is not `known`.
fn changed(path: &Path, known: Option<(SystemTime, u64)>) -> io::Result<Option<(SystemTime, u64)>> {
    let meta = fs::metadata(path)?;
    if meta.len() > MAX_BYTES as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is larger than {MAX_BYTES} bytes"),
        ));
    }
    let version = (meta.modified()?, meta.len());
    Ok((known != Some(version)).then_some(version))
}

async fn fetch(uri: &Uri, tls: Option<&Arc<ClientConfig>>) -> Result<Vec<u8>, String> {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} `{uri}`: {error}");
    let stream =
        TcpStream::connect((bare, port)).await.map_err(|error| failed("cannot connect to", &error))?;
    match tls {
        None => mesh_fetch::get(uri, stream, MAX_BYTES).await.map_err(|error| failed("cannot read", &error)),
        Some(config) => {
            let name =
                ServerName::try_from(bare.to_owned()).map_err(|error| failed("cannot connect to", &error))?;
            let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            let stream = connected.map_err(|error| failed("cannot connect to", &error))?;
            mesh_fetch::get(uri, stream, MAX_BYTES).await.map_err(|error| failed("cannot read", &error))
        }
    }
}

fn tls(roots: Option<&Path>) -> Result<Arc<ClientConfig>, InvalidJwks> {
    let path = match roots {
        Some(path) => path,
        None => {
            SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists()).ok_or(InvalidJwks::NoSystemRoots)?
        }
    };
    let failed = |why: String| InvalidJwks::Roots { path: path.to_owned(), why };
    let mut store = RootCertStore::empty();
    let certs = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
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

/// Why there is no source of keys.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJwks {
    /// Not a URL.
    #[error("`{0}` is not a URL with a host; correct --oidc-jwks")]
    Url(String),
    /// No roots for `https://`.
    #[error("this system has no list of roots where it is usually; name one with --oidc-jwks-roots")]
    NoSystemRoots,
    /// Unusable ones.
    #[error("the roots in `{}` cannot be used: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
