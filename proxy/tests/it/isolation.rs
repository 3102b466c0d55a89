//! One exchange does not reach into another: aborted clients, upstreams that answer what nobody asked, streams that nobody reads.

use bytes::Bytes;
use http::{Request, Response};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::service::Protocol;
use mesh_model::settings::MtlsMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(text(&head))
}

/// An application of HTTP/2 that runs `script` on each request.
async fn http2_app<F, Fut>(tasks: &Tasks, script: F) -> std::net::SocketAddr
where
    F: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let owner = tasks.clone();
    peer(tasks, move |stream| {
        let (script, owner) = (script.clone(), owner.clone());
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                let script = script.clone();
                owner.spawn("stream", async move { script(request, respond).await });
            }
        }
    })
    .await
}

/// A client sidecar whose only backend is plaintext at `app`.
fn plain(mesh: &mut Mesh, app: std::net::SocketAddr, protocol: Option<Protocol>) -> Sidecar {
    let endpoint = Endpoint { transport: Transport::Plain, ..mesh.member(app, "cart") };
    mesh.service("cart", 80, protocol, vec![endpoint]);
    mesh.client(&[("cart", 80)])
}

async fn http2_client(tasks: &Tasks, address: std::net::SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tasks.spawn("client", async move { drop(connection.await) });
    soon(sender.ready()).await.unwrap()
}

#[tokio::test]
async fn answers_never_cross_whatever_byte_a_client_aborts_at() {
    let mut mesh = Mesh::new();
    let app = origin(&mesh.tasks, |request| async move {
        let tag = request.headers()["x-tag"].to_str().unwrap().to_owned();
        let _ = echoed(request).await;
        Response::new(http_body_util::Full::from(format!("<{tag}>").repeat(500)))
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let address = client.outbound();
    for at in 0..100_usize {
        let request = format!(
            "POST /a HTTP/1.1\r\nhost: cart\r\nx-tag: aborted{at}\r\ncontent-length: 40\r\n\r\n{}",
            "GET /evil HTTP/1.1\r\nhost: cart\r\nx-tag: e\r\n"
        );
        let mut aborted = TcpStream::connect(address).await.unwrap();
        let part = &request.as_bytes()[..(at + 30).min(request.len())];
        aborted.write_all(part).await.unwrap();
        if at % 2 == 0 {
            // Some of them after a part of the answer.
            let mut some = vec![0; 1 + at * 7];
            let short = std::time::Duration::from_millis(20);
            let _ = tokio::time::timeout(short, aborted.read_exact(&mut some)).await;
        }
        drop(aborted);
        let tag = format!("kept{at}");
        let request = format!(
            "GET /b HTTP/1.1\r\nhost: cart\r\nx-tag: {tag}\r\n\r\nGET /b HTTP/1.1\r\nhost: cart\r\nx-tag: {tag}\r\nconnection: close\r\n\r\n"
        );
        let answer = text(&ask(address, request.as_bytes()).await);
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "at {at}: {answer}");
        assert_eq!(answer.matches(&format!("<{tag}>")).count(), 1000, "at {at}");
        assert!(!answer.contains("aborted"), "at {at}: another's answer");
    }
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let client = plain(&mut mesh, app, None);
    for _ in 0..2 {
        let request = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
        let answer = text(&ask(client.outbound(), request).await);
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    }
}

#[tokio::test]
async fn connect_on_the_mesh_port_makes_no_tunnel_of_a_pooled_connection() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = peer(&mesh.tasks, |mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            let length = if head.starts_with("CONNECT") { "" } else { "content-length: 2\r\n" };
            let body = if head.starts_with("CONNECT") { "" } else { "ok" };
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n{body}").as_bytes()).await;
        }
    })
    .await;
    let server = mesh.server("cart", app);
    let tunnel = b"CONNECT cart:80 HTTP/1.1\r\nhost: cart:80\r\nconnection: close\r\n\r\n";
    let answer = text(&ask(server.inbound(), tunnel).await);
    assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
    let request = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    let answer = text(&ask(server.inbound(), request).await);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_storm_of_interim_answers_is_a_failure_and_a_few_are_not() {
    for (count, status) in [(5, "HTTP/1.1 200"), (1000, "HTTP/1.1 502")] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, move |mut stream| async move {
            read_head(&mut stream).await;
            let storm = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
            let _ = stream.write_all(storm.as_bytes()).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.read_u8().await;
        })
        .await;
        let client = plain(&mut mesh, app, None);
        let request = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
        let answer = text(&ask(client.outbound(), request).await);
        assert!(answer.contains(status), "{count}: {answer}");
        assert!(answer.matches("103 Early").count() <= 100);
    }
}

