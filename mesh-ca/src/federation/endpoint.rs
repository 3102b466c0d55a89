//! Our bundle endpoint: one document over HTTPS, for whoever federates with us. It must not know what is in the document.
//!
//! Source: SPIFFE Federation, section 5.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::{Backoff, Tasks};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;

/// Connections at once; more wait in the kernel.
const CONNECTIONS: usize = 64;
/// A connection has this long altogether: one document.
const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD: usize = 8 * 1024;
/// After accepting failed.
const WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What is served where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleEndpoint {
    /// Its port.
    pub listen: SocketAddr,
    /// Certificate and key (PEM files) of the public web, profile `https_web`; without them the CA shows its own SVID, profile
    /// `https_spiffe`.
    pub web: Option<(PathBuf, PathBuf)>,
}

/// TLS with a certificate of the public web.
pub(crate) fn web_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, EndpointError> {
    let failed = |path: &Path, why: String| EndpointError { path: path.to_owned(), why };
    let certs = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certs = certs.map_err(|error| failed(cert, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(cert, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certs, private);
    let mut config = config.map_err(|error| failed(cert, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A certificate or key for the endpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be used for the bundle endpoint: {why}", path.display())]
pub struct EndpointError {
    path: PathBuf,
    why: String,
}

/// Serves what `document` gives at each moment, until the tasks are asked to end.
pub(crate) fn spawn(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    document: impl Fn() -> String + Send + Sync + 'static,
    metrics: Metrics,
    tasks: &Tasks,
) {
    let (stop, set) = (tasks.token(), tasks.clone());
    let (document, room) = (Arc::new(document), Arc::new(Semaphore::new(CONNECTIONS)));
    let acceptor = TlsAcceptor::from(tls);
    tasks.spawn("bundle endpoint", async move {
        let mut backoff = Backoff::new(WAIT.0, WAIT.1);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = accept(&listener, &room, &metrics) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    backoff.reset();
                    let (acceptor, document, metrics) =
                        (acceptor.clone(), Arc::clone(&document), metrics.clone());
                    set.spawn("bundle endpoint connection", async move {
                        let served = serve(stream, acceptor, &*document, &metrics);
                        if tokio::time::timeout(DEADLINE, served).await.is_err() {
                            tracing::debug!("a client of the bundle endpoint took too long");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the bundle endpoint accepts nobody just now");
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    });
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    metrics: &Metrics,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        permit
    } else {
        metrics.endpoint_full();
        Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?
    };
    Ok((listener.accept().await?.0, permit))
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    document: &(dyn Fn() -> String + Send + Sync),
    metrics: &Metrics,
) {
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "refused a client of the bundle endpoint"),
    };
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.method(), document);
        metrics.endpoint_answered();
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(DEADLINE).max_buf_size(HEAD);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a client of the bundle endpoint was lost");
    }
}

/// The same document at every path: the URL is whoever publishes it's to choose.
fn answer(method: &Method, document: &(dyn Fn() -> String + Send + Sync)) -> Response<Full<Bytes>> {
    if *method != Method::GET && *method != Method::HEAD {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let mut response = Response::new(Full::new(Bytes::from(document())));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
    response
}
