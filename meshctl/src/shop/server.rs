//! A small HTTP/1.1 server for the shop's services: bounded, and gone with its process. It must not know what the
//! services answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::app::App;
use super::pages::Page;

/// Connections at once; the sidecar in front is the only client.
const MAX_CONNECTIONS: usize = 1024;
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, tasks: &Tasks) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let app = Arc::clone(&app);
        tasks.spawn("connection", async move {
            let service = service_fn(|request| answer(&app, request));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
}

async fn answer(app: &App, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = trace_context(request.headers());
    Ok(response(app.answer(request.uri().path(), context).await))
}

/// The headers that an application has to pass on for traces to be whole (W3C Trace Context).
pub(crate) fn trace_context(headers: &HeaderMap) -> HeaderMap {
    ["traceparent", "tracestate"]
        .into_iter()
        .filter_map(|name| Some((http::HeaderName::from_static(name), headers.get(name)?.clone())))
        .collect()
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.body.to_string())));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in page.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
