//! HTTP/1.1 through two sidecars.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

#[tokio::test]
async fn a_request_goes_through_both_sidecars_over_mtls_and_is_recorded_once_on_each_side() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    assert_eq!(
        fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await,
        (200, String::new(), "hello".into())
    );
    for (sidecar, side) in [(&client, "outbound"), (&server, "inbound")] {
        sidecar.counts(&["mesh_requests_total", side, "mtls", "200"], 1.0).await;
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_upstream_connections_are_kept() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..20 {
        sender.ready().await.unwrap();
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        assert_eq!(text(response).await, "hello");
    }
    server.counts(&["mesh_requests_total", "inbound"], 20.0).await;
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
}

#[tokio::test]
async fn bodies_pass_both_ways_whole() {
    let mut mesh = Mesh::new();
    let app = origin(&mesh.tasks, |request| async move {
        Response::new(Full::from(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let big = Bytes::from((0..1_000_000u32).flat_map(u32::to_le_bytes).take(1 << 20).collect::<Vec<u8>>());
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let request = Request::post("/").header("host", "cart").body(Full::from(big.clone())).unwrap();
    let response = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), big);
}

#[tokio::test]
async fn chunked_bodies_are_framed_anew() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let request = b"POST /c HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let answer = String::from_utf8(ask(client.outbound(), request).await).unwrap();
    assert!(answer.contains("POST /c\n") && answer.contains("hello!"), "{answer}");
    assert!(answer.contains("transfer-encoding: chunked\n"), "{answer}");
}

#[tokio::test]
async fn hop_by_hop_and_identity_headers_do_not_pass() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let mut request = get("cart", "/h");
    for (name, value) in [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("x-forwarded-client-cert", "forged"),
        ("x-mesh-client", "forged"),
        ("x-end", "2"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (_, _, body) = fetch(&mesh.tasks, client.outbound(), request).await;
    for gone in ["x-hop", "keep-alive", "forged", "connection"] {
        assert!(!body.contains(gone), "{gone} in {body}");
    }
    assert!(
        body.contains("x-end: 2") && body.contains("host: cart") && body.contains("traceparent: 00-"),
        "{body}"
    );
}

#[tokio::test]
async fn the_http_proxy_port_takes_urls_and_hosts() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    for (target, host) in
        [("http://cart.shop.svc.cluster.local/a?b", "ignored"), ("/a?b", "cart"), ("http://CART:80/a?b", "x")]
    {
        let request = Request::get(target).header("host", host).body(Full::default()).unwrap();
        let (status, _, body) = fetch(&mesh.tasks, client.proxy(), request).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with("GET /a?b\n"), "{body}");
    }
}

#[tokio::test]
async fn connect_makes_a_tunnel_that_is_served_like_a_listener() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.proxy()).await.unwrap();
    stream.write_all(b"CONNECT cart:80 HTTP/1.1\r\nhost: cart:80\r\n\r\n").await.unwrap();
    let mut head = vec![0; 19];
    soon(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200 OK\r\n\r\n");
    stream.write_all(b"GET /t HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("GET /t\n"), "{answer}");
    client.counts(&["mesh_requests_total", "outbound"], 1.0).await;
}

#[tokio::test]
async fn a_websocket_is_carried_both_ways() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket"));
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi ",
            )
            .await
            .unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: cart\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nearly",
        )
        .await
        .unwrap();
    let mut got = vec![];
    soon(async {
        while !got.ends_with(b"hi early") {
            got.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    assert!(got.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&got));
    stream.write_all(b" late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, " late");
    client.counts(&["mesh_requests_total", "outbound", "101"], 1.0).await;
}

#[tokio::test]
async fn head_has_no_body_and_keeps_its_length() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n").await;
        let _ = stream.read(&mut head).await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let answer = ask(client.outbound(), b"HEAD / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.contains("content-length: 1234") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn expect_100_continue_is_answered() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream
        .write_all(b"POST /e HTTP/1.1\r\nhost: cart\r\nexpect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut head = vec![0; 25];
    soon(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("200 OK") && answer.ends_with("abc"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    let long = format!("GET / HTTP/1.1\r\nhost: cart\r\nx: {}\r\n\r\n", "a".repeat(70 * 1024));
    let answer = ask(client.outbound(), long.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 431") || answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer =
        ask(client.outbound(), format!("GET / HTTP/1.1\r\nhost: cart\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_trace_goes_on_through_both_sidecars() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let mut request = get("cart", "/");
    let from = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", from.parse().unwrap());
    request.headers_mut().insert("tracestate", "a=b".parse().unwrap());
    let (_, _, body) = fetch(&mesh.tasks, client.outbound(), request).await;
    let got = body.lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
    assert!(
        got.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && got.ends_with("-01") && got != from,
        "{got}"
    );
    assert!(body.contains("tracestate: a=b\n"), "{body}");
}

#[tokio::test]
async fn half_a_head_and_an_idle_connection_are_closed_in_time() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client_with(&[("cart", 80)], |config| {
        config.timeouts.head = std::time::Duration::from_millis(100);
        config.timeouts.idle = std::time::Duration::from_millis(300);
    });
    let head = b"GET / HTTP/1.1\r\nhost: cart\r\n";
    assert_eq!(ask(client.outbound(), head).await, b"");
    client.counts(&["head_timeout"], 1.0).await;
    let answer = ask(client.outbound(), &[head, &b"\r\n"[..]].concat()).await;
    assert!(answer.ends_with(b"hello"), "{}", String::from_utf8_lossy(&answer));
    client.counts(&["idle_timeout"], 1.0).await;
}
