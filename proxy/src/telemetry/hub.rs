//! The control side of telemetry: takes the workers' deltas, sums them, and offers the sums to scrapes and reports.
//! It must not know what a series means.

use mesh_reach::HostPort;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mesh_identity::Identity;
use mesh_lifecycle::{CancellationToken, Ready, Tasks};
use mesh_model::access_log::AccessLog;
use mesh_proto::config::v1::ProxyId;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use super::access::Writers;
use super::aggregate::Aggregate;
use super::compared::{MAX_PAIRS, Pair};
use super::families::Families;
use super::otlp::{Lanes, LogQueue, LogRecord, Loss, MAX_LOGS, Outlet, Signal};
use super::reports;
use super::tap::{Board, TapRecord};
use super::totals::AlsoAs;
use super::trials::{Begun, Trial, Trials, Tried};
use super::worker::{WorkerDelta, WorkerSeed};
use crate::config::Counts;

/// Deltas that wait for the control thread; a worker beyond it goes on counting in its own cells.
const DELTA_QUEUE: usize = 16;

/// Both ends of telemetry, made together before any thread starts.
#[derive(Debug)]
pub struct Telemetry {
    /// For the control thread.
    pub hub: Hub,
    /// For the workers; one clone each.
    pub worker: WorkerSeed,
}

/// Collects from all workers. Clones share everything.
#[derive(Debug, Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    sums: Mutex<Aggregate>,
    /// Taken once, by [`Hub::spawn`].
    deltas: Mutex<Option<mpsc::Receiver<WorkerDelta>>>,
    /// The same.
    pairs: Mutex<Option<mpsc::Receiver<Pair>>>,
    tracing_ppm: Arc<AtomicU32>,
    started: Instant,
    /// The same, by the wall clock.
    pub(super) born: SystemTime,
    /// What became of what a collector is sent.
    pub(super) lanes: Arc<Lanes>,
    pub(super) log_records: Mutex<mpsc::Receiver<LogRecord>>,
    /// Who writes access logs.
    pub(super) writers: Arc<Writers>,
    /// Who taps requests.
    pub(super) board: Arc<Board>,
    /// Taken once, by what reports.
    pub(super) tapped: Mutex<Option<mpsc::Receiver<TapRecord>>>,
    /// Requests that operators ask for.
    pub(super) trials: Trials,
    /// Cancelled when the last delta has been taken in.
    pub(super) collected: CancellationToken,
}

impl Shared {
    /// The sums; held for the length of a merge or a scrape, never across an await.
    pub(super) fn sums(&self) -> MutexGuard<'_, Aggregate> {
        // Sums stay usable whatever panicked: every addition is complete in itself.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.totals.now = self.started.elapsed();
        sums
    }

    fn merge(&self, delta: WorkerDelta) {
        let mut sums = self.sums();
        sums.merge(delta);
        let dropped = sums.take_exported_dropped();
        drop(sums);
        self.lanes.count(Signal::Traces, Loss::Dropped, dropped);
    }

    /// Compares outside of the lock: bodies are read for it.
    fn compare(&self, pair: &Pair) {
        let (found, own) = pair.found();
        self.sums().compared(&pair.of, found, own, pair.is_cut());
    }

    /// Sets the share of traces that workers report besides those sampled by callers.
    pub(super) fn set_tracing(&self, ppm: u32) {
        self.tracing_ppm.store(ppm.min(1_000_000), Ordering::Relaxed);
    }
}

/// Where and how often to report.
#[derive(Clone)]
pub struct ReportConfig {
    /// Who reports; its certificate opens the stream.
    pub identity: Identity,
    /// The controller.
    pub controller: HostPort,
    /// As in the configuration stream.
    pub node: ProxyId,
    /// Whether this proxy is ready is part of its state.
    pub ready: Ready,
    /// Between two batches of metrics and spans; 1 s unless there is a reason.
    pub interval: Duration,
    /// Between two reports of the proxy's own state when nothing changed; 5 s unless there is a reason.
    pub state_interval: Duration,
}

impl ReportConfig {
    /// With the usual intervals.
    pub fn new(identity: Identity, controller: impl Into<HostPort>, node: ProxyId, ready: Ready) -> Self {
        let (interval, state_interval) = (Duration::from_secs(1), Duration::from_secs(5));
        let controller = controller.into();
        Self { identity, controller, node, ready, interval, state_interval }
    }
}

