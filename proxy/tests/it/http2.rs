//! HTTP/2 and gRPC through two sidecars, and conversion between the versions.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::route::RouteKind;
use mesh_model::service::Protocol;
use mesh_proto::convert::ModelResource;

use crate::harness::*;

/// An application that speaks HTTP/2 only: a message, then trailers, as gRPC does.
async fn grpc_origin(tasks: &Tasks) -> SocketAddr {
    peer(tasks, |stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.headers().get("te").map(http::HeaderValue::as_bytes), Some(&b"trailers"[..]));
            let path = request.uri().path().to_owned();
            let body = request
                .into_body()
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "7".parse().unwrap());
            let message = [path.as_bytes(), b" ", &body].concat();
            let frames =
                [Ok::<_, Infallible>(Frame::data(Bytes::from(message))), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(StreamBody::new(stream::iter(frames)));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok::<_, Infallible>(response)
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

fn call(path: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://cart{path}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from("ask"))
        .unwrap()
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let mut mesh = Mesh::new();
    let app = grpc_origin(&mesh.tasks).await;
    let (client, server) = mesh.pair(app, Some(Protocol::Grpc));
    let mut sender = http2(&mesh.tasks, client.outbound()).await;
    let response = soon(sender.send_request(call("/shop.Cart/Add"))).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "7");
    assert_eq!(body.to_bytes(), "/shop.Cart/Add ask");
    for sidecar in [&client, &server] {
        sidecar.counts(&["mesh_requests_total", "grpc_status=\"7\""], 1.0).await;
    }
}

#[tokio::test]
async fn many_calls_share_one_connection_between_the_sidecars() {
    let mut mesh = Mesh::new();
    let app = grpc_origin(&mesh.tasks).await;
    let (client, server) = mesh.pair(app, Some(Protocol::Grpc));
    let mut senders = vec![];
    for _ in 0..4 {
        senders.push(http2(&mesh.tasks, client.outbound()).await);
    }
    let calls = (0..80).map(|n| {
        let mut sender = senders[n % 4].clone();
        async move {
            let response = sender.send_request(call("/a.B/C")).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        }
    });
    for body in soon(futures_util::future::join_all(calls)).await {
        assert_eq!(body, "/a.B/C ask");
    }
    server.counts(&["mesh_requests_total", "inbound"], 80.0).await;
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
}

#[tokio::test]
async fn an_http2_client_reaches_an_http1_application() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, Some(Protocol::Http1));
    let mut sender = http2(&mesh.tasks, client.outbound()).await;
    let mut request =
        Request::post("http://cart/two").version(Version::HTTP_2).body(Full::from("body")).unwrap();
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let body = text(soon(sender.send_request(request)).await.unwrap()).await;
    assert!(
        body.starts_with("POST /two\n")
            && body.contains("host: cart\n")
            && body.contains("cookie: a=1; b=2\n"),
        "{body}"
    );
    assert!(body.ends_with("\nbody"), "{body}");
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_application() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.uri().authority().unwrap(), "cart");
            assert!(request.headers().get("host").is_none());
            Ok::<_, Infallible>(echoed(request).await)
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
    })
    .await;
    let (client, _server) = mesh.pair(app, Some(Protocol::Http2));
    let request = Request::put("/one").header("host", "cart").body(Full::from("body")).unwrap();
    let (status, _, body) = fetch(&mesh.tasks, client.outbound(), request).await;
    assert_eq!(status, 200);
    assert!(body.starts_with("PUT http://cart/one\n") && body.ends_with("\nbody"), "{body}");
}

#[tokio::test]
async fn a_failed_grpc_call_is_answered_with_trailers_only() {
    let mut mesh = Mesh::new();
    mesh.service("cart", 80, Some(Protocol::Grpc), vec![]);
    mesh.service("none", 80, Some(Protocol::Grpc), vec![]);
    mesh.services.push(ModelResource::Route(route(
        RouteKind::Http,
        "cart",
        vec![rule("/only", vec![], vec![backend("none", 1)])],
    )));
    let client = mesh.client(&[("cart", 80)]);
    let mut sender = http2(&mesh.tasks, client.outbound()).await;
    for (path, status, code) in [("/a.B/C", "12", "no_route"), ("/only", "14", "no_endpoints")] {
        let response = soon(sender.send_request(call(path))).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status);
        assert_eq!(response.headers()["x-mesh-failure"], code);
        assert_eq!(response.headers()["content-type"], "application/grpc");
    }
}
