//! One query to one resolver: over UDP from a port of its own with a number nobody can guess, and over TCP where the reply does not
//! fit. It must not know other resolvers, nor what the reply is for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mesh_dns::wire::{BadReply, Query, Reply};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// Replies to other questions after which UDP is given up for this query: somebody guesses.
const GUESSES: usize = 16;

/// Bytes of a datagram that are taken; what fills them all may be more.
const DATAGRAM: usize = 4096;

/// Why a resolver gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Nothing came.
    #[error("no answer in time")]
    Timeout,
    /// The system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is none to this question.
    #[error("its answer is of no use: {0}")]
    Bad(#[from] BadReply),
    /// No number that cannot be guessed.
    #[error("this machine has no random numbers")]
    NoRandom,
}

/// A reply and what it says.
pub type Received = (Vec<u8>, Reply);

/// How a resolver is asked.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "it holds a closure")]
pub struct Asking<'a> {
    /// The resolver.
    pub resolver: SocketAddr,
    /// `SO_MARK` of the sockets.
    pub mark: Option<u32>,
    /// No answer is waited for beyond this.
    pub until: Instant,
    /// Told of each reply that is not the answer to what was asked.
    pub foreign: &'a (dyn Fn() + Sync),
}

/// Asks what `query` asks, whose bytes are `asked`.
pub async fn ask(how: Asking<'_>, asked: &[u8], query: &Query) -> Result<Received, NoReply> {
    let id = number()?;
    let mut ours = asked.to_vec();
    if let Some(bytes) = ours.get_mut(..2) {
        bytes.copy_from_slice(&id.to_be_bytes());
    }
    let by_datagram = timeout_at(how.until, ask_udp(&how, &ours, query, id));
    let cut = match by_datagram.await.map_err(|_| NoReply::Timeout)?? {
        Some(received) if !received.1.truncated => return Ok(received),
        cut => cut,
    };
    match (timeout_at(how.until, ask_tcp(&how, &ours, query, id)).await, cut) {
        (Ok(Ok(received)), _) => Ok(received),
        // The beginning of a reply is more than nothing: who asked may try TCP itself.
        (_, Some(cut)) => Ok(cut),
        (Ok(Err(why)), None) => Err(why),
        (Err(_), None) => Err(NoReply::Timeout),
    }
}

/// `None`: there is an answer, but not by this way.
async fn ask_udp(how: &Asking<'_>, ours: &[u8], query: &Query, id: u16) -> Result<Option<Received>, NoReply> {
    let socket = datagrams(how.resolver, how.mark).await?;
    socket.send(ours).await?;
    let mut buffer = vec![0; DATAGRAM];
    for _ in 0..GUESSES {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).unwrap_or_default();
        match Reply::scan(message, query, id) {
            Ok(reply) => return Ok(Some((message.to_vec(), reply))),
            Err(BadReply::Malformed) if length == DATAGRAM => return Ok(None),
            // Neither is what was asked for; the right one may still come.
            Err(BadReply::Malformed | BadReply::Foreign) => (how.foreign)(),
        }
    }
    Ok(None)
}

async fn ask_tcp(how: &Asking<'_>, ours: &[u8], query: &Query, id: u16) -> Result<Received, NoReply> {
    let mut stream = mesh_lifecycle::dial::tcp(how.resolver, how.mark).await?;
    let mut framed = u16::try_from(ours.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    framed.extend(ours);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    let reply = Reply::scan(&message, query, id)?;
    Ok((message, reply))
}

/// A socket for datagrams to and from one peer, on a random port: the kernel drops what comes from anywhere else.
async fn datagrams(peer: SocketAddr, mark: Option<u32>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    socket.bind(&any.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// A number that whoever does not see the query cannot know.
fn number() -> Result<u16, NoReply> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoReply::NoRandom)?;
    Ok(u16::from_be_bytes(bytes))
}
