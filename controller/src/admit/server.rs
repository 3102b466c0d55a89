//! Serves the webhooks over TLS: reviews in, answers out, everything bounded. It must not know how anything is judged, nor where the
//! certificate comes from.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::Tasks;
use mesh_lifecycle::accept::{self, Accepting};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::review::{self, Verdict};

/// The largest review: the API server stores no object of half that size.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;
/// For a handshake, for a head, and for a body.
const DEADLINE: Duration = Duration::from_secs(10);
/// A connection, however busy, ends after this.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(10);

/// What a path of the webhook asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A pod of a namespace that opts in.
    InjectForNamespace,
    /// A pod that opts in itself.
    InjectForPod,
    /// An object of the mesh.
    Validate,
}

impl Question {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/inject/namespace" => Self::InjectForNamespace,
            "/inject/pod" => Self::InjectForPod,
            "/validate" => Self::Validate,
            _ => return None,
        })
    }
}

/// What answers. Called on the control thread: it must not block.
pub type Judge = Arc<dyn Fn(Question, &review::Request) -> Verdict + Send + Sync>;

/// Serves until `tasks` is asked to end.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, judge: Judge, tasks: Tasks) {
    let acceptor = TlsAcceptor::from(tls);
    let accepting = Accepting { what: "the webhook", task: "webhook connection", most: MAX_CONNECTIONS };
    accept::each(
        &listener,
        accepting,
        &tasks,
        || {},
        |stream| {
            let served = connection(stream, acceptor.clone(), Arc::clone(&judge));
            let served = tokio::time::timeout(CONNECTION_DEADLINE, served);
            async { _ = served.await }
        },
    )
    .await;
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, judge: Judge) {
    let stream = match tokio::time::timeout(DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake with the webhook failed"),
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let judge = Arc::clone(&judge);
        async move { Ok::<_, Infallible>(answer(request, &judge).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the webhook ended early");
    }
}

/// What cannot be answered with a review gets an HTTP error: the API server then does as the webhook's `failurePolicy` says, and shows
/// the text.
async fn answer(request: Request<Incoming>, judge: &Judge) -> Response<Full<Bytes>> {
    let Some(question) = Question::of(request.uri().path()) else {
        let text = "there are POST /inject/namespace, /inject/pod and /validate\n";
        return plain(StatusCode::NOT_FOUND, text.to_owned());
    };
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "POST an AdmissionReview\n".to_owned());
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(DEADLINE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, format!("the body cannot be read: {error}\n"));
        }
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n".to_owned()),
    };
    let request = match review::read(&body) {
        Ok(request) => request,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let verdict = judge(question, &request);
    let mut response = Response::new(Full::new(Bytes::from(review::write(&request.uid, &verdict))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
