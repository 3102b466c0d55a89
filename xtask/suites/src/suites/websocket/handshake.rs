//! The handshake (RFC 6455 section 4) through two sidecars: what must arrive arrives, what the server refuses is refused, and a
//! connection that was upgraded ends as both sides end it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tunnel::{HOST, head, request, status_line};
use crate::report::{Outcome, Report, wanted};

const LIMIT: Duration = Duration::from_secs(20);

/// Name, request, and the beginning of the status line.
fn answers() -> Vec<(&'static str, String, &'static str)> {
    let plain = request("/mirror", "");
    vec![
        ("plain", plain.clone(), "HTTP/1.1 101 "),
        ("query", request("/mirror?a=b&c", ""), "HTTP/1.1 101 "),
        ("upper-case", plain.replace("upgrade: websocket", "UPGRADE: WebSocket"), "HTTP/1.1 101 "),
        (
            "connection-list",
            plain.replace("connection: Upgrade", "connection: keep-alive, upgrade"),
            "HTTP/1.1 101 ",
        ),
        ("cookies-and-origin", request("/mirror", "cookie: a=b\r\norigin: http://x\r\n"), "HTTP/1.1 101 "),
        ("protocol", request("/mirror", "sec-websocket-protocol: chat\r\n"), "HTTP/1.1 101 "),
        (
            "extensions-offered",
            request("/mirror", "sec-websocket-extensions: permessage-deflate\r\n"),
            "HTTP/1.1 101 ",
        ),
        ("refused", request("/refused", ""), "HTTP/1.1 403 "),
        ("version-unknown", plain.replace("version: 13", "version: 99"), "HTTP/1.1 426 "),
        ("no-key", plain.replace("sec-websocket-key", "x-websocket-key"), "HTTP/1.1 400 "),
        ("no-upgrade", format!("GET /mirror HTTP/1.1\r\nhost: {HOST}\r\n\r\n"), "HTTP/1.1 400 "),
        ("upgrade-not-nominated", plain.replace("connection: Upgrade\r\n", ""), "HTTP/1.1 400 "),
        ("http10", plain.replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1."),
    ]
}

pub(super) async fn run(at: SocketAddr, names: &[String], report: &mut Report) {
    for (name, bytes, status) in answers() {
        let name = format!("handshake {name}");
        if wanted(names, &name) {
            let outcome = outcome(answered(at, &bytes, status)).await;
            report.row("websocket", &name, &bytes.escape_debug().to_string(), status, &outcome);
        }
    }
    if wanted(names, "handshake protocol-chosen") {
        let outcome = outcome(chosen(at)).await;
        report.row(
            "websocket",
            "handshake protocol-chosen",
            "sec-websocket-protocol: chat",
            "the server's choice arrives",
            &outcome,
        );
    }
    if wanted(names, "tunnel server-speaks-first") {
        let outcome = outcome(first_words(at)).await;
        report.row(
            "websocket",
            "tunnel server-speaks-first",
            "nothing",
            "the server's first words",
            &outcome,
        );
    }
    if wanted(names, "tunnel server-closes") {
        let outcome = outcome(goodbye(at)).await;
        report.row("websocket", "tunnel server-closes", "nothing", "the end of the stream", &outcome);
    }
    if wanted(names, "tunnel client-half-closes") {
        let outcome = outcome(half_close(at)).await;
        report.row(
            "websocket",
            "tunnel client-half-closes",
            "1 MiB, then the end of the client's side",
            "1 MiB back, then the end",
            &outcome,
        );
    }
    if wanted(names, "tunnel many") {
        let outcome = outcome(Box::pin(many(at))).await;
        report.row(
            "websocket",
            "tunnel many",
            "200 connections at once",
            "each has its own bytes back",
            &outcome,
        );
    }
}

async fn outcome(check: impl Future<Output = Result<String>>) -> Outcome {
    match tokio::time::timeout(LIMIT, check).await {
        Err(_) => Outcome::failed(format!("nothing within {} s", LIMIT.as_secs())),
        Ok(Err(error)) => Outcome::failed(format!("{error:#}")),
        Ok(Ok(got)) => Outcome::passed(got),
    }
}

async fn answered(at: SocketAddr, bytes: &str, status: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(bytes.as_bytes()).await?;
    let (head, _) = head(&mut stream).await?;
    ensure!(head.starts_with(status), "{}", status_line(&head));
    Ok(status_line(&head).to_owned())
}

async fn open(at: SocketAddr, path: &str, more: &str) -> Result<(TcpStream, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(request(path, more).as_bytes()).await?;
    let (head, rest) = head(&mut stream).await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{}", status_line(&head));
    Ok((stream, head, rest))
}

async fn chosen(at: SocketAddr) -> Result<String> {
    let (_, head, _) = open(at, "/mirror", "sec-websocket-protocol: chat\r\n").await?;
    ensure!(head.to_ascii_lowercase().contains("sec-websocket-protocol: chat"), "{}", head.escape_debug());
    Ok("chat".to_owned())
}

async fn first_words(at: SocketAddr) -> Result<String> {
    let (mut stream, _, mut got) = open(at, "/hello", "").await?;
    while got.len() < 23 && stream.read_buf(&mut got).await? != 0 {}
    ensure!(got == b"the server speaks first", "{}", got.escape_ascii());
    Ok("its first words".to_owned())
}

async fn goodbye(at: SocketAddr) -> Result<String> {
    let (mut stream, _, mut got) = open(at, "/goodbye", "").await?;
    while stream.read_buf(&mut got).await? != 0 {}
    ensure!(got.is_empty(), "{} bytes", got.len());
    Ok("the end".to_owned())
}

async fn half_close(at: SocketAddr) -> Result<String> {
    let (stream, _, mut got) = open(at, "/mirror", "").await?;
    let (mut from, mut to) = stream.into_split();
    let sent = vec![0x5a; 1 << 20];
    let write = async {
        to.write_all(&sent).await?;
        to.shutdown().await
    };
    let read = async {
        while from.read_buf(&mut got).await? != 0 {}
        anyhow::Ok(())
    };
    let (wrote, read) = tokio::join!(write, read);
    wrote.context("send")?;
    read?;
    ensure!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
    Ok(format!("{} bytes", got.len()))
}

async fn many(at: SocketAddr) -> Result<String> {
    let mut open_ones = Vec::new();
    for number in 0..200_u32 {
        let (stream, ..) = open(at, "/mirror", "").await.with_context(|| format!("connection {number}"))?;
        open_ones.push((number, stream));
    }
    for (number, stream) in &mut open_ones {
        stream.write_all(&number.to_be_bytes()).await?;
    }
    for (number, stream) in &mut open_ones {
        let mut got = [0; 4];
        stream.read_exact(&mut got).await?;
        ensure!(u32::from_be_bytes(got) == *number, "connection {number} got another one's bytes");
    }
    Ok("200 connections".to_owned())
}
