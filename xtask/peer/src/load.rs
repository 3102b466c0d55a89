//! The client: so many requests a second of each protocol, whatever became of the ones before; every one is counted. It tries
//! nothing twice that was sent.

mod http1;
mod http2;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::Tasks;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cli::{GetArgs, LoadArgs};
use crate::tally::Tally;

/// For one request, with everything.
const DEADLINE: Duration = Duration::from_secs(30);
/// Requests of one protocol without an answer; those beyond are late, and said to be.
const IN_FLIGHT: usize = 512;
/// For what is under way when the end comes: it is counted too.
const WIND_UP: Duration = Duration::from_secs(15);

/// For `get --until-ready`, and between two of its questions.
const PATIENCE: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(500);

type Tallies = Rc<RefCell<BTreeMap<&'static str, Tally>>>;

/// Sends until `stop`, then prints what came of it.
pub(crate) async fn run(args: &LoadArgs, tasks: &Tasks, stop: impl Future<Output = ()>) -> Result<()> {
    let tallies = Tallies::default();
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("listen on {}", args.listen))?;
    let local = LocalSet::new();
    local
        .run_until(async {
            start(args, &tallies, tasks);
            tokio::select! {
                () = stop => {}
                () = reports(listener, &tallies) => {}
            }
            tasks.shutdown(WIND_UP).await;
        })
        .await;
    writeln!(std::io::stdout(), "{}", report(&tallies)?).context("print the report")
}

/// Asks once, or until there is an answer.
pub(crate) async fn get(args: &GetArgs, tasks: &Tasks) -> Result<String> {
    let began = Instant::now();
    let client = Rc::new(http1::Client::new(&args.to, tasks));
    loop {
        let asked = tokio::time::timeout(DEADLINE, Rc::clone(&client).ask()).await;
        match asked.context("no answer within 30 s").and_then(|answer| answer) {
            Ok(by) => return Ok(by),
            Err(error) if !args.until_ready || began.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

fn start(args: &LoadArgs, tallies: &Tallies, tasks: &Tasks) {
    if args.http1 > 0 {
        let client = Rc::new(http1::Client::new(&args.to, tasks));
        let ask = move || Rc::clone(&client).ask();
        tasks.spawn_local("http1", pace("http1", args.http1, Rc::clone(tallies), tasks.clone(), ask));
    }
    if args.http2 > 0 {
        let client = Rc::new(http2::Client::new(&args.to, tasks));
        let ask = move || Rc::clone(&client).get();
        tasks.spawn_local("http2", pace("http2", args.http2, Rc::clone(tallies), tasks.clone(), ask));
    }
    if args.grpc > 0 {
        let client = Rc::new(http2::Client::new(&args.to, tasks));
        let ask = move || Rc::clone(&client).call();
        tasks.spawn_local("grpc", pace("grpc", args.grpc, Rc::clone(tallies), tasks.clone(), ask));
    }
}

/// Begins a request at every beat.
async fn pace<F>(what: &'static str, rate: u32, tallies: Tallies, tasks: Tasks, ask: impl Fn() -> F + 'static)
where
    F: Future<Output = Result<String>> + 'static,
{
    tallies.borrow_mut().insert(what, Tally::default());
    let in_flight = Rc::new(());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / rate);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let stop = tasks.token();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if Rc::strong_count(&in_flight) > IN_FLIGHT {
            change(&tallies, what, Tally::late);
            continue;
        }
        change(&tallies, what, Tally::sent);
        let (ended, tallies, answer) = (Rc::clone(&in_flight), Rc::clone(&tallies), ask());
        tasks.spawn_local("request", async move {
            let began = Instant::now();
            let outcome = tokio::time::timeout(DEADLINE, answer).await;
            change(&tallies, what, |tally| match outcome {
                Ok(Ok(by)) => tally.ok(&by, began.elapsed()),
                Ok(Err(error)) => tally.failed(format!("{error:#}")),
                Err(_) => tally.failed("no answer within 30 s".to_owned()),
            });
            drop(ended);
        });
    }
}

fn change(tallies: &Tallies, what: &'static str, change: impl FnOnce(&mut Tally)) {
    if let Some(tally) = tallies.borrow_mut().get_mut(what) {
        change(tally);
    }
}

/// Tells everybody who connects.
async fn reports(listener: TcpListener, tallies: &Tallies) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(text) = report(tallies) else { continue };
        // Who asks and does not read gets nothing.
        let told = stream.write_all(text.as_bytes());
        tokio::time::timeout(Duration::from_secs(1), told).await.ok();
    }
}

fn report(tallies: &Tallies) -> Result<String> {
    let tallies = tallies.borrow();
    let summaries: BTreeMap<_, _> = tallies.iter().map(|(what, tally)| (*what, tally.summary())).collect();
    serde_json::to_string(&summaries).context("write the report")
}

/// A connection to `HOST:PORT`.
async fn dial(to: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).await.context("connect")?;
    stream.set_nodelay(true).context("connect")?;
    Ok(stream)
}