#[tokio::test]
async fn an_answer_to_head_may_end_behind_its_head() {
    let mut mesh = Mesh::new();
    let app = http2_app(&mesh.tasks, |_request, mut respond| async move {
        let head = Response::builder().header("content-length", "5").body(()).unwrap();
        let mut send = respond.send_response(head, false).unwrap();
        tokio::task::yield_now().await;
        let _ = send.send_data(Bytes::new(), true);
    })
    .await;
    let client = plain(&mut mesh, app, Some(Protocol::Http2));
    let head = "HEAD / HTTP/1.1\r\nhost: cart\r\n";
    let answer =
        text(&ask(client.outbound(), format!("{head}\r\n{head}connection: close\r\n\r\n").as_bytes()).await);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[tokio::test]
async fn http2_in_a_tunnel_is_never_asked_for() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.is_none(), "{head:?}");
    })
    .await;
    let client = plain(&mut mesh, app, None);
    for protocol in ["h2c", "H2C", "websocket, h2c"] {
        let mut sender = http2_client(&mesh.tasks, client.outbound()).await;
        until(|| async { sender.is_extended_connect_protocol_enabled() }).await;
        let mut request = Request::connect("http://cart/").version(http::Version::HTTP_2).body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from(protocol));
        let (response, _send) = sender.send_request(request, false).unwrap();
        assert_eq!(soon(response).await.unwrap().status(), 400, "{protocol}");
    }
}

#[tokio::test]
async fn a_body_of_http2_that_is_not_as_long_as_it_says_is_refused() {
    for (said, sent) in [("5", "short"), ("3", "longer"), ("100", "short")] {
        let fits = said == "5";
        let mut mesh = Mesh::new();
        let app = echo(&mesh.tasks).await;
        let (client, _server) = mesh.pair(app, Some(Protocol::Http1));
        let mut sender = http2_client(&mesh.tasks, client.outbound()).await;
        let request = Request::post("http://cart/").header("content-length", said).body(()).unwrap();
        let (response, mut send) = sender.send_request(request, false).unwrap();
        let _ = send.send_data(Bytes::from(sent), true);
        let status = soon(response).await.map(|response| response.status().as_u16());
        assert_eq!(status.is_ok_and(|status| status == 200), fits, "said {said}, sent {sent}");
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_take_nothing_from_others() {
    let mut mesh = Mesh::new();
    let app = http2_app(&mesh.tasks, |request, mut respond| async move {
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        if request.uri().path() == "/large" {
            let mut left = 10 << 20;
            while left > 0 {
                send.reserve_capacity(left);
                let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else { return };
                left -= room;
                if send.send_data(vec![b'x'; room].into(), left == 0).is_err() {
                    return;
                }
            }
        } else {
            let _ = send.send_data(Bytes::from_static(b"small"), true);
        }
    })
    .await;
    let client = plain(&mut mesh, app, Some(Protocol::Http2));
    let mut stalled = http2_client(&mesh.tasks, client.outbound()).await;
    let mut held = vec![];
    for _ in 0..16 {
        let request = Request::get("http://cart/large").body(()).unwrap();
        let (response, _) = stalled.send_request(request, true).unwrap();
        held.push(soon(response).await.unwrap());
    }
    for _ in 0..20 {
        let (status, _, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/small")).await;
        assert_eq!((status, body.as_str()), (200, "small"));
    }
    drop(held);
}
