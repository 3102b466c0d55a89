//! Peers of HTTP/2 that cost us more than themselves: each is cut off after a bounded number of frames, and the proxy goes on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET http://cart/`, by the static table where that has it (RFC 7541 appendix A).
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x04cart";

/// Sends frames until the proxy closes; gives how many it took.
async fn flood(address: std::net::SocketAddr, mut next: impl FnMut(u32) -> Vec<u8>) -> u32 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let (mut read, mut write) = stream.split();
    let closed = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(1..) = read.read(&mut bytes).await {}
    };
    let mut sent = 0;
    let sends = async {
        for n in 0..2_000_000 {
            if write.write_all(&next(n)).await.is_err() {
                return;
            }
            sent = n;
        }
        panic!("two million frames and no end");
    };
    soon(async {
        tokio::select! {
            () = closed => {}
            () = sends => {}
        }
    })
    .await;
    sent
}

async fn a_flood_is_cut_off(what: &str, next: impl FnMut(u32) -> Vec<u8>) {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    let sent = flood(client.outbound(), next).await;
    assert!(sent < 500_000, "{what}: {sent} frames");
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2, "hello", "{what}");
}

#[tokio::test]
async fn a_flood_of_pings() {
    a_flood_is_cut_off("ping", |_| frame(PING, 0, 0, b"12345678")).await;
}

#[tokio::test]
async fn a_flood_of_settings() {
    a_flood_is_cut_off("settings", |_| frame(SETTINGS, 0, 0, &[])).await;
}

#[tokio::test]
async fn a_flood_of_priorities() {
    a_flood_is_cut_off("priority", |_| frame(2, 0, 1, b"\0\0\0\0\x10")).await;
}

#[tokio::test]
async fn a_flood_of_window_updates() {
    a_flood_is_cut_off("window update", |_| frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())).await;
}

#[tokio::test]
async fn rapid_resets() {
    a_flood_is_cut_off("rapid reset", |n| {
        let stream = 2 * n + 1;
        [frame(HEADERS, 5, stream, REQUEST), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    })
    .await;
}

#[tokio::test]
async fn resets_that_the_peer_makes_us_send() {
    a_flood_is_cut_off("made you reset", |n| {
        let stream = 2 * n + 1;
        [frame(HEADERS, 4, stream, REQUEST), frame(WINDOW_UPDATE, 0, stream, &0u32.to_be_bytes())].concat()
    })
    .await;
}

#[tokio::test]
async fn a_head_that_never_ends() {
    a_flood_is_cut_off("continuation", |n| {
        if n == 0 { frame(HEADERS, 1, 1, REQUEST) } else { frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b") }
    })
    .await;
}

#[tokio::test]
async fn a_body_of_nothing() {
    a_flood_is_cut_off("empty data", |n| {
        if n == 0 { frame(HEADERS, 4, 1, REQUEST) } else { frame(0, 0, 1, b"") }
    })
    .await;
}

#[tokio::test]
async fn floods_are_counted() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    flood(client.outbound(), |_| frame(PING, 0, 0, b"12345678")).await;
    client.counts(&["mesh_events_total", "\"flood\""], 1.0).await;
}

#[tokio::test]
async fn a_body_of_crumbs() {
    a_flood_is_cut_off("tiny data", |n| {
        if n == 0 { frame(HEADERS, 4, 1, REQUEST) } else { frame(0, 0, 1, b"x") }
    })
    .await;
}
