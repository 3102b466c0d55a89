//! The thread that writes lines, one for each sink that is in use. Nothing waits for it: a sink that takes nothing holds up this thread alone.
//! It must not know what lines are.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_lifecycle::CancellationToken;
use mesh_lifecycle::lines::{Counts, Lines};
use mesh_model::access_log::{AccessLog, LogSink};
use tokio::sync::watch;

use super::sink::Sink;
use super::{AccessLogger, MAX_LINE};

/// Bytes of lines that wait. As many again may be on their way to the sink.
const MAX_WAITING: usize = 1 << 20;
/// Between two complaints about a sink.
const COMPLAINTS: Duration = Duration::from_mins(1);

/// Makes access logs of settings, and gives them to the workers.
#[derive(Debug)]
pub(crate) struct Writers {
    current: Mutex<Option<Current>>,
    loggers: watch::Sender<Option<Arc<AccessLogger>>>,
    pub(crate) counts: Arc<Counts>,
}

/// The writer in use.
#[derive(Debug)]
struct Current {
    sink: LogSink,
    queue: Arc<Lines>,
    /// Cancelled when its thread has ended.
    ended: CancellationToken,
}

impl Writers {
    pub(crate) fn new() -> Self {
        Self { current: Mutex::default(), loggers: watch::Sender::new(None), counts: Arc::default() }
    }

    /// For a worker.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<AccessLogger>>> {
        self.loggers.subscribe()
    }

    /// Puts settings in force; `own` is the namespace and name of the workload. Requests that are under way keep theirs.
    pub(crate) fn set(&self, settings: Option<&AccessLog>, own: (&str, &str)) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let logger = settings.map(|settings| {
            if current.as_ref().is_none_or(|current| current.sink != settings.sink) {
                close(current.take());
                *current = self.start(&settings.sink);
            }
            let queue = current.as_ref().map(|current| Arc::clone(&current.queue));
            // Without a thread lines are counted as lost.
            let queue = queue.unwrap_or_else(|| Arc::new(Lines::closed(Arc::clone(&self.counts))));
            Arc::new(AccessLogger::new(settings.clone(), (own.0.to_owned(), own.1.to_owned()), queue))
        });
        if logger.is_none() {
            close(current.take());
        }
        self.loggers.send_replace(logger);
    }

    fn start(&self, sink: &LogSink) -> Option<Current> {
        // Collectors are fed from elsewhere.
        if *sink == LogSink::Otlp {
            return None;
        }
        let queue = Arc::new(Lines::new(MAX_WAITING, Arc::clone(&self.counts)));
        let ended = CancellationToken::new();
        let (sink_of_thread, queue_of_thread) = (sink.clone(), Arc::clone(&queue));
        let end = ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            run(&sink_of_thread, &queue_of_thread);
            drop(end);
        });
        match thread {
            Ok(_) => Some(Current { sink: sink.clone(), queue, ended }),
            Err(error) => {
                tracing::error!(%error, "cannot start the thread that writes the access log");
                None
            }
        }
    }

    /// Lets what waits be written, for at most `patience`: a sink that takes nothing does not hold up the end of the process.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.loggers.send_replace(None);
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(current) = current {
            current.queue.close();
            if tokio::time::timeout(patience, current.ended.cancelled()).await.is_err() {
                tracing::warn!(sink = ?current.sink, "the access log's sink took nothing at the end; its last lines are lost");
            }
        }
    }
}

/// What waits is still written; nobody waits for that.
fn close(current: Option<Current>) {
    if let Some(current) = current {
        current.queue.close();
    }
}

fn run(sink: &LogSink, queue: &Lines) {
    let mut place = match open(sink) {
        Ok(place) => place,
        Err(error) => {
            tracing::error!(%error, ?sink, "cannot write the access log");
            queue.close();
            return;
        }
    };
    let mut chunk = Vec::with_capacity(MAX_LINE);
    let mut complained: Option<Instant> = None;
    while let Some(lines) = queue.take(&mut chunk) {
        match place.write(&chunk) {
            Ok(()) => _ = queue.counts.written.fetch_add(lines, Ordering::Relaxed),
            Err(error) => {
                queue.counts.failed.fetch_add(lines, Ordering::Relaxed);
                if complained.is_none_or(|at| at.elapsed() >= COMPLAINTS) {
                    complained = Some(Instant::now());
                    tracing::warn!(%error, ?sink, lines, "lines of the access log were not written");
                }
            }
        }
    }
}

fn open(sink: &LogSink) -> io::Result<Sink> {
    match sink {
        LogSink::Stdout | LogSink::Otlp => Sink::stdout(),
        LogSink::Stderr => Sink::stderr(),
        LogSink::File(path) => Ok(Sink::named(path)),
    }
}
