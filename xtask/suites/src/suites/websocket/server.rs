//! The WebSocket server behind the sidecars: `/mirror` sends back every byte, `/frames` answers frames. It must not know what a
//! case expects.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use aws_lc_rs::digest;
use base64::Engine as _;
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::frame::Endpoint;

const MAX_HEAD: usize = 64 * 1024;
/// What a server proves with that it read the key (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The answer to the key that our own clients send.
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// That key, the RFC's example.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Starts it at a free address.
pub(crate) async fn start(tasks: &Tasks) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (address, own) = (listener.local_addr()?, tasks.clone());
    tasks.spawn_local("websocket server", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            own.spawn_local("websocket connection", async move {
                // A client that goes away is what some cases are about.
                let _ = serve(stream).await;
            });
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(buffer.len() < MAX_HEAD && stream.read_buf(&mut buffer).await? != 0, "no head");
    };
    let rest = buffer.split_off(end);
    let head = String::from_utf8_lossy(&buffer).into_owned();
    let answer = answer(&head);
    stream.write_all(answer.as_bytes()).await?;
    if !answer.starts_with("HTTP/1.1 101") {
        return Ok(());
    }
    match path(&head) {
        "/frames" => frames(stream, rest).await,
        "/goodbye" => Ok(stream.shutdown().await?),
        "/hello" => {
            stream.write_all(b"the server speaks first").await?;
            mirror(stream, rest).await
        }
        _ => mirror(stream, rest).await,
    }
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default()
}

/// Section 4.2: what a handshake must have.
fn answer(head: &str) -> String {
    let lower = head.to_ascii_lowercase();
    let has = |line: &str| lower.contains(line);
    let not = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    if path(head) == "/refused" {
        return not("403 Forbidden");
    }
    if !has("upgrade: websocket") || !has("connection:") || !has("sec-websocket-key:") {
        return not("400 Bad Request");
    }
    if !has("sec-websocket-version: 13") {
        return not("426 Upgrade Required");
    }
    let accept = accept(head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    }));
    let protocol = if has("sec-websocket-protocol: chat") { "sec-websocket-protocol: chat\r\n" } else { "" };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
        sec-websocket-accept: {accept}\r\n{protocol}\r\n"
    )
}

fn accept(key: Option<&str>) -> String {
    let text = format!("{}{GUID}", key.unwrap_or_default());
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

async fn mirror(mut stream: TcpStream, first: Vec<u8>) -> Result<()> {
    stream.write_all(&first).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(to.shutdown().await?)
}

async fn frames(mut stream: TcpStream, first: Vec<u8>) -> Result<()> {
    let (mut endpoint, mut bytes) = (Endpoint::default(), first);
    loop {
        let answer = endpoint.take(&bytes);
        stream.write_all(&answer).await?;
        if endpoint.closed {
            stream.shutdown().await?;
            // Whoever closes with unread bytes resets, and a reset may overtake the last frame.
            let mut rest = vec![0; 16 * 1024];
            while stream.read(&mut rest).await? != 0 {}
            return Ok(());
        }
        bytes.clear();
        bytes.reserve(64 * 1024);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(stream.shutdown().await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_key_has_the_rfcs_answer() {
        assert_eq!(accept(Some(KEY)), ACCEPT);
        assert!(answer("GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
}