impl fmt::Debug for ReportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportConfig")
            .field("controller", &self.controller)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::of(Counts::Requests)
    }

    /// Of a proxy that counts these.
    pub fn of(counts: Counts) -> Self {
        let (sender, receiver) = mpsc::channel(DELTA_QUEUE);
        let (pairs, seen) = mpsc::channel(MAX_PAIRS);
        let tracing_ppm = Arc::new(AtomicU32::new(0));
        let (board, tapped) = Board::new();
        let writers = Arc::new(Writers::new());
        let access = writers.subscribe();
        let lanes = Arc::new(Lanes::default());
        let (logs, log_records) = LogQueue::new(&lanes, MAX_LOGS);
        let shared = Shared {
            sums: Mutex::new(Aggregate::default()),
            deltas: Mutex::new(Some(receiver)),
            pairs: Mutex::new(Some(seen)),
            tracing_ppm: Arc::clone(&tracing_ppm),
            started: Instant::now(),
            born: SystemTime::now(),
            lanes,
            log_records: Mutex::new(log_records),
            writers: Arc::clone(&writers),
            board: Arc::clone(&board),
            tapped: Mutex::new(Some(tapped)),
            trials: Trials::new(Instant::now()),
            collected: CancellationToken::new(),
        };
        Self {
            hub: Hub { shared: Arc::new(shared) },
            worker: WorkerSeed { deltas: sender, pairs, tracing_ppm, board, logs, access, counts },
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

/// What workers hand over.
type Queues = (mpsc::Receiver<WorkerDelta>, mpsc::Receiver<Pair>);

async fn collect(shared: &Shared, (deltas, pairs): &mut Queues, token: &CancellationToken) {
    loop {
        // `recv` loses nothing when dropped.
        tokio::select! {
            Some(pair) = pairs.recv() => shared.compare(&pair),
            delta = deltas.recv() => match delta {
                Some(delta) => shared.merge(delta),
                None => break,
            },
            () = token.cancelled() => break,
        }
    }
    while let Ok(pair) = pairs.try_recv() {
        shared.compare(&pair);
    }
    deltas.close();
    while let Some(delta) = deltas.recv().await {
        shared.merge(delta);
    }
    shared.collected.cancel();
}

impl Hub {
    /// Begins to collect, for as long as `tasks` run; what workers handed over before the end is taken in. So end the
    /// workers first, each with [`super::WorkerTelemetry::flush_last`].
    pub fn spawn(&self, tasks: &Tasks) {
        let taken = self.shared.deltas.lock().unwrap_or_else(PoisonError::into_inner).take();
        let pairs = self.shared.pairs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(queues) = taken.zip(pairs) else { return };
        let (shared, token) = (Arc::clone(&self.shared), tasks.token());
        tasks.keep("telemetry", queues, move |queues, _| {
            let (shared, token) = (Arc::clone(&shared), token.clone());
            Box::pin(async move { collect(&shared, queues, &token).await })
        });
    }

    /// Begins to report to the controller, for as long as `tasks` run. At the end it sends what is left, within a
    /// second.
    pub fn spawn_reports(&self, config: ReportConfig, tasks: &Tasks) {
        let (shared, token) = (Arc::clone(&self.shared), tasks.token());
        let reporter = reports::Reporter::new(shared, config, token);
        tasks.keep("reports", reporter, |reporter, _| Box::pin(reporter.run()));
    }

    /// Registers the families of the data plane; with an identity also those of its certificate.
    pub fn register(&self, registry: &mut Registry, identity: Option<Identity>) {
        registry.register_collector(Box::new(Families { shared: Arc::clone(&self.shared), identity }));
    }

    /// The end from which a collector of OpenTelemetry's is fed.
    pub fn outlet(&self) -> Outlet {
        Outlet { shared: Arc::clone(&self.shared) }
    }

    /// What is written of requests and connections from now on; `own` is the namespace and name of the workload.
    pub fn set_access_log(&self, settings: Option<&AccessLog>, own: (&str, &str)) {
        self.shared.writers.set(settings, own);
    }

    /// Lets the lines that wait be written, within that time; nothing is written from now on.
    pub async fn finish_access_log(&self, patience: Duration) {
        self.shared.writers.finish(patience).await;
    }

    /// Requests that operators have this proxy send, for the one worker that carries them out. `None`: somebody has them.
    pub fn trials(&self) -> Option<mpsc::Receiver<Begun>> {
        self.shared.trials.take()
    }

    /// Has a request sent as the application would, if there is room; what came of it is told to `done` with its id.
    pub fn begin_trial(&self, trial: Trial, done: &mpsc::Sender<(u64, Tried)>) {
        self.shared.trials.begin(trial, Instant::now(), done);
    }

    /// Under whose names traffic is counted from now on, beside our own.
    pub fn set_names(&self, also_as: AlsoAs) {
        self.shared.sums().totals.set_names(also_as);
    }

    /// Connections that are open now, as of the workers' last flush.
    pub fn open_connections(&self) -> u64 {
        self.shared.sums().open_connections()
    }
}
