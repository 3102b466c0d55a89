//! One HTTP/1.1 client connection that asks the same again and again. It reads no more of an answer than its length.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANSWER, Kind};
use crate::backend::LARGE_PATH;

const BUFFER: usize = 80 * 1024;
const MAX_HEADERS: usize = 64;

/// A connection with a request in hand.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// The request's bytes, about 400 as a browser or a small service sends them.
pub(crate) fn request(kind: Kind, host: &str) -> Vec<u8> {
    let path = if kind == Kind::Large { LARGE_PATH } else { "/api/v1/items/42?fields=name,price" };
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: mesh-bench/1.0 (load generator; +one of many)\r\n\
        accept: application/json, text/plain;q=0.9, */*;q=0.1\r\naccept-language: en-GB,en;q=0.8\r\n\
        accept-encoding: gzip, deflate, br, zstd\r\nx-client-version: 7.31.0\r\ncookie: session=6f1c2a9be0d84f3fa7c1; theme=dark\r\n\
        x-tenant: acme-industries-eu-west; plan=standard\r\n\r\n"
    )
    .into_bytes()
}

/// Connects in plaintext.
pub(crate) async fn connect(to: SocketAddr, kind: Kind, host: &str) -> Result<Client<TcpStream>> {
    let stream = tokio::time::timeout(ANSWER, TcpStream::connect(to)).await?;
    let stream = stream.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(Client::new(stream, request(kind, host)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S, request: Vec<u8>) -> Self {
        Self { stream, request, buffer: Vec::new() }
    }

    /// Asks once and takes the whole answer; anything but 200 is an error, and so is one that is late.
    pub(crate) async fn ask(&mut self) -> Result<()> {
        tokio::time::timeout(ANSWER, self.exchange()).await?
    }

    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        self.buffer.reserve(if self.buffer.capacity() == 0 { 4096 } else { 0 });
        let total = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? != 0, "closed before the answer");
            if let Some(total) = answer_length(&self.buffer)? {
                break total;
            }
            ensure!(self.buffer.len() < BUFFER, "the head of the answer does not end");
        };
        self.buffer.reserve(total.saturating_sub(self.buffer.len()));
        while self.buffer.len() < total {
            ensure!(self.stream.read_buf(&mut self.buffer).await? != 0, "closed within the answer");
        }
        ensure!(self.buffer.len() == total, "more bytes than the answer has");
        Ok(())
    }

    /// Gives the memory back that an idle connection needs not.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }
}

/// Bytes of head and body together; None until the head is whole.
fn answer_length(buffer: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(buffer)? else { return Ok(None) };
    if head.code != Some(200) {
        bail!("answered {}", head.code.unwrap_or_default());
    }
    let body = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .context("an answer without content-length")?;
    let body: usize = std::str::from_utf8(body.value)?.trim().parse()?;
    ensure!(length + body <= BUFFER, "an answer of {body} bytes");
    Ok(Some(length + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(answer_length(head).unwrap(), Some(head.len() + 5));
    }

    #[test]
    fn anything_but_200_with_a_length_is_refused() {
        assert!(answer_length(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(answer_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(answer_length(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
    }

    #[test]
    fn the_request_is_of_usual_size() {
        let bytes = request(Kind::H1, "echo.bench");
        assert!((370..430).contains(&bytes.len()), "{}", bytes.len());
    }
}
