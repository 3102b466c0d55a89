//! A client that sends exactly the bytes it is given, and says what came back. It must not know what is expected.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use crate::report::shown;
use crate::way::{Speaks, Stream, Way};

/// After a whole answer: how long the close is waited for.
const QUIET: Duration = Duration::from_millis(250);
const MOST: usize = 32 << 20;

/// How the proxy left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    /// Open, and nothing more came.
    Open,
}

/// When an exchange is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// With the whole answer.
    Answered,
    /// A while after it: what the proxy does next counts too.
    Quiet,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

impl Answer {
    /// The status of the first answer that is no interim one.
    pub(crate) fn status(&self) -> Option<u16> {
        self.statuses().into_iter().find(|status| *status >= 200 || *status == 101)
    }

    /// All statuses, in order: whatever stands at the beginning of a line and looks like a status line.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let mut found = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some(at) = rest.windows(9).position(|window| window == b"HTTP/1.1 ") {
            rest = rest.get(at + 9..).unwrap_or_default();
            let digits = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            found.extend(digits.and_then(|digits| digits.parse::<u16>().ok()));
        }
        found
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let end = match self.end {
            End::Closed => "closed",
            End::Reset => "reset",
            End::Open => "left open",
        };
        match self.status() {
            Some(status) => format!("{status}, {end}"),
            None if self.bytes.is_empty() => format!("no answer, {end}"),
            None => format!("`{}`, {end}", shown(&self.bytes)),
        }
    }

    /// Whether the first final answer is there as a whole, by its own framing.
    pub(crate) fn is_whole(&self) -> bool {
        whole(&self.bytes)
    }

    /// The body of the first answer, if its length is told.
    pub(crate) fn body(&self) -> &[u8] {
        let Some((head, body)) = split(&self.bytes) else { return &[] };
        let length = length(head).unwrap_or(body.len()).min(body.len());
        body.get(..length).unwrap_or_default()
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    loop {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let (head, body) = rest.split_at_checked(end)?;
        // Interim answers come before the one that counts.
        if !head.starts_with(b"HTTP/1.1 1") || head.starts_with(b"HTTP/1.1 101") {
            return Some((head, body));
        }
        rest = body;
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length:")?;
    rest.split("\r\n").next()?.trim().parse().ok()
}

fn whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = split(bytes) else { return false };
    if let Some(length) = length(head) {
        return body.len() >= length;
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    if text.contains("transfer-encoding") {
        return body.ends_with(b"0\r\n\r\n") || body.windows(7).any(|window| window == b"\r\n0\r\n\r\n");
    }
    [" 204", " 304", " 101"].iter().any(|status| text.get(8..).is_some_and(|rest| rest.starts_with(status)))
}

/// Sends `bytes` on a new connection and takes what comes within `limit`.
pub(crate) async fn exchange(way: &Way, bytes: &[u8], limit: Duration) -> Result<Answer> {
    let mut stream = way.connect(Speaks::Http1).await?;
    Ok(exchange_on(&mut stream, bytes, limit, Until::Quiet).await)
}

/// The same on a connection that is there already.
pub(crate) async fn exchange_on(stream: &mut Stream, bytes: &[u8], limit: Duration, until: Until) -> Answer {
    let deadline = Instant::now() + limit;
    let mut got = Vec::new();
    let mut sent = 0;
    // A peer that refuses may answer before it read everything, so both directions go on at once.
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        let is_whole = whole(&got);
        if is_whole && until == Until::Answered && sent == bytes.len() {
            break End::Open;
        }
        let wait = if is_whole { deadline.min(Instant::now() + QUIET) } else { deadline };
        let rest = bytes.get(sent..).unwrap_or_default();
        let step = async {
            tokio::select! {
                biased;
                read = reader.read(&mut buffer) => Step::Read(read),
                wrote = writer.write(rest), if !rest.is_empty() => Step::Wrote(wrote),
            }
        };
        match timeout_at(wait, step).await {
            Err(_) => break End::Open,
            Ok(Step::Read(Ok(0))) => break End::Closed,
            Ok(Step::Read(Err(error))) => break ended(&error),
            Ok(Step::Read(Ok(n))) => got.extend(buffer.get(..n).unwrap_or_default()),
            Ok(Step::Wrote(Ok(n))) => {
                sent += n;
                if sent == bytes.len() && timeout_at(deadline, writer.flush()).await.is_err() {
                    break End::Open;
                }
            }
            // Whoever closed its reading side may still have said why.
            Ok(Step::Wrote(Err(_))) => sent = bytes.len(),
        }
        if got.len() > MOST {
            break End::Open;
        }
    };
    Answer { bytes: got, end }
}

enum Step {
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
}

fn ended(error: &std::io::Error) -> End {
    // A TLS session that ends without close_notify is a close that was not announced.
    if error.kind() == std::io::ErrorKind::UnexpectedEof { End::Closed } else { End::Reset }
}

/// Reads until the end of the stream or `limit`; true when it ended.
pub(crate) async fn drained(stream: &mut Stream, limit: Duration) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    let read = async { while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {} };
    timeout(limit, read).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u8]) -> Answer {
        Answer { bytes: bytes.to_vec(), end: End::Open }
    }

    #[test]
    fn interim_answers_do_not_count() {
        let seen = answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!((seen.status(), seen.statuses()), (Some(200), vec![100, 200]));
        assert_eq!((seen.is_whole(), seen.body()), (true, &b"ab"[..]));
    }

    #[test]
    fn an_answer_is_whole_by_its_own_framing() {
        assert!(!answer(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab").is_whole());
        assert!(!answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n").is_whole());
        assert!(
            answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n").is_whole()
        );
        assert!(answer(b"HTTP/1.1 204 No Content\r\n\r\n").is_whole());
        assert!(!answer(b"HTTP/1.1 200 OK\r\n\r\nab").is_whole());
    }
}
