//! HTTP/2 through two sidecars, with peers that use the codec directly.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::*;
use crate::hostile_rows::websocket_proof;

/// A client on a connection of its own.
async fn client(tasks: &Tasks, address: std::net::SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tasks.spawn("client", async move { drop(connection.await) });
    soon(sender.ready()).await.unwrap()
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://cart{path}")).version(http::Version::HTTP_2).body(()).unwrap()
}

#[tokio::test]
async fn a_websocket_of_http2_reaches_an_application_of_http1() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let proof = websocket_proof(&head);
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("get /ws http/1.1") && head.contains("upgrade: websocket"), "{head}");
        assert!(head.contains("sec-websocket-key: "), "{head}");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {proof}\r\n\r\nhi "
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (sidecar, _server) = mesh.pair(app, None);
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    until(|| async { sender.is_extended_connect_protocol_enabled() }).await;
    let mut request = Request::connect("http://cart/ws").version(http::Version::HTTP_2).body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    let (response, mut send) = sender.send_request(request, false).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    send.send_data(Bytes::from_static(b"there"), true).unwrap();
    let mut got = vec![];
    while let Some(data) = soon(body.data()).await {
        got.extend_from_slice(&data.unwrap());
    }
    assert_eq!(got, b"hi there");
}

#[tokio::test]
async fn interim_answers_of_http1_reach_a_client_of_http2() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes).await;
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let _ = stream.read(&mut bytes).await;
    })
    .await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    let request = Request::get("http://cart/").version(http::Version::HTTP_2).body(()).unwrap();
    let (mut response, _) = sender.send_request(request, true).unwrap();
    let interim = soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!((interim.status().as_u16(), &interim.headers()["link"]), (103, &"</a>".parse().unwrap()));
    assert_eq!(soon(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn trailers_of_http1_reach_a_client_of_http2_and_back() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut all = vec![];
        while !all.ends_with(b"x-in: 1\r\n\r\n") {
            all.push(stream.read_u8().await.unwrap().to_ascii_lowercase());
        }
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-out: 2\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    let (response, mut send) = sender.send_request(post("/"), false).unwrap();
    send.send_data(Bytes::from_static(b"body"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-in", "1".parse().unwrap());
    send.send_trailers(trailers).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), "ok");
    assert_eq!(soon(body.trailers()).await.unwrap().unwrap()["x-out"], "2");
}

#[tokio::test]
async fn large_bodies_pass_in_windows() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    let mut sender = http2(&mesh.tasks, sidecar.outbound()).await;
    let sent = "x".repeat(4 << 20);
    let request = Request::post("http://cart/")
        .version(http::Version::HTTP_2)
        .body(http_body_util::Full::from(sent.clone()))
        .unwrap();
    let body = text(soon(sender.send_request(request)).await.unwrap()).await;
    assert!(body.ends_with(&sent));
}

/// Answers `/quick`; on `/slow` waits for the end of the stream and tells it.
async fn slow_or_quick(tasks: Tasks, stream: TcpStream, ended: mpsc::Sender<()>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/quick" {
            let _ = respond.send_response(Response::new(()), true);
            continue;
        }
        let ended = ended.clone();
        tasks.spawn("slow", async move {
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            let _ = ended.send(()).await;
        });
    }
}

#[tokio::test]
async fn a_stream_that_the_client_resets_cancels_its_request_and_no_other() {
    let mut mesh = Mesh::new();
    let (ended, mut ends) = mpsc::channel(1);
    let owner = mesh.tasks.clone();
    let app = peer(&mesh.tasks, move |stream| slow_or_quick(owner.clone(), stream, ended.clone())).await;
    let (sidecar, server) = mesh.pair(app, Some(Protocol::Http2));
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    let (slow, mut send) = sender.send_request(post("/slow"), false).unwrap();
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    send.send_reset(h2::Reason::CANCEL);
    assert!(soon(slow).await.is_err());
    let (quick, _) = sender.send_request(post("/quick"), true).unwrap();
    assert_eq!(soon(quick).await.unwrap().status(), 200);
    soon(ends.recv()).await.unwrap();
}

#[tokio::test]
async fn a_field_that_no_table_may_keep_is_passed_on_so() {
    let mut mesh = Mesh::new();
    let (kept, mut keeps) = mpsc::channel(1);
    let app = peer(&mesh.tasks, move |mut stream| {
        let kept = kept.clone();
        async move {
            // Empty settings; the rest is read as bytes.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            let never_indexed = b"\x10\x06x-mine\x05value";
            let mut came = vec![];
            while !came.windows(never_indexed.len()).any(|part| part == never_indexed) {
                if stream.read_buf(&mut came).await.unwrap_or_default() == 0 {
                    return;
                }
            }
            let _ = kept.send(()).await;
        }
    })
    .await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http2));
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    let mut request = post("/");
    let mut value = http::HeaderValue::from_static("value");
    value.set_sensitive(true);
    request.headers_mut().insert("x-mine", value);
    let (_answer, _) = sender.send_request(request, true).unwrap();
    soon(keeps.recv()).await.unwrap();
}

#[tokio::test]
async fn what_http1_refuses_is_refused_in_http2_too() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
    let mut two_hosts = post("/");
    two_hosts.headers_mut().insert("host", "other".parse().unwrap());
    for request in [two_hosts, post("/.."), post("/a%2fb"), post("/%00")] {
        let path = request.uri().clone();
        let (response, _) = sender.send_request(request, true).unwrap();
        let response = soon(response).await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.headers()["x-mesh-failure"], "bad_request", "{path}");
    }
}
