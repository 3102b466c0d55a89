//! The relay: copies both ways until both sides have ended, each end passed on by itself (half-close).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::net::Stream;

/// Bytes held for one direction. Small, because an idle tunnel keeps two of them.
const BUFFER: usize = 16 * 1024;

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

/// Copies until both sides have closed, one fails, or nothing moves for `idle`.
pub async fn relay(client: &mut Stream, server: &mut Stream, idle: Duration) -> Relayed {
    let mut up = Direction::new();
    let mut down = Direction::new();
    let mut sleep = Box::pin(tokio::time::sleep(idle));
    let ended = poll_fn(|cx| step(cx, &mut up, &mut down, client, server, &mut sleep, idle)).await;
    Relayed { to_server: up.copied, to_client: down.copied, ended }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the two ends, the two directions and the clock are what a relay is"
)]
fn step(
    cx: &mut Context<'_>,
    up: &mut Direction,
    down: &mut Direction,
    client: &mut Stream,
    server: &mut Stream,
    sleep: &mut Pin<Box<Sleep>>,
    idle: Duration,
) -> Poll<Ended> {
    let before = up.moved + down.moved;
    let one = up.poll(cx, client, server);
    let two = down.poll(cx, server, client);
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
    if up.moved + down.moved != before {
        sleep.as_mut().reset(Instant::now() + idle);
    }
    sleep.as_mut().poll(cx).map(|()| Ended::Idle)
}

enum Side {
    Reader(io::Error),
    Writer(io::Error),
}

#[derive(PartialEq, Eq)]
enum Phase {
    Copy,
    Shutdown,
    Done,
}

struct Direction {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    phase: Phase,
    flush: bool,
    copied: u64,
    /// Counts reads and writes, for the idle clock.
    moved: u64,
}

impl Direction {
    fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, phase: Phase::Copy, flush: false, copied: 0, moved: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<Result<(), Side>> {
        loop {
            match self.phase {
                Phase::Done => return Poll::Ready(Ok(())),
                Phase::Shutdown => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Side::Writer)?;
                    self.phase = Phase::Done;
                }
                Phase::Copy if self.start < self.end => {
                    let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
                    let count = ready!(Pin::new(&mut *to).poll_write(cx, bytes)).map_err(Side::Writer)?;
                    if count == 0 {
                        return Poll::Ready(Err(Side::Writer(io::ErrorKind::WriteZero.into())));
                    }
                    self.start += count;
                    self.copied += count as u64;
                    self.moved += 1;
                    self.flush = true;
                }
                Phase::Copy => match self.fill(cx, from) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => {
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

    fn fill(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> Poll<Result<(), Side>> {
        if self.buffer.is_empty() {
            self.buffer.resize(BUFFER, 0);
        }
        let mut buf = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buf)).map_err(Side::Reader)?;
        (self.start, self.end) = (0, buf.filled().len());
        self.moved += 1;
        if self.end == 0 {
            self.phase = Phase::Shutdown;
            // The buffer of a direction that has ended is of no more use, the other one may go on for hours.
            self.buffer = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}
