//! Asks the application for its metrics: one `GET`, of whose answer no more is kept than may be. It must not know what metrics are.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::Method;
use mesh_http1::{Chunked, Framing, Limits, What};
use mesh_lifecycle::admin::Exposition;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Missing;
use crate::config::ApplicationMetrics;
use crate::net::{Dial, Stream, connect};

/// What may not stand in a request line.
const PATH_SET: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

/// Whom and how much.
pub(super) struct Ask<'a> {
    pub(super) metrics: &'a ApplicationMetrics,
    pub(super) dial: &'a Dial,
    /// Most bytes of the body.
    pub(super) limit: usize,
}

/// What it serves, and in which format it says that is.
pub(super) async fn ask(
    ask: &Ask<'_>,
    reads: Exposition,
    deadline: Duration,
) -> Result<(String, Exposition), Missing> {
    let address = SocketAddr::new(ask.metrics.host, ask.metrics.port);
    let mut stream = dial(address, ask.dial, deadline).await.ok_or(Missing::Unreachable)?;
    let accept = match reads {
        Exposition::OpenMetrics => {
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        }
        Exposition::Plain => "text/plain;version=0.0.4",
    };
    let path = utf8_percent_encode(&ask.metrics.path, PATH_SET);
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\nuser-agent: amime\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|_| Missing::Unreachable)?;
    stream.flush().await.map_err(|_| Missing::Unreachable)?;
    let mut answer = Answer { stream, buffer: Vec::new(), limit: ask.limit };
    let head = answer.head().await?;
    let body = answer.body(head.framing).await?;
    let body = String::from_utf8(body).map_err(|_| Missing::Unreadable)?;
    Ok((body, head.format))
}

/// As [`connect_app`](crate::net::connect_app), for a thread that is not a worker's.
async fn dial(address: SocketAddr, how: &Dial, deadline: Duration) -> Option<TcpStream> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for ip in [address.ip()].into_iter().chain(loopback) {
        let connected = connect((ip, address.port()).into(), how, deadline).await;
        if let Some(stream) = connected.ok().and_then(Stream::into_tcp) {
            return Some(stream);
        }
    }
    None
}

struct Head {
    framing: Framing,
    format: Exposition,
}

struct Answer {
    stream: TcpStream,
    buffer: Vec<u8>,
    limit: usize,
}

impl Answer {
    /// `false`: there is no more.
    async fn more(&mut self) -> Result<bool, Missing> {
        let count = self.stream.read_buf(&mut self.buffer).await.map_err(|_| Missing::Unreachable)?;
        Ok(count > 0)
    }

    async fn head(&mut self) -> Result<Head, Missing> {
        let (limits, mut fields) = (Limits::default(), Vec::new());
        loop {
            let read = mesh_http1::response(&self.buffer, &Method::GET, &limits, &mut fields);
            let Some(line) = read.map_err(|_| Missing::Unreadable)? else {
                if !self.more().await? {
                    return Err(Missing::Unreachable);
                }
                continue;
            };
            if (100..200).contains(&line.status) {
                self.buffer.drain(..line.len);
                continue;
            }
            if line.status != 200 {
                return Err(Missing::Status);
            }
            let media = fields.iter().find(|f| f.name.of(&self.buffer).eq_ignore_ascii_case(b"content-type"));
            let open =
                media.is_some_and(|f| f.value.of(&self.buffer).starts_with(b"application/openmetrics-text"));
            self.buffer.drain(..line.len);
            let format = if open { Exposition::OpenMetrics } else { Exposition::Plain };
            return Ok(Head { framing: line.framing, format });
        }
    }

    async fn body(mut self, framing: Framing) -> Result<Vec<u8>, Missing> {
        match framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > self.limit {
                    return Err(Missing::TooLarge);
                }
                while self.buffer.len() < length {
                    if !self.more().await? {
                        return Err(Missing::Unreachable);
                    }
                }
                self.buffer.truncate(length);
                Ok(self.buffer)
            }
            Framing::UntilClose => {
                while self.more().await? {
                    if self.buffer.len() > self.limit {
                        return Err(Missing::TooLarge);
                    }
                }
                Ok(self.buffer)
            }
            Framing::Chunked => self.chunks().await,
        }
    }

    async fn chunks(mut self) -> Result<Vec<u8>, Missing> {
        let (mut chunked, mut body, mut done) = (Chunked::new(&Limits::default()), Vec::new(), 0);
        loop {
            let rest = self.buffer.get(done..).unwrap_or_default();
            let chunk = chunked.decode(rest).map_err(|_| Missing::Unreadable)?;
            if let What::Data(span) = chunk.what {
                body.extend_from_slice(span.of(rest));
            }
            done += chunk.consumed;
            if body.len() > self.limit {
                return Err(Missing::TooLarge);
            }
            match chunk.what {
                What::End => return Ok(body),
                What::NeedMore => {
                    self.buffer.drain(..done);
                    done = 0;
                    if !self.more().await? {
                        return Err(Missing::Unreachable);
                    }
                }
                What::Data(_) | What::Trailers => {}
            }
        }
    }
}
