//! Peers that are there and do nothing: a client that never reads its answer, an upstream that has gone deaf.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use mesh_model::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;
use crate::policies::{cart, exchange, failure, plain};

/// Far more than all buffers on the way hold.
const MUCH: usize = 64 << 20;

/// An application that answers with [`MUCH`].
async fn plenty(mesh: &Mesh) -> std::net::SocketAddr {
    let body = Bytes::from(vec![b'x'; MUCH]);
    origin(&mesh.tasks, move |_| {
        let body = body.clone();
        async move { Response::new(Full::from(body)) }
    })
    .await
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_ended() {
    let mut mesh = Mesh::new();
    let app = plenty(&mesh).await;
    mesh.service("cart", 80, None, vec![plain(app)]);
    let client =
        mesh.client_with(&[("cart", 80)], |config| config.timeouts.stall = Duration::from_millis(300));
    let mut deaf = TcpStream::connect(client.outbound()).await.unwrap();
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    client.counts(&["mesh_events_total", "idle_timeout"], 1.0).await;
    client.counts(&["mesh_requests_total", "outbound"], 1.0).await;
}

#[tokio::test]
async fn a_client_of_http2_that_makes_no_room_for_its_answer_is_ended_and_no_other() {
    let mut mesh = Mesh::new();
    let app = plenty(&mesh).await;
    mesh.service("cart", 80, Some(Protocol::Http1), vec![plain(app)]);
    let client =
        mesh.client_with(&[("cart", 80)], |config| config.timeouts.stall = Duration::from_millis(300));
    let stream = TcpStream::connect(client.outbound()).await.unwrap();
    // Room on the connection for both: only the stream of the one is full.
    let mut builder = h2::client::Builder::new();
    let builder = builder.initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    mesh.tasks.spawn("client", async move { drop(connection.await) });
    let ask = async || {
        let mut sender = sender.clone().ready().await.unwrap();
        let request = Request::get("http://cart/").body(()).unwrap();
        let response = soon(sender.send_request(request, true).unwrap().0).await.unwrap();
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        response.into_body()
    };
    let (mut read, mut unread) = (ask().await, ask().await);
    // The window of the one is never given back, that of the other always is.
    let reset = async {
        loop {
            match unread.data().await {
                Some(Ok(_)) => {}
                ended => return format!("{ended:?}"),
            }
        }
    };
    let whole = async {
        let mut got = 0;
        while let Some(data) = read.data().await {
            let data = data.unwrap();
            got += data.len();
            read.flow_control().release_capacity(data.len()).unwrap();
        }
        got
    };
    let (end, got) = soon(async { tokio::join!(reset, whole) }).await;
    assert!(end.contains("CANCEL"), "the stream that nobody reads: {end}");
    assert_eq!(got, MUCH);
}

/// An HTTP/2 server that answers its first request and then neither reads nor writes.
async fn goes_deaf(mesh: &Mesh) -> std::net::SocketAddr {
    peer(&mesh.tasks, |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut answered = false;
        while !answered {
            let Some(Ok((_, mut respond))) = connection.accept().await else { return };
            respond.send_response(Response::new(()), true).unwrap();
            // Written when the next one is waited for: a moment later nobody is at home.
            let _ = tokio::time::timeout(Duration::from_millis(200), connection.accept()).await;
            answered = true;
        }
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_connection_whose_other_end_is_gone_is_found_out_and_its_requests_fail() {
    let mut mesh = Mesh::new();
    let app = goes_deaf(&mesh).await;
    mesh.service("cart", 80, Some(Protocol::Http2), vec![plain(app)]);
    let client = mesh.client_with(&[("cart", 80)], |config| {
        config.timeouts.keepalive = Duration::from_millis(300);
        config.timeouts.connect = Duration::from_millis(500);
    });
    let ask = || exchange(&mesh, client.outbound(), get("cart", "/"));
    assert_eq!(ask().await.0, 200);
    let (status, headers, _) = ask().await;
    assert_eq!((status, failure(&headers)), (502, "upstream_reset"));
}

/// An HTTP/2 server whose answers have this value, in their head or in their trailers.
async fn pads(mesh: &Mesh, value: &'static str, in_trailers: bool) -> std::net::SocketAddr {
    peer(&mesh.tasks, move |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let value = http::HeaderValue::from_static(value);
            let mut response = Response::new(());
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            if in_trailers { &mut trailers } else { response.headers_mut() }.insert("x-a", value);
            let mut send = respond.send_response(response, false).unwrap();
            send.send_trailers(trailers).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn white_space_around_a_value_of_an_http2_answer_is_refused() {
    for (value, in_trailers, passes) in [
        ("a b", false, true),
        (" b", false, false),
        ("b\t", false, false),
        ("a b", true, true),
        ("b ", true, false),
    ] {
        let mut mesh = Mesh::new();
        let app = pads(&mesh, value, in_trailers).await;
        mesh.service("cart", 80, Some(Protocol::Grpc), vec![plain(app)]);
        let client = mesh.client(&[("cart", 80)]);
        let request = Request::post("http://cart/shop.Cart/Get").header("content-type", "application/grpc");
        let mut sender = http2(&mesh.tasks, client.outbound()).await;
        let request = request.body(Full::default()).unwrap();
        let answer = async {
            let response = sender.send_request(request).await.ok()?;
            let in_head = response.headers().get("grpc-status").cloned();
            let body = http_body_util::BodyExt::collect(response.into_body()).await.ok()?;
            in_head.or(body.trailers()?.get("grpc-status").cloned())
        };
        // With the first bytes of an answer on their way all that is left is to break it off.
        let got = soon(answer).await;
        assert_eq!(
            got.as_ref().is_some_and(|status| status == "0"),
            passes,
            "{value:?} {in_trailers}: {got:?}"
        );
    }
}

#[tokio::test]
async fn what_is_said_of_a_refused_head_is_on_record() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let client = cart(&mut mesh, &[app], |_| {});
    let long = format!("GET / HTTP/1.1\r\nhost: cart\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    for (head, status) in [
        ("GET / HTTP/1.1\r\nhost: cart\r\nexpect: tea\r\n\r\n", "417"),
        ("POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "501"),
        (long.as_str(), "431"),
    ] {
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
        let wanted = format!("status=\"{status}\"");
        client.counts(&["mesh_requests_total", &wanted, "failure=\"bad_request\""], 1.0).await;
    }
}
