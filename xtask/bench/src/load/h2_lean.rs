//! HTTP/2 load at little cost: one task drives a connection with all its streams. Statuses and lengths are checked, the
//! rest of an answer is not looked at; `h2` looks at one answer of every round in full.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANSWER, H2_STREAMS, Kind, Tally, grpc_message};
use crate::backend::SMALL;
use crate::wire::hpack::{Encoder, STATUS_200};
use crate::wire::{END_STREAM, Frame, PREFACE, Wire};

/// Connects by prior knowledge (RFC 9113 section 3.3).
pub(crate) async fn connect(to: SocketAddr, kind: Kind, host: &str) -> Result<Connection> {
    let stream = tokio::time::timeout(ANSWER, TcpStream::connect(to)).await?;
    let stream = stream.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    let message = (kind == Kind::Grpc).then(|| grpc_message(SMALL).to_vec());
    Ok(Connection {
        stream,
        wire: Wire::new(),
        encoder: Encoder::default(),
        host: host.to_owned(),
        message,
        open: Vec::new(),
        next: 1,
    })
}

/// A connection and the streams that wait for an answer.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    wire: Wire,
    encoder: Encoder,
    host: String,
    message: Option<Vec<u8>>,
    open: Vec<Open>,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    stream: u32,
    got: usize,
    headers: u8,
}

impl Connection {
    /// Keeps all streams busy until the run stops.
    pub(crate) async fn work(mut self, tally: &Tally) -> Result<()> {
        self.stream.write_all(PREFACE).await?;
        while !tally.stop.get() {
            while self.open.len() < H2_STREAMS
                && self.wire.may_send(self.message.as_ref().map_or(0, Vec::len))
            {
                self.ask();
            }
            self.stream.write_all(&self.wire.outgoing).await?;
            self.wire.outgoing.clear();
            let read = tokio::time::timeout(ANSWER, self.stream.read_buf(&mut self.wire.incoming)).await?;
            ensure!(read? != 0, "closed before the answer");
            while let Some(frame) = self.wire.next()? {
                if self.take(frame)? {
                    tally.done.set(tally.done.get() + 1);
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self) {
        let mut block = Vec::with_capacity(64);
        for (name, value) in fields(self.message.is_some(), &self.host) {
            self.encoder.field(&mut block, name, value);
        }
        let stream = self.next;
        self.next += 2;
        self.open.push(Open { stream, got: 0, headers: 0 });
        match &self.message {
            None => self.wire.headers(stream, END_STREAM, &block),
            Some(message) => {
                self.wire.headers(stream, 0, &block);
                self.wire.data(stream, END_STREAM, message);
            }
        }
    }

    /// True when it was the last frame of an answer.
    fn take(&mut self, frame: Frame) -> Result<bool> {
        let (Frame::Headers { stream, end, .. } | Frame::Data { stream, end, .. }) = frame;
        let position = self.open.iter().position(|open| open.stream == stream);
        let Some(open) = position.and_then(|position| self.open.get_mut(position)) else { return Ok(false) };
        match frame {
            Frame::Headers { first, .. } => {
                ensure!(open.headers > 0 || first == Some(STATUS_200), "answered something else than 200");
                open.headers += 1;
            }
            Frame::Data { length, .. } => open.got += length,
        }
        if end {
            let wanted = self.message.as_ref().map_or((SMALL, 1), |message| (message.len(), 2));
            ensure!((open.got, open.headers) == wanted, "an answer of {} bytes", open.got);
            self.open.retain(|open| open.stream != stream);
        }
        Ok(end)
    }
}

fn fields(grpc: bool, host: &str) -> Vec<(&'static str, &str)> {
    let mut fields = vec![(":scheme", "http"), (":authority", host)];
    fields.extend(if grpc {
        [
            (":method", "POST"),
            (":path", "/bench.v1.Echo/Say"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "10S"),
            ("user-agent", "grpc-bench/1.0"),
        ]
        .as_slice()
    } else {
        [
            (":method", "GET"),
            (":path", "/api/v1/items/42?fields=name,price"),
            ("accept", "application/json, text/plain;q=0.9"),
            ("user-agent", "mesh-bench/1.0 (load generator)"),
            ("x-client-version", "7.31.0"),
            ("x-tenant", "acme-industries-eu-west"),
        ]
        .as_slice()
    });
    fields
}
