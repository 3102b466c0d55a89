//! HTTP/2 frame by frame, for clients that do what no library lets them do. It must not know what is expected.
//!
//! Source: RFC 9113 sections 4 and 6.

pub(crate) mod hpack;

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use crate::way::{Speaks, Stream, Way};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MAX_FRAME: usize = 16 * 1024;
const WRITE: Duration = Duration::from_secs(20);

/// What the proxy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A header block; of an answer the status, of trailers none.
    Head {
        stream: u32,
        status: Option<u16>,
        end: bool,
    },
    Data {
        stream: u32,
        length: usize,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    GoAway {
        code: u32,
    },
    /// The connection ended.
    Closed,
    /// Nothing came within the time given.
    Quiet,
}

/// A connection.
pub(crate) struct Connection {
    stream: Stream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Frames queued so far.
    pub(crate) frames: usize,
    closed: bool,
    /// Acknowledges SETTINGS and PING.
    polite: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("frames", &self.frames)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and sends the preface with `settings`: number and value. A header table of 0 is always asked for, so that
    /// statuses can be read without one.
    pub(crate) async fn open(way: &Way, settings: &[(u16, u32)]) -> Result<Self> {
        let stream = way.connect(Speaks::Http2).await?;
        let mut this = Self {
            stream,
            incoming: Vec::new(),
            outgoing: PREFACE.to_vec(),
            frames: 0,
            closed: false,
            polite: true,
        };
        let mut payload = Vec::new();
        for (name, value) in [(1, 0)].iter().chain(settings) {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        this.frame(SETTINGS, 0, 0, &payload);
        this.flush().await;
        Ok(this)
    }

    /// Queues a frame, whatever it is.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.outgoing.extend(length.into_iter().skip(1));
        self.outgoing.extend([kind, flags]);
        self.outgoing.extend(stream.to_be_bytes());
        self.outgoing.extend(payload);
        self.frames += 1;
    }

    /// Queues a header block, in CONTINUATION frames where it is long.
    pub(crate) fn block(&mut self, flags: u8, stream: u32, block: &[u8]) {
        let mut parts = block.chunks(MAX_FRAME).peekable();
        let first = parts.next().unwrap_or_default();
        let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
        self.frame(HEADERS, flags | last, stream, first);
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            self.frame(CONTINUATION, last, stream, part);
        }
    }

    /// Sends what is queued; false when the peer takes no more.
    pub(crate) async fn flush(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.outgoing);
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let written = matches!(timeout(WRITE, write).await, Ok(Ok(())));
        self.closed |= !written;
        written
    }

    /// The next thing that the proxy says, at most `limit` from now. SETTINGS and PING are acknowledged and not told.
    pub(crate) async fn next(&mut self, limit: Duration) -> Event {
        let deadline = Instant::now() + limit;
        loop {
            while let Some((kind, flags, stream, payload)) = self.whole() {
                let code = |payload: &[u8], at: usize| {
                    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied();
                    bytes.map_or(0, u32::from_be_bytes)
                };
                let end = flags & END_STREAM != 0;
                match kind {
                    HEADERS => return Event::Head { stream, status: hpack::status(&payload), end },
                    DATA => return Event::Data { stream, length: payload.len(), end },
                    RST_STREAM => return Event::Reset { stream, code: code(&payload, 0) },
                    GOAWAY => return Event::GoAway { code: code(&payload, 4) },
                    SETTINGS if flags & ACK == 0 && self.polite => {
                        self.frame(SETTINGS, ACK, 0, &[]);
                        self.flush().await;
                    }
                    PING if flags & ACK == 0 && self.polite => {
                        self.frame(PING, ACK, 0, &payload);
                        self.flush().await;
                    }
                    _ => {}
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            match timeout_at(deadline, self.stream.read(&mut buffer)).await {
                Err(_) => return Event::Quiet,
                Ok(Ok(0) | Err(_)) => {
                    self.closed = true;
                    return Event::Closed;
                }
                Ok(Ok(n)) => self.incoming.extend(buffer.get(..n).unwrap_or_default()),
            }
        }
    }

    /// All that the proxy says until it is quiet for `limit`, the connection ends, or a final event of `stream` came.
    pub(crate) async fn answer(&mut self, stream: u32, limit: Duration) -> Vec<Event> {
        let deadline = Instant::now() + limit;
        let mut events = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.next(left).await;
            let over = match event {
                Event::Head { stream: of, end, .. } | Event::Data { stream: of, end, .. } => {
                    of == stream && end
                }
                Event::Reset { stream: of, .. } => of == stream,
                Event::Closed | Event::Quiet => true,
                Event::GoAway { .. } => false,
            };
            events.push(event);
            if over {
                return events;
            }
        }
    }

    /// The connection is gone, as far as was seen.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn whole(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = *self.incoming.first_chunk::<9>()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).ok()?;
        let payload = self.incoming.get(9..9 + length)?.to_vec();
        self.incoming.drain(..9 + length);
        Some((kind, flags, u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), payload))
    }
}

/// The status, reset or close that an exchange came to, for people.
pub(crate) fn shown(events: &[Event]) -> String {
    let texts: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Head { status: Some(status), .. } => Some(format!("{status}")),
            Event::Reset { code, .. } => Some(format!("RST_STREAM {code}")),
            Event::GoAway { code } => Some(format!("GOAWAY {code}")),
            Event::Closed => Some("closed".to_owned()),
            Event::Quiet => Some("nothing more".to_owned()),
            Event::Head { .. } | Event::Data { .. } => None,
        })
        .collect();
    texts.join(", ")
}

/// The status of the first head in `events`.
pub(crate) fn status(events: &[Event]) -> Option<u16> {
    events.iter().find_map(|event| match event {
        Event::Head { status, .. } => *status,
        _ => None,
    })
}
