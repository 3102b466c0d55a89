//! Whether something is there yet: a readiness page, an open port. Each question is asked once; who waits asks again.
//! It must not know what it waits for.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a machine at full load takes to answer on loopback.
const ANSWER: Duration = Duration::from_secs(2);
/// How often those who wait ask.
pub(crate) const PACE: Duration = Duration::from_millis(20);
/// Most bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 * 1024;

/// What `/readyz` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// 200.
    Ready,
    /// What it waits for, in its own words, or why it could not be asked.
    NotYet(String),
}

/// Asks the readiness page at `address`.
pub(crate) async fn ready(address: SocketAddr) -> Readiness {
    match timeout(ANSWER, ask(address, "/readyz")).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(_)) => Readiness::NotYet("it does not listen yet".to_owned()),
        Err(_) => Readiness::NotYet("it does not answer".to_owned()),
    }
}

/// Asks for a page of an application; ready is any status below 400.
pub(crate) async fn page(address: SocketAddr, path: &str) -> Readiness {
    match timeout(ANSWER, ask(address, path)).await {
        Ok(Ok(answer)) => welcome(&answer),
        Ok(Err(error)) => Readiness::NotYet(error.to_string()),
        Err(_) => Readiness::NotYet("it does not answer".to_owned()),
    }
}

fn welcome(answer: &[u8]) -> Readiness {
    let text = String::from_utf8_lossy(answer);
    let status = text.split_whitespace().nth(1).unwrap_or_default();
    match status.parse::<u16>() {
        Ok(200..=399) => Readiness::Ready,
        Ok(status) => Readiness::NotYet(format!("status {status}")),
        Err(_) => Readiness::NotYet("the answer is not HTTP".to_owned()),
    }
}

/// The text at a path, as that of metrics; `None`: there is none.
pub(crate) async fn text(address: SocketAddr, path: &str) -> Option<String> {
    let answer = timeout(ANSWER, ask(address, path)).await.ok()?.ok()?;
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    (head.split_whitespace().nth(1) == Some("200")).then(|| body.to_owned())
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn judge(answer: &[u8]) -> Readiness {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Readiness::Ready,
        Some(_) => Readiness::NotYet(body.split_whitespace().collect::<Vec<_>>().join(" ")),
        None => Readiness::NotYet("it does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_ready_and_503_says_what_is_pending() {
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n\r\nok"), Readiness::Ready);
        let pending = judge(b"HTTP/1.1 503 Service Unavailable\r\n\r\npending:\n configuration\n");
        assert_eq!(pending, Readiness::NotYet("pending: configuration".to_owned()));
        assert_eq!(judge(b""), Readiness::NotYet("it does not answer".to_owned()));
    }

    #[test]
    fn a_page_is_ready_below_400() {
        assert_eq!(welcome(b"HTTP/1.1 302 Found\r\n\r\n"), Readiness::Ready);
        assert_eq!(welcome(b"HTTP/1.1 404 Not Found\r\n\r\n"), Readiness::NotYet("status 404".to_owned()));
        assert_eq!(welcome(b"SSH-2.0-x"), Readiness::NotYet("the answer is not HTTP".to_owned()));
    }
}
