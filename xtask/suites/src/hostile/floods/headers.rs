//! Floods by size: heads that are small on the wire and large in memory, more fields, more streams, more chunks than anybody needs.

use std::time::Duration;

use anyhow::Result;

use super::Flooded;
use crate::h2raw::{self, Connection, DATA, END_STREAM, Event, hpack};
use crate::raw::exchange;
use crate::way::Way;

const ANSWER: Duration = Duration::from_secs(5);
const CHUNKS: usize = 100_000;
const STREAMS: u32 = 2000;

/// A flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bomb,
    Crumbs,
    Hosts,
    /// KiB of fields.
    Size(usize),
    /// Fields.
    Count(usize),
    Trailers,
    Streams,
    TinyChunks,
}

pub(super) async fn run(way: &Way, kind: Kind) -> Result<Flooded> {
    match kind {
        Kind::Bomb => blocks(way, (b"x-bomb", 3900), 16_000, 300).await,
        Kind::Crumbs => blocks(way, (b"cookie", 3000), 8000, 50).await,
        Kind::Hosts => blocks(way, (b"host", 12), 16_000, 1).await,
        Kind::Size(kib) => {
            let mut block = plain(way, "GET");
            for _ in 0..kib {
                hpack::literal(&mut block, b"x-long", &[b'a'; 1012]);
            }
            refused(way, &block).await
        }
        Kind::Count(count) => {
            let mut block = plain(way, "GET");
            for _ in 0..count {
                hpack::literal(&mut block, b"x-a", b"b");
            }
            refused(way, &block).await
        }
        Kind::Trailers => trailers(way).await,
        Kind::Streams => streams(way).await,
        Kind::TinyChunks => tiny_chunks(way).await,
    }
}

fn plain(way: &Way, method: &str) -> Vec<u8> {
    hpack::request(method, "/hostile", &way.host, &[])
}

/// A block that must be refused; a connection that is closed is a refusal too.
async fn refused(way: &Way, block: &[u8]) -> Result<Flooded> {
    let mut connection = Connection::open(way, &[]).await?;
    connection.block(END_STREAM, 1, block);
    connection.flush().await;
    let events = connection.answer(1, ANSWER).await;
    Ok(Flooded { fine: is_refusal(&events), what: h2raw::shown(&events) })
}

fn is_refusal(events: &[Event]) -> bool {
    match h2raw::status(events) {
        Some(status) => status >= 400,
        None => !matches!(events.last(), None | Some(Event::Quiet)),
    }
}

/// The entry `name` of so many bytes, put into the table once and then named `times` in each of `count` blocks.
async fn blocks(way: &Way, entry: (&[u8], usize), times: usize, count: u32) -> Result<Flooded> {
    let mut connection = Connection::open(way, &[]).await?;
    let (name, length) = entry;
    let mut first = plain(way, "GET");
    hpack::indexed_literal(&mut first, name, &vec![b'a'; length]);
    let mut all = Vec::new();
    for number in 0..count {
        let mut block = if number == 0 { std::mem::take(&mut first) } else { plain(way, "GET") };
        block.extend(std::iter::repeat_n(hpack::NEWEST, times));
        let stream = number * 2 + 1;
        connection.block(END_STREAM, stream, &block);
        if !connection.flush().await {
            break;
        }
        let events = connection.answer(stream, ANSWER).await;
        let fine = is_refusal(&events);
        all.extend(events);
        if !fine {
            return Ok(Flooded { fine, what: format!("block {number}: {}", h2raw::shown(&all)) });
        }
        if connection.is_closed() {
            break;
        }
        all.truncate(4);
    }
    Ok(Flooded { fine: true, what: h2raw::shown(&all) })
}

async fn trailers(way: &Way) -> Result<Flooded> {
    let mut connection = Connection::open(way, &[]).await?;
    connection.block(0, 1, &plain(way, "POST"));
    connection.frame(DATA, 0, 1, b"abcd");
    let mut block = Vec::new();
    for _ in 0..9 {
        hpack::literal(&mut block, b"x-t", &[b't'; 1020]);
    }
    connection.block(END_STREAM, 1, &block);
    connection.flush().await;
    let events = connection.answer(1, ANSWER).await;
    let whole = way.recorder.since(0).iter().any(|message| message.whole);
    Ok(Flooded { fine: is_refusal(&events) && !whole, what: h2raw::shown(&events) })
}

/// More streams than the proxy said it takes: the rest is refused, none is lost silently.
async fn streams(way: &Way) -> Result<Flooded> {
    let mut connection = Connection::open(way, &[]).await?;
    for number in 0..STREAMS {
        connection.block(0, number * 2 + 1, &plain(way, "POST"));
        if number % 100 == 99 && !connection.flush().await {
            break;
        }
    }
    let mut refused = 0_u32;
    loop {
        match connection.next(Duration::from_secs(1)).await {
            Event::Reset { .. } | Event::GoAway { .. } => refused += 1,
            Event::Head { status: Some(status), .. } if status >= 400 => refused += 1,
            Event::Head { .. } | Event::Data { .. } => {}
            Event::Closed | Event::Quiet => break,
        }
    }
    let closed = connection.is_closed();
    let what = format!("{refused} of {STREAMS} refused{}", if closed { ", closed" } else { "" });
    Ok(Flooded { fine: refused > 0 || closed, what })
}

async fn tiny_chunks(way: &Way) -> Result<Flooded> {
    let mut request =
        format!("POST /hostile HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", way.host)
            .into_bytes();
    for _ in 0..CHUNKS {
        request.extend(b"1\r\nx\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let answer = exchange(way, &request, ANSWER * 4).await?;
    let arrived = way.recorder.since(0);
    let fine = answer.status() == Some(200)
        && arrived.first().is_some_and(|message| message.whole && message.length == CHUNKS);
    Ok(Flooded { fine, what: answer.shown() })
}
