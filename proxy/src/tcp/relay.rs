//! The relay: copies both ways until both sides have ended, each end passed on by itself (half-close). It must not know who the peers
//! are.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::buffers::Buffer;
use crate::net::Stream;

/// How a relay ended.
#[derive(Debug)]
pub enum Ended {
    /// Both sides closed.
    Closed,
    /// Nothing moved for the idle time.
    Idle,
    /// The side that we accepted failed.
    Client(io::Error),
    /// The side that we opened failed.
    Server(io::Error),
}

/// What a relay carried.
#[derive(Debug)]
pub struct Relayed {
    /// From client to server.
    pub to_server: u64,
    /// From server to client.
    pub to_client: u64,
    /// How it ended.
    pub ended: Ended,
}

/// Copies until both sides have closed, one fails, or nothing moves for `idle`. A side that did not end in an orderly way, or the end of
/// this task, resets the other: half of the bytes must not look like all of them.
pub async fn relay(client: &mut Stream, server: &mut Stream, idle: Option<Duration>) -> Relayed {
    let mut pair = Pair { client, server, orderly: false };
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut quiet = idle.map(Quiet::new);
    let ended = poll_fn(|cx| pair.step(cx, &mut up, &mut down, quiet.as_mut())).await;
    pair.orderly = matches!(ended, Ended::Closed | Ended::Idle);
    Relayed { to_server: up.copied, to_client: down.copied, ended }
}

/// Both ends; resets them when dropped before they have ended.
struct Pair<'a> {
    client: &'a mut Stream,
    server: &'a mut Stream,
    orderly: bool,
}

impl Pair<'_> {
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Direction,
        down: &mut Direction,
        quiet: Option<&mut Quiet>,
    ) -> Poll<Ended> {
        let before = up.moved + down.moved;
        let one = up.poll(cx, self.client, self.server);
        let two = down.poll(cx, self.server, self.client);
        match (one, two) {
            (Poll::Ready(Err(Side::Reader(error))), _) | (_, Poll::Ready(Err(Side::Writer(error)))) => {
                return Poll::Ready(Ended::Client(error));
            }
            (Poll::Ready(Err(Side::Writer(error))), _) | (_, Poll::Ready(Err(Side::Reader(error)))) => {
                return Poll::Ready(Ended::Server(error));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ended::Closed),
            _ => {}
        }
        match quiet {
            Some(quiet) => quiet.poll(cx, up.moved + down.moved != before).map(|()| Ended::Idle),
            None => Poll::Pending,
        }
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if !self.orderly {
            self.client.abort();
            self.server.abort();
        }
    }
}

/// The clock of a relay that may be idle for so long only.
struct Quiet {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Quiet {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: Box::pin(tokio::time::sleep(limit)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<()> {
        if moved {
            self.sleep.as_mut().reset(Instant::now() + self.limit);
        }
        self.sleep.as_mut().poll(cx)
    }
}

enum Side {
    Reader(io::Error),
    Writer(io::Error),
}

#[derive(Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Copy,
    Shutdown,
    Done,
}

#[derive(Default)]
struct Direction {
    buffer: Buffer,
    start: usize,
    end: usize,
    /// Size of the next buffer.
    class: usize,
    phase: Phase,
    flush: bool,
    /// The reader has ended, or failed with this; what is in the buffer is the last.
    last: Option<io::Result<()>>,
    copied: u64,
    /// Counts reads and writes, for the idle clock.
    moved: u64,
}

impl Direction {
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<Result<(), Side>> {
        loop {
            match self.phase {
                Phase::Done => return Poll::Ready(Ok(())),
                Phase::Shutdown => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Side::Writer)?;
                    self.phase = Phase::Done;
                }
                Phase::Copy if self.start < self.end => ready!(self.write(cx, to))?,
                Phase::Copy if self.last.is_some() => {
                    self.buffer = Buffer::default();
                    self.last.take().unwrap_or(Ok(())).map_err(Side::Reader)?;
                    self.phase = Phase::Shutdown;
                }
                Phase::Copy => match self.fill(cx, from) {
                    Poll::Ready(()) => {}
                    Poll::Pending => {
                        // Nothing is on its way: the buffer is for others meanwhile.
                        self.buffer = Buffer::default();
                        if self.flush {
                            ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Side::Writer)?;
                            self.flush = false;
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<Result<(), Side>> {
        let bytes = self.buffer.bytes().get(self.start..self.end).unwrap_or_default();
        let count = ready!(Pin::new(to).poll_write(cx, bytes)).map_err(Side::Writer)?;
        if count == 0 {
            return Poll::Ready(Err(Side::Writer(io::ErrorKind::WriteZero.into())));
        }
        self.start += count;
        self.copied += count as u64;
        self.moved += 1;
        self.flush = true;
        Poll::Ready(Ok(()))
    }

    /// Reads what is there, so that it leaves in as few writes as possible: TLS gives a record at a time. Ready with something in the
    /// buffer, or at the end.
    fn fill(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> Poll<()> {
        if self.buffer.is_none() || self.buffer.class() < self.class {
            self.buffer = Buffer::take(self.class);
        }
        (self.start, self.end) = (0, 0);
        loop {
            let room = self.buffer.bytes_mut().get_mut(self.end..).unwrap_or_default();
            if room.is_empty() {
                // There is more than it holds: bulk.
                self.class = self.buffer.class() + 1;
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(room);
            match Pin::new(&mut *from).poll_read(cx, &mut buf) {
                Poll::Pending if self.end == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                // What was read before goes out first. The system says an error once only: after it comes an end like any other.
                Poll::Ready(Err(error)) => {
                    self.last = Some(Err(error));
                    return Poll::Ready(());
                }
            }
            let (count, room) = (buf.filled().len(), buf.capacity());
            self.moved += 1;
            self.end += count;
            if count == 0 {
                self.last = Some(Ok(()));
                return Poll::Ready(());
            }
            // A socket that gave less than was asked for has no more; asking again costs a system call.
            if !from.is_tls() && count < room {
                break;
            }
        }
        if self.end * 4 <= self.buffer.bytes().len() {
            self.class = self.buffer.class().saturating_sub(1);
        }
        Poll::Ready(())
    }
}
