//! Clients that are slow on purpose. The two sidecars are treated at the same time: most of it is waiting.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use tokio::io::AsyncWriteExt as _;

use super::floods::watch::{Bounds, Seen, Watch};
use crate::cli::Role;
use crate::h2raw::{Connection, END_STREAM, Event, hpack};
use crate::raw::drained;
use crate::recorder::LARGE_PATH;
use crate::report::{Outcome, Report, wanted};
use crate::way::{Port, Speaks, Way};

const HEADS: usize = 200;
const BODIES: usize = 50;
const READERS: usize = 50;
const STREAMS: u32 = 100;
/// A head has 10 s; a machine under load may look late.
const HEAD_LIMIT: Duration = Duration::from_secs(25);
const READING: Duration = Duration::from_secs(4);
/// What a stalled stream may hold in the proxy.
const STALLED: u64 = 64 << 10;
/// What a connection costs beside that, and what the allocator rounds up.
const SLACK: u64 = 6 << 20;

/// What came of one row on one way.
struct Done {
    way: String,
    name: &'static str,
    sent: String,
    expected: String,
    outcome: Outcome,
}

pub(super) async fn run(ways: &[(Role, Way)], names: &[String], report: &mut Report) {
    let of = |mesh: bool| {
        let chosen = ways.iter().map(|(_, way)| way).filter(move |way| (way.port == Port::Mesh) == mesh);
        chosen.filter(|way| way.port != Port::Proxy).cloned().collect::<Vec<_>>()
    };
    let (outside, inside) = (of(false), of(true));
    let (first, second) = tokio::join!(Box::pin(all(&outside, names)), Box::pin(all(&inside, names)));
    for done in first.into_iter().chain(second) {
        report.row(&done.way, done.name, &done.sent, &done.expected, &done.outcome);
    }
}

async fn all(ways: &[Way], names: &[String]) -> Vec<Done> {
    let mut found = Vec::new();
    for way in ways {
        if wanted(names, "slow head-and-body") {
            found.push(senders(way).await);
        }
        if wanted(names, "slow reader-h1") {
            found.push(readers(way).await);
        }
        if wanted(names, "slow reader-h2") {
            found.push(streams(way).await);
        }
    }
    found
}

fn done(
    way: &Way,
    name: &'static str,
    sent: String,
    bounds: Bounds,
    result: (bool, String),
    seen: &Seen,
) -> Done {
    let (fine, what) = result;
    let reached = 0;
    let complaints = seen.complaints(bounds, reached);
    let got = format!("{what}; {}", seen.shown());
    let outcome = if fine && complaints.is_empty() {
        Outcome::passed(got)
    } else {
        Outcome::failed(format!("{}; {got}", complaints.join(", ")))
    };
    let expected = format!("memory grows by at most {} KiB, the bystander is served", bounds.memory >> 10);
    Done { way: way.name.clone(), name, sent, expected, outcome }
}

/// Heads that never end are closed; bodies that trickle are not in anybody's way.
async fn senders(way: &Way) -> Done {
    let bounds = Bounds { memory: (HEADS + BODIES) as u64 * STALLED + SLACK, upstream: 0 };
    let (watch, tasks, closed) = (Watch::start(way), Tasks::new(), Rc::new(Cell::new(0_usize)));
    for _ in 0..HEADS {
        let (way, closed) = (way.clone(), Rc::clone(&closed));
        tasks.spawn_local("slow head", async move {
            let Ok(mut stream) = way.connect(Speaks::Http1).await else { return };
            let begin = format!("GET /slow HTTP/1.1\r\nhost: {}\r\nx-a: ", way.host);
            let trickle = async {
                stream.write_all(begin.as_bytes()).await?;
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    stream.write_all(b"a").await?;
                    stream.flush().await?;
                }
            };
            let ended: Result<Result<(), std::io::Error>, _> =
                tokio::time::timeout(HEAD_LIMIT, trickle).await;
            if ended.is_ok() || drained(&mut stream, Duration::from_secs(1)).await {
                closed.set(closed.get() + 1);
            }
        });
    }
    for _ in 0..BODIES {
        let way = way.clone();
        tasks.spawn_local("slow body", async move {
            let Ok(mut stream) = way.connect(Speaks::Http1).await else { return };
            let begin = format!(
                "POST /slow HTTP/1.1\r\nhost: {}\r\nx-suites: 1\r\ncontent-length: 1000\r\n\r\n",
                way.host
            );
            let _ = stream.write_all(begin.as_bytes()).await;
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                // A proxy may well end such a request.
                let _ = stream.write_all(b"a").await;
            }
        });
    }
    let begin = tokio::time::Instant::now();
    while closed.get() < HEADS && begin.elapsed() < HEAD_LIMIT + Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tasks.shutdown(Duration::from_secs(1)).await;
    let seen = watch.stop().await;
    let result =
        (closed.get() == HEADS, format!("{} of {HEADS} heads that never end were closed", closed.get()));
    let sent = format!("{HEADS} heads and {BODIES} bodies of one byte a second");
    done(way, "slow head-and-body", sent, bounds, result, &seen)
}

/// Answers of 10 MiB that nobody reads.
async fn readers(way: &Way) -> Done {
    let bounds = Bounds { memory: READERS as u64 * STALLED + SLACK, upstream: 0 };
    let watch = Watch::start(way);
    let mut streams = Vec::new();
    for _ in 0..READERS {
        let Ok(mut stream) = way.connect(Speaks::Http1).await else { continue };
        let request = format!("GET {LARGE_PATH} HTTP/1.1\r\nhost: {}\r\nx-suites: 1\r\n\r\n", way.host);
        if stream.write_all(request.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
            streams.push(stream);
        }
    }
    tokio::time::sleep(READING).await;
    let seen = watch.stop().await;
    let result = (streams.len() == READERS, format!("{} answers stalled", streams.len()));
    let sent = format!("{READERS} requests for 10 MiB, nothing read");
    done(way, "slow reader-h1", sent, bounds, result, &seen)
}

/// The same over one connection of HTTP/2 whose windows are closed.
async fn streams(way: &Way) -> Done {
    let bounds = Bounds { memory: u64::from(STREAMS) * STALLED + SLACK, upstream: 0 };
    let watch = Watch::start(way);
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of a body may be sent.
    let opened = Connection::open(way, &[(4, 0)]).await;
    let (mut heads, mut connection) = (0_u32, opened.ok());
    if let Some(connection) = &mut connection {
        for number in 0..STREAMS {
            let block = hpack::request("GET", LARGE_PATH, &way.host, &[("x-suites", "1")]);
            connection.block(END_STREAM, number * 2 + 1, &block);
        }
        connection.flush().await;
        let begin = tokio::time::Instant::now();
        while begin.elapsed() < READING {
            match connection.next(Duration::from_millis(100)).await {
                Event::Head { status: Some(200), .. } => heads += 1,
                Event::Closed => break,
                _ => {}
            }
        }
    }
    let seen = watch.stop().await;
    drop(connection);
    let sent = format!("{STREAMS} streams that ask for 10 MiB, windows closed");
    done(way, "slow reader-h2", sent, bounds, (heads > 0, format!("{heads} answers stalled")), &seen)
}
