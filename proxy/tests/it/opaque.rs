//! Bytes that the mesh carries and does not read.

use mesh_model::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

#[tokio::test]
async fn bytes_pass_both_ways_and_each_end_by_itself() {
    for protocol in [None, Some(Protocol::Tcp)] {
        let mut mesh = Mesh::new();
        // Answers only after the client has ended its side.
        let app = peer(&mesh.tasks, |mut stream| async move {
            let mut all = vec![];
            stream.read_to_end(&mut all).await.unwrap();
            all.reverse();
            stream.write_all(&all).await.unwrap();
        })
        .await;
        let (client, server) = mesh.pair(app, protocol);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        stream.write_all(b"\x00\x01not http").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = vec![];
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"ptth ton\x01\x00");
        client.counts(&["mesh_requests_total", "tcp", "mtls", "outbound"], 1.0).await;
        server.counts(&["mesh_requests_total", "tcp", "mtls", "inbound"], 1.0).await;
    }
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let mut line = vec![0; 4];
        stream.read_exact(&mut line).await.unwrap();
        stream.write_all(&line).await.unwrap();
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut greeting = vec![0; 11];
    soon(stream.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(greeting, b"220 ready\r\n");
    stream.write_all(b"EHLO").await.unwrap();
    let mut rest = vec![];
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"EHLO");
}

#[tokio::test]
async fn a_slow_http_client_is_still_http() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    // Silent until the sidecar has dialled the upstream to find out who speaks.
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    client.counts(&["mesh_requests_total", "outbound", "http", "200"], 1.0).await;
}

#[tokio::test]
async fn a_megabyte_passes_through_a_connect_tunnel() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (client, _server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.proxy()).await.unwrap();
    stream.write_all(b"CONNECT cart:80 HTTP/1.1\r\nhost: cart:80\r\n\r\n").await.unwrap();
    let mut head = vec![0; 19];
    soon(stream.read_exact(&mut head)).await.unwrap();
    let sent: Vec<u8> = (0u32..1 << 20).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut got = vec![];
    let send = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    soon(async { tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() }) }).await;
    assert!(got == sent);
}
