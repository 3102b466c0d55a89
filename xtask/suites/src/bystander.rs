//! A client that does nothing wrong while others do: each of its requests must be answered 200.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use tokio::time::{Instant, MissedTickBehavior};

use crate::raw::{Until, exchange_on};
use crate::recorder::{OURS, TAG};
use crate::way::{Speaks, Stream, Way};

/// Requests in a second.
const RATE: u64 = 100;
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Seen {
    asked: usize,
    errors: Vec<String>,
    latencies: Vec<Duration>,
}

/// A running bystander; it stops when it is dropped or asked.
#[derive(Debug)]
pub(crate) struct Bystander {
    seen: Rc<RefCell<Seen>>,
    tasks: Tasks,
}

/// What it saw.
#[derive(Debug, Clone)]
pub(crate) struct Saw {
    pub(crate) asked: usize,
    /// The first few.
    pub(crate) errors: Vec<String>,
    pub(crate) p99: Duration,
}

impl Bystander {
    pub(crate) fn start(way: &Way) -> Self {
        let (tasks, seen) = (Tasks::new(), Rc::<RefCell<Seen>>::default());
        let (way, notes, stop) = (way.clone(), Rc::clone(&seen), tasks.token());
        tasks.spawn_local("bystander", async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(1000 / RATE));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut stream = None;
            while !stop.is_cancelled() {
                ticks.tick().await;
                let begin = Instant::now();
                let number = notes.borrow().asked;
                let outcome = ask(&way, &mut stream, number).await;
                let mut notes = notes.borrow_mut();
                notes.asked += 1;
                match outcome {
                    Ok(()) => notes.latencies.push(begin.elapsed()),
                    Err(why) => {
                        stream = None;
                        notes.errors.push(why);
                    }
                }
            }
        });
        Self { seen, tasks }
    }

    pub(crate) async fn stop(self) -> Saw {
        self.tasks.shutdown(ANSWER).await;
        let mut seen = self.seen.take();
        seen.latencies.sort_unstable();
        let at = (seen.latencies.len() * 99 / 100).min(seen.latencies.len().saturating_sub(1));
        let p99 = seen.latencies.get(at).copied().unwrap_or_default();
        Saw { asked: seen.asked, errors: seen.errors, p99 }
    }
}

impl Saw {
    /// What is wrong with it, if something is.
    pub(crate) fn complaint(&self) -> Option<String> {
        match self.errors.as_slice() {
            [] if self.asked == 0 => Some("the bystander asked nothing".to_owned()),
            [] => None,
            [first, ..] => Some(format!(
                "{} of {} requests of the bystander failed: {first}",
                self.errors.len(),
                self.asked
            )),
        }
    }
}

async fn ask(way: &Way, stream: &mut Option<Stream>, number: usize) -> Result<(), String> {
    if stream.is_none() {
        let new = way.connect(Speaks::Http1).await.map_err(|error| format!("{error:#}"))?;
        *stream = Some(new);
    }
    let Some(open) = stream else { return Ok(()) };
    plain(open, &way.host, &format!("bystander-{number}")).await
}

/// One plain request whose answer must carry its tag.
pub(crate) async fn plain(stream: &mut Stream, host: &str, tag: &str) -> Result<(), String> {
    let request = format!("GET /bystander HTTP/1.1\r\nhost: {host}\r\n{OURS}: 1\r\n{TAG}: {tag}\r\n\r\n");
    let answer = exchange_on(stream, request.as_bytes(), ANSWER, Until::Answered).await;
    if answer.status() == Some(200) && answer.body() == tag.as_bytes() {
        return Ok(());
    }
    Err(format!("{}, body `{}` instead of `{tag}`", answer.shown(), answer.body().escape_ascii()))
}
