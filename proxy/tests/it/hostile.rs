//! Requests that two parties could read differently never reach an application.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

/// A request, and the status that it is answered with.
const REFUSED: &[(&str, u16)] = &[
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nabcd", 400),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd", 400),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551616\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\nhost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a@b/c\r\n\r\n", 400),
    ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET foo HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /.. HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /a%2f..%2fb HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /a%00 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n\r\n", 417),
];

#[tokio::test]
async fn what_is_ambiguous_is_refused_closes_the_connection_and_reaches_nobody() {
    let mut mesh = Mesh::new();
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let tape = Arc::clone(&seen);
    let app = peer(&mesh.tasks, move |mut stream| {
        let tape = Arc::clone(&tape);
        async move {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                tape.lock().unwrap().extend_from_slice(&bytes[..count]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    for (request, status) in REFUSED {
        // A good one first, so that the connection is one of HTTP whatever follows.
        let smuggled = format!(
            "GET /good HTTP/1.1\r\nhost: cart\r\n\r\n{request}GET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n"
        );
        let answer = String::from_utf8(ask(client.outbound(), smuggled.as_bytes()).await).unwrap();
        assert!(answer.contains(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
        assert!(answer.to_ascii_lowercase().contains("x-mesh-failure: bad_request"), "{request:?}: {answer}");
        let answers = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
        assert_eq!(answers, 2, "{request:?}: {answer}");
    }
    let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    assert_eq!(seen.matches("HTTP/1.1").count(), REFUSED.len(), "{seen}");
    assert_eq!(seen.matches("GET /good").count(), REFUSED.len(), "{seen}");
    client.counts(&["protocol_error"], REFUSED.len() as f64).await;
}

#[tokio::test]
async fn a_chunk_that_is_no_chunk_ends_the_connection() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "11111111111111111\r\n",
    ] {
        let request = format!(
            "POST /first HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n"
        );
        let answer = String::from_utf8(ask(client.outbound(), request.as_bytes()).await).unwrap();
        assert!(!answer.contains("smuggled") && !answer.contains("HTTP/1.1 200"), "{body:?}: {answer}");
    }
}

#[tokio::test]
async fn one_spelling_of_path_and_host_is_what_everybody_sees() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (client, _server) = mesh.pair(app, None);
    let request =
        b"GET http://CART:80//a/./b/../%63?q=%2F HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(ask(client.outbound(), request).await).unwrap();
    assert!(answer.contains("GET /a/c?q=%2F\n") && answer.contains("host: cart\n"), "{answer}");
}
