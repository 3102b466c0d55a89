//! Floods of frames that cost the proxy more than the client, until it closes the connection.

use std::time::Duration;

use anyhow::Result;

use super::Flooded;
use crate::h2raw::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, Event, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, hpack,
};
use crate::way::Way;

/// Frames between two looks at what the proxy says.
const BATCH: usize = 100;
const LOOK: Duration = Duration::from_millis(1);
/// The proxy decides within so many frames; ours notices up to a batch later, the kernel's buffers hold some more.
const DECIDED: usize = 20_000;
/// For floods whose answers are not read: what the buffers of both kernels hold comes on top.
const SENT: usize = 400_000;

/// A flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    RapidReset,
    ZeroWindowUpdate,
    DataOnClosed,
    BadPriority,
    NoPath,
    Continuation,
    EmptyContinuation,
    Ping,
    PingUnread,
    Settings,
    SettingsUnread,
    Priority,
    WindowUpdate,
    EmptyData,
    TinyData,
    Unknown,
}

impl Kind {
    fn is_read(self) -> bool {
        !matches!(self, Self::PingUnread | Self::SettingsUnread)
    }

    /// Frames after which the proxy must have decided.
    fn limit(self) -> usize {
        if self.is_read() { DECIDED * 2 } else { SENT }
    }
}

pub(super) async fn run(way: &Way, kind: Kind) -> Result<Flooded> {
    let mut connection = Connection::open(way, &[]).await?;
    // The proxy's own settings come first; a flood begins when the connection stands.
    while !matches!(connection.next(Duration::from_millis(100)).await, Event::Quiet | Event::Closed) {}
    begin(&mut connection, kind, &way.host);
    let mut goodbye = None;
    let mut number = 0_u32;
    let started = connection.frames;
    while connection.frames - started < kind.limit() {
        for _ in 0..BATCH {
            add(&mut connection, kind, &way.host, number);
            number += 1;
        }
        if !connection.flush().await {
            break;
        }
        if kind.is_read() && look(&mut connection, &mut goodbye).await {
            break;
        }
    }
    let frames = connection.frames - started;
    // The last words may still be on their way.
    if goodbye.is_none() {
        look(&mut connection, &mut goodbye).await;
        if let Event::GoAway { code } = connection.next(Duration::from_secs(2)).await {
            goodbye = Some(code);
        }
    }
    let closed = connection.is_closed() || goodbye.is_some_and(|code| code != 0);
    let how = goodbye.map_or_else(String::new, |code| format!(" with GOAWAY {code}"));
    let what = if closed {
        format!("closed{how} after {frames} frames")
    } else {
        format!("open after {frames} frames")
    };
    Ok(Flooded { fine: closed, what })
}

/// True when the connection is over.
async fn look(connection: &mut Connection, goodbye: &mut Option<u32>) -> bool {
    loop {
        match connection.next(LOOK).await {
            Event::GoAway { code } => *goodbye = Some(code),
            Event::Closed => return true,
            Event::Quiet => return goodbye.is_some_and(|code| code != 0),
            Event::Head { .. } | Event::Data { .. } | Event::Reset { .. } => {}
        }
    }
}

fn begin(connection: &mut Connection, kind: Kind, host: &str) {
    match kind {
        Kind::Continuation | Kind::EmptyContinuation => {
            let block = hpack::request("GET", "/hostile", host, &[]);
            connection.frame(HEADERS, END_STREAM, 1, &block);
        }
        Kind::EmptyData | Kind::TinyData => {
            connection.block(0, 1, &hpack::request("POST", "/hostile", host, &[]));
        }
        _ => {}
    }
}

fn add(connection: &mut Connection, kind: Kind, host: &str, number: u32) {
    let stream = number * 2 + 1;
    let request = |end| (end, hpack::request("GET", "/hostile", host, &[]));
    match kind {
        Kind::RapidReset => {
            let (end, block) = request(END_STREAM);
            connection.block(end, stream, &block);
            connection.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        }
        Kind::ZeroWindowUpdate => {
            let (end, block) = request(0);
            connection.block(end, stream, &block);
            connection.frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
        }
        Kind::DataOnClosed => {
            let (end, block) = request(END_STREAM);
            connection.block(end, stream, &block);
            connection.frame(DATA, 0, stream, b"x");
        }
        Kind::BadPriority => {
            let (end, block) = request(0);
            connection.block(end, stream, &block);
            let [a, b, c, d] = stream.to_be_bytes();
            connection.frame(PRIORITY, 0, stream, &[a, b, c, d, 0]);
        }
        Kind::NoPath => {
            let fields: [(&[u8], &[u8]); 3] =
                [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host.as_bytes())];
            connection.block(END_STREAM, stream, &hpack::fields(&fields));
        }
        Kind::Continuation => {
            let mut block = Vec::new();
            hpack::literal(&mut block, b"x-a", &[b'a'; 57]);
            connection.frame(CONTINUATION, 0, 1, &block);
        }
        Kind::EmptyContinuation => connection.frame(CONTINUATION, 0, 1, &[]),
        Kind::Ping | Kind::PingUnread => connection.frame(PING, 0, 0, &[1; 8]),
        Kind::Settings | Kind::SettingsUnread => connection.frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        Kind::Priority => connection.frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
        Kind::WindowUpdate => connection.frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        Kind::EmptyData => connection.frame(DATA, 0, 1, &[]),
        Kind::TinyData => connection.frame(DATA, 0, 1, b"x"),
        Kind::Unknown => connection.frame(0xfa, END_HEADERS, 0, b"x"),
    }
}
