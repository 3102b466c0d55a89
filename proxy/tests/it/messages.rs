//! HTTP/1 messages through two sidecars, with peers that are scripts over a raw socket.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::*;

/// Reads up to the end of a head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        match soon(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let mut requests = String::new();
    for n in 0..50 {
        requests.push_str(&format!("GET /n{n} HTTP/1.1\r\nhost: cart\r\n\r\n"));
    }
    requests.push_str("GET /last HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(ask(client.outbound(), requests.as_bytes()).await).unwrap();
    let lines: Vec<_> = answer.lines().filter(|line| line.starts_with("GET /")).collect();
    let wanted: Vec<_> = (0..50).map(|n| format!("GET /n{n}")).chain(["GET /last".to_owned()]).collect();
    assert_eq!(lines, wanted);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 51);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended_and_the_rest_still_goes_out() {
    let mut mesh = Mesh::new();
    // Answers at once, then gives back what else comes of the request.
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").await.unwrap();
        for _ in 0..2 {
            let part = exactly(&mut stream, 3).await;
            stream.write_all(&part).await.unwrap();
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 6\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("http/1.1 200"));
    for part in [b"abc", b"def"] {
        stream.write_all(part).await.unwrap();
        assert_eq!(exactly(&mut stream, 3).await, part);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        let mut body = vec![];
        while !body.ends_with(b"\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        let body = String::from_utf8(body).unwrap().to_ascii_lowercase();
        assert!(body.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{body}");
        assert!(!body.contains("content-length"), "{body}");
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Out: 2\r\nHost: evil\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let request = b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\n\r\n";
    let answer = String::from_utf8(ask(client.outbound(), request).await).unwrap().to_ascii_lowercase();
    assert!(answer.ends_with("2\r\nok\r\n0\r\nx-out: 2\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn interim_answers_pass() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    let interim = head(&mut stream).await;
    assert!(interim.starts_with("http/1.1 103") && interim.contains("link: </a>"), "{interim}");
    assert!(head(&mut stream).await.starts_with("http/1.1 200"));
    assert_eq!(exactly(&mut stream, 2).await, b"ok");
}

#[tokio::test]
async fn a_client_that_waits_for_100_does_not_get_it_when_the_request_fails() {
    let mut mesh = Mesh::new();
    mesh.service("cart", 80, None, vec![]);
    let client = mesh.client(&[("cart", 80)]);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: cart\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_still_gets_its_answer() {
    let mut mesh = Mesh::new();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let app = peer(&mesh.tasks, move |mut stream| {
        let held = Arc::clone(&held);
        async move {
            head(&mut stream).await;
            drop(held.acquire().await);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
            let _ = stream.read_u8().await;
        }
    })
    .await;
    let (client, server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    gate.add_permits(1);
    assert!(rest(&mut stream).await.ends_with("late"));
}

#[tokio::test]
async fn a_client_that_resets_cancels_its_request() {
    let mut mesh = Mesh::new();
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let app = peer(&mesh.tasks, move |mut stream| {
        let ended = ended.clone();
        async move {
            head(&mut stream).await;
            // The end of the connection is what is waited for.
            let _ = stream.read_u8().await;
            let _ = ended.send(()).await;
        }
    })
    .await;
    let (client, server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    soon(ends.recv()).await.unwrap();
    client.counts(&["mesh_requests_total", "outbound", "499"], 1.0).await;
}

#[tokio::test]
async fn http_1_0_clients_get_a_body_up_to_the_end_and_no_chunks() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let answer =
        String::from_utf8(ask(client.outbound(), b"GET / HTTP/1.0\r\nhost: cart\r\n\r\n").await).unwrap();
    assert!(answer.ends_with("\r\n\r\nabcd"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn a_body_up_to_the_end_of_the_connection_passes_as_chunks() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").await.unwrap();
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    for _ in 0..2 {
        let (status, _, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, body.as_str()), (200, "abc"));
    }
}

#[tokio::test]
async fn an_answer_without_a_body_needs_none() {
    for status in ["204 No Content", "304 Not Modified"] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, move |mut stream| async move {
            for _ in 0..2 {
                head(&mut stream).await;
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\netag: \"a\"\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        })
        .await;
        let (client, server) = mesh.pair(app, None);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
            let answer = head(&mut stream).await;
            assert!(answer.contains("etag: \"a\"") && !answer.contains("transfer-encoding"), "{answer}");
        }
        server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    }
}

#[tokio::test]
async fn an_upstream_connection_with_bytes_nobody_asked_for_is_not_used_again() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        // The second half would be the next client's answer.
        while !head(&mut stream).await.is_empty() {
            let two = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            let _ = stream.write_all(two.as_bytes()).await;
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..10 {
        sender.ready().await.unwrap();
        assert_eq!(text(soon(sender.send_request(get("cart", "/"))).await.unwrap()).await, "good");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_the_upstream_closed_fails_no_request() {
    let mut mesh = Mesh::new();
    let (closed, mut closes) = tokio::sync::mpsc::channel(10);
    let app = peer(&mesh.tasks, move |mut stream| {
        let closed = closed.clone();
        async move {
            head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            drop(stream);
            let _ = closed.send(()).await;
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..10 {
        sender.ready().await.unwrap();
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "ok"));
        soon(closes.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn an_unread_request_body_is_thrown_away_or_ends_the_connection() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 10\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("http/1.1 403"));
    assert_eq!(exactly(&mut stream, 2).await, b"no");
    // A little of it: the connection goes on.
    stream
        .write_all(b"0123456789POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 99999999\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.ends_with("no"), "{answer}");
}

#[tokio::test]
async fn bytes_behind_a_refused_upgrade_are_no_request() {
    let mut mesh = Mesh::new();
    let asked = Arc::<Mutex<String>>::default();
    let all = Arc::clone(&asked);
    let app = peer(&mesh.tasks, move |mut stream| {
        let all = Arc::clone(&all);
        async move {
            loop {
                let request = head(&mut stream).await;
                if request.is_empty() {
                    break;
                }
                all.lock().unwrap().push_str(&request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
            }
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let request = b"GET /ws HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n";
    let answer = String::from_utf8(ask(client.outbound(), request).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("no"), "{answer}");
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/fence")).await.2, "no");
    let asked = asked.lock().unwrap();
    assert!(asked.starts_with("get /ws") && asked.contains("get /fence"), "{asked}");
    assert!(!asked.contains("smuggled"), "{asked}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_at_once() {
    let mut mesh = Mesh::new();
    // Gives every byte back as it comes, so whoever does not read and write at once stands still.
    let app = peer(&mesh.tasks, |mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8388608\r\n\r\n").await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 8388608\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("http/1.1 200"));
    let sent: Vec<u8> = (0u32..8 << 20).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut got = vec![0; sent.len()];
    let both = async { tokio::join!(write.write_all(&sent), read.read_exact(&mut got)) };
    let (written, _) = soon(both).await;
    written.unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_not_passed_on_as_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, move |mut stream| async move {
            head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let (client, _server) = mesh.pair(app, None);
        let mut sender = http1(&mesh.tasks, client.outbound()).await;
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        assert!(soon(http_body_util::BodyExt::collect(response.into_body())).await.is_err(), "{answer}");
        client.counts(&["mesh_requests_total", "outbound", "upstream_reset"], 1.0).await;
    }
}
