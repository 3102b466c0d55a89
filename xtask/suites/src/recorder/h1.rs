//! The recorder's HTTP/1: heads and bodies as they come, answers as the path asks.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::message::{head_end, parse};
use super::{EARLY, LARGE, LARGE_PATH, Message, Recorder, TAG, script};

const MAX_HEAD: usize = 1 << 20;
const STALL: Duration = Duration::from_secs(90);
const TUNNEL: Duration = Duration::from_secs(2);

struct Connection<'a> {
    recorder: &'a Recorder,
    stream: TcpStream,
    buffer: Vec<u8>,
}

enum Then {
    Continue,
    Close,
}

pub(super) async fn serve(
    recorder: &Recorder,
    stream: TcpStream,
    begin: Vec<u8>,
    number: usize,
) -> Result<()> {
    let mut connection = Connection { recorder, stream, buffer: begin };
    while let Some((message, index)) = connection.request(number).await? {
        if let Then::Close = connection.answer(&message, index).await? {
            break;
        }
    }
    Ok(())
}

impl Connection<'_> {
    /// The next request with its body; None at the end.
    async fn request(&mut self, number: usize) -> Result<Option<(Message, usize)>> {
        let end = loop {
            if let Some(end) = head_end(&self.buffer) {
                break end;
            }
            if self.buffer.len() > MAX_HEAD || !self.more().await? {
                if !self.buffer.is_empty() {
                    self.recorder.stray(&self.buffer);
                }
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let Some(mut message) = parse(&head) else {
            self.recorder.stray(&head);
            bail!("no request");
        };
        message.connection = number;
        let index = self.recorder.note(message.clone());
        if message.field("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let chunked = message
            .field("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
        if chunked {
            self.chunks(index).await?;
        } else if let Some(length) = message.field("content-length") {
            let length = std::str::from_utf8(length)?.parse()?;
            self.bytes(index, length).await?;
        }
        self.recorder.change(index, |message| message.whole = true);
        Ok(Some((message, index)))
    }

    async fn more(&mut self) -> Result<bool> {
        self.buffer.reserve(16 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? != 0)
    }

    async fn bytes(&mut self, index: usize, length: usize) -> Result<()> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() && !self.more().await? {
                bail!("the body breaks off");
            }
            let part: Vec<u8> = self.buffer.drain(..self.buffer.len().min(left)).collect();
            left -= part.len();
            self.recorder.change(index, |message| {
                message.add_body(&part);
                message.add_raw(&part);
            });
        }
        Ok(())
    }

    async fn chunks(&mut self, index: usize) -> Result<()> {
        loop {
            let line = self.line(index).await?;
            let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&digits)?, 16)?;
            if size == 0 {
                break;
            }
            self.bytes(index, size).await?;
            self.line(index).await?;
        }
        while !self.line(index).await?.iter().all(u8::is_ascii_whitespace) {}
        Ok(())
    }

    async fn line(&mut self, index: usize) -> Result<Vec<u8>> {
        let end = loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                break end + 1;
            }
            if self.buffer.len() > MAX_HEAD || !self.more().await? {
                bail!("the body breaks off");
            }
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        self.recorder.change(index, |message| message.add_raw(&line));
        Ok(line)
    }

    async fn answer(&mut self, message: &Message, index: usize) -> Result<Then> {
        let path = String::from_utf8_lossy(&message.target).into_owned();
        if let Some(name) = path.strip_prefix("/script/") {
            let script = script::named(name);
            self.stream.write_all(&script.bytes).await?;
            if script.then_close {
                self.stream.shutdown().await?;
                return Ok(Then::Close);
            }
            return Ok(Then::Continue);
        }
        if let Some(kind) = path.strip_prefix("/upgrade/") {
            return self.upgrade(kind, index).await;
        }
        if path == "/stall" {
            tokio::time::sleep(STALL).await;
            return Ok(Then::Close);
        }
        if path == LARGE_PATH {
            self.large().await?;
            return Ok(Then::Continue);
        }
        let body = message.field(TAG).unwrap_or(b"ok");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let body = if message.method == b"HEAD" { &[] } else { body };
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        Ok(Then::Continue)
    }

    async fn large(&mut self) -> Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        let part = vec![b'x'; 64 * 1024];
        for _ in 0..LARGE / part.len() {
            self.stream.write_all(&part).await?;
        }
        Ok(())
    }

    /// Waits for bytes that must not come, then answers.
    async fn upgrade(&mut self, kind: &str, index: usize) -> Result<Then> {
        let wait = async {
            while self.more().await? {}
            anyhow::Ok(())
        };
        // That the wait ends by its limit is the usual case.
        let _ = tokio::time::timeout(EARLY, wait).await;
        let early = self.buffer.clone();
        self.recorder.change(index, |message| message.early = early);
        match kind {
            "101" => {
                let head =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                self.stream.write_all(head.as_bytes()).await?;
                let read = async {
                    while self.more().await? {}
                    anyhow::Ok(())
                };
                let _ = tokio::time::timeout(TUNNEL, read).await;
                let bytes = std::mem::take(&mut self.buffer);
                self.recorder.change(index, |message| message.tunnel = bytes);
                Ok(Then::Close)
            }
            "200" => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await?;
                Ok(Then::Continue)
            }
            _ => {
                tokio::time::sleep(TUNNEL).await;
                Ok(Then::Close)
            }
        }
    }
}
