//! One query to one resolver: over UDP from a port of its own with a number nobody can guess, and over TCP where the reply does not
//! fit. It must not know other resolvers, nor what the reply is for.

use std::io;
use std::net::SocketAddr;

use mesh_dns::wire::{BadReply, Query, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::Dns;
use super::counters::Trouble;
use crate::net::{self, Dial};

/// Replies to other questions after which UDP is given up for this query: somebody guesses.
const GUESSES: usize = 16;

/// Bytes of a datagram that are taken; what fills them all may be more.
const DATAGRAM: usize = 4096;

/// Why a resolver gave no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReply {
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("its answer is of no use: {0}")]
    Bad(#[from] BadReply),
    #[error("this machine has no random numbers")]
    NoRandom,
}

/// A reply and what it says.
pub(super) type Received = (Vec<u8>, Reply);

impl Dns {
    /// Asks `resolver` what `query` asks, whose bytes are `asked`.
    pub(super) async fn ask(
        &self,
        resolver: SocketAddr,
        asked: &[u8],
        query: &Query,
        until: Instant,
    ) -> Result<Received, NoReply> {
        let id = number()?;
        let mut ours = asked.to_vec();
        if let Some(bytes) = ours.get_mut(..2) {
            bytes.copy_from_slice(&id.to_be_bytes());
        }
        let by_datagram = timeout_at(until, self.ask_udp(resolver, &ours, query, id));
        let cut = match by_datagram.await.map_err(|_| NoReply::Timeout)?? {
            Some(received) if !received.1.truncated => return Ok(received),
            cut => cut,
        };
        let how = Dial { mark: self.shared.mark, ..Dial::default() };
        let by_stream = timeout_at(until, ask_tcp(resolver, &how, &ours, (query, id), until));
        match (by_stream.await, cut) {
            (Ok(Ok(received)), _) => Ok(received),
            // The beginning of a reply is more than nothing: the client may try TCP itself.
            (_, Some(cut)) => Ok(cut),
            (Ok(Err(why)), None) => Err(why),
            (Err(_), None) => Err(NoReply::Timeout),
        }
    }

    /// `None`: there is an answer, but not by this way.
    async fn ask_udp(
        &self,
        resolver: SocketAddr,
        ours: &[u8],
        query: &Query,
        id: u16,
    ) -> Result<Option<Received>, NoReply> {
        let socket = net::datagrams(resolver, self.shared.mark).await?;
        socket.send(ours).await?;
        let mut buffer = vec![0; DATAGRAM];
        for _ in 0..GUESSES {
            let length = socket.recv(&mut buffer).await?;
            let message = buffer.get(..length).unwrap_or_default();
            match Reply::scan(message, query, id) {
                Ok(reply) => return Ok(Some((message.to_vec(), reply))),
                Err(BadReply::Malformed) if length == DATAGRAM => return Ok(None),
                // Neither is what was asked for; the right one may still come.
                Err(BadReply::Malformed | BadReply::Foreign) => {
                    self.shared.counters.trouble(Trouble::Spoofed);
                }
            }
        }
        Ok(None)
    }
}

async fn ask_tcp(
    resolver: SocketAddr,
    how: &Dial,
    ours: &[u8],
    (query, id): (&Query, u16),
    until: Instant,
) -> Result<Received, NoReply> {
    let left = until.saturating_duration_since(Instant::now());
    let stream = net::connect(resolver, how, left).await.map_err(io::Error::other)?;
    let mut stream = stream.into_tcp().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    let mut framed = u16::try_from(ours.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    framed.extend(ours);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    let reply = Reply::scan(&message, query, id)?;
    Ok((message, reply))
}

/// A number that whoever does not see the query cannot know.
fn number() -> Result<u16, NoReply> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoReply::NoRandom)?;
    Ok(u16::from_be_bytes(bytes))
}
