//! Sends telemetry to a collector of OpenTelemetry's, as the MeshConfig of the hour says: one lane a signal on the control thread, each with a
//! connection of its own, batches, a deadline, and back-off. It must not know what a batch says.
//!
//! A collector that is away or slow costs no request anything: workers put into bounded queues without waiting, and what finds no room there
//! is dropped and counted. Batches enter from an [`Outlet`].

mod client;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::{Backoff, CancellationToken, Tasks};
use mesh_model::settings::OpenTelemetry;
use mesh_reach::Resolver;
use tokio::sync::watch;
use tokio::time::Instant;

use self::client::Client;
use self::verdict::Verdict;
use crate::telemetry::otlp::{Batch, Loss, Outlet, Resource, Signal};
use crate::xds::Discovery;

/// Between two looks for spans. Workers hand them over each second.
const SPANS: Duration = Duration::from_millis(500);
/// Between two looks for records of logs.
const LOGS: Duration = Duration::from_millis(200);
/// For the last batches when this process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What an exporter is told at its start.
#[derive(Debug, Clone)]
pub struct Exporter {
    /// Where batches come from.
    pub outlet: Outlet,
    /// Who tells.
    pub resource: Resource,
    /// How collectors' names are looked up, and how sockets are marked.
    pub resolver: Resolver,
    /// The folder of files with the values of headers.
    pub secrets: PathBuf,
    /// File of public certificates, as for other hosts outside.
    pub roots: Option<PathBuf>,
    /// What is waited for, and for how long.
    pub times: Times,
}

/// What is waited for, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a batch to be sent and answered, with the connection if one is made.
    pub deadline: Duration,
    /// Between two attempts, at least.
    pub min_backoff: Duration,
    /// Between two attempts, at most, unless the collector asks for more.
    pub max_backoff: Duration,
    /// A collector that takes nothing for so long loses the batch: what comes after it is worth more.
    pub give_up: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            give_up: Duration::from_mins(5),
        }
    }
}

impl Exporter {
    /// With the usual times.
    pub fn new(outlet: Outlet, resource: Resource) -> Self {
        Self {
            outlet,
            resource,
            resolver: Resolver::default(),
            secrets: PathBuf::new(),
            roots: None,
            times: Times::default(),
        }
    }

    /// Follows the configuration and sends, for as long as `tasks` run. At the end it sends what is left, within a second.
    pub fn spawn(self, discovery: &Discovery, tasks: &Tasks) {
        let mut snapshots = discovery.subscribe();
        let (sender, settings) = watch::channel(None);
        let (outlet, stop) = (self.outlet.clone(), tasks.token());
        tasks.spawn("collector", async move {
            loop {
                let wanted = snapshots
                    .borrow_and_update()
                    .settings()
                    .and_then(|settings| settings.open_telemetry.clone());
                tell(&sender, &outlet, wanted);
                // Both arms may be dropped: a change that is missed is seen by the next look.
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { return stop.cancelled().await },
                    () = stop.cancelled() => return,
                }
            }
        });
        let parts = Arc::new(self);
        for signal in Signal::ALL {
            let lane = Lane {
                signal,
                parts: Arc::clone(&parts),
                settings: settings.clone(),
                stop: tasks.token(),
                pending: None,
                backoff: Backoff::new(parts.times.min_backoff, parts.times.max_backoff),
                is_failing: false,
            };
            tasks.keep("export", lane, |lane, _| Box::pin(lane.run()));
        }
    }
}

type Wanted = Option<Arc<OpenTelemetry>>;

fn tell(sender: &watch::Sender<Wanted>, outlet: &Outlet, wanted: Wanted) {
    sender.send_if_modified(|known| {
        let changed = *known != wanted;
        if changed {
            outlet.want(wanted.as_ref().map(|to| to.signals).unwrap_or_default());
            *known = wanted;
        }
        changed
    });
}

/// A batch that is to be taken.
struct Pending {
    batch: Batch,
    since: Instant,
}

/// What sends one signal.
struct Lane {
    signal: Signal,
    parts: Arc<Exporter>,
    settings: watch::Receiver<Wanted>,
    stop: CancellationToken,
    pending: Option<Pending>,
    backoff: Backoff,
    is_failing: bool,
}

impl Lane {
    async fn run(&mut self) {
        let mut settings = self.settings.clone();
        let stop = self.stop.clone();
        loop {
            let wanted = settings.borrow_and_update().clone().filter(|to| self.is_wanted(to));
            let Some(collector) = wanted else {
                self.lose();
                // Both arms may be dropped.
                tokio::select! {
                    changed = settings.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
                continue;
            };
            let mut client = Client::new(&self.parts, collector);
            // A batch under way when this is dropped stays pending; the collector may get it twice.
            let ended = tokio::select! {
                () = self.feed(&mut client) => true,
                changed = settings.changed() => changed.is_err(),
                () = stop.cancelled() => true,
            };
            if ended {
                // The process goes down with or without it.
                let _ = tokio::time::timeout(FAREWELL, self.farewell(&mut client)).await;
                self.lose();
                return;
            }
        }
    }

    fn is_wanted(&self, to: &OpenTelemetry) -> bool {
        match self.signal {
            Signal::Traces => to.signals.traces,
            Signal::Metrics => to.signals.metrics,
            Signal::Logs => to.signals.logs,
        }
    }

    /// Nobody will take it any more.
    fn lose(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.count(Loss::Dropped, pending.batch.items);
        }
    }

    fn count(&self, loss: Loss, items: u64) {
        self.parts.outlet.lanes().count(self.signal, loss, items);
    }

    fn pause(&self, client: &Client) -> Duration {
        match self.signal {
            Signal::Traces => SPANS,
            Signal::Logs => LOGS,
            Signal::Metrics => client.interval(),
        }
    }

    /// Sends batch after batch, for ever.
    async fn feed(&mut self, client: &mut Client) {
        if self.signal == Signal::Metrics {
            client.rest(client.interval()).await;
        }
        loop {
            let wait = self.step(client).await;
            client.rest(wait).await;
        }
    }

    /// One attempt with the batch that waits or the next one, and how long to rest then.
    async fn step(&mut self, client: &mut Client) -> Duration {
        let pause = self.pause(client);
        if self.pending.is_none() {
            let batch = self.parts.outlet.batch(self.signal, &self.parts.resource);
            self.pending = batch.map(|batch| Pending { batch, since: Instant::now() });
        }
        let Some(pending) = &self.pending else { return pause };
        let verdict = client.send(self.signal, &pending.batch.message).await;
        let items = pending.batch.items;
        match verdict {
            Verdict::Taken { rejected, said } => {
                let rejected = rejected.min(items);
                self.count(Loss::Sent, items - rejected);
                self.count(Loss::Refused, rejected);
                self.recovered(client, &said);
                let full = self.pending.take().is_some_and(|pending| pending.batch.full);
                if full { Duration::ZERO } else { pause }
            }
            Verdict::Refused(why) => {
                self.count(Loss::Refused, items);
                self.pending = None;
                self.failing(client, &why);
                pause.max(self.backoff.next())
            }
            Verdict::Again { why, after } => {
                self.failing(client, &why);
                let give_up = self.parts.times.give_up;
                let wait = after.map_or_else(|| self.backoff.next(), |after| after.min(give_up));
                if self.signal == Signal::Metrics {
                    // The next batch has these sums too.
                    self.pending = None;
                    return pause.max(wait);
                }
                if self.pending.as_ref().is_some_and(|pending| pending.since.elapsed() >= give_up) {
                    self.lose();
                }
                wait
            }
        }
    }

    fn failing(&mut self, client: &Client, why: &str) {
        self.parts.outlet.lanes().failed(self.signal);
        let (signal, collector) = (self.signal.label(), client.authority());
        if std::mem::replace(&mut self.is_failing, true) {
            tracing::debug!(signal, collector, why, "the collector does not take what it is sent");
        } else {
            tracing::warn!(
                signal,
                collector,
                why,
                "the collector does not take what it is sent; it is tried again, and what finds no room meanwhile is dropped"
            );
        }
    }

    fn recovered(&mut self, client: &Client, said: &str) {
        self.backoff.reset();
        let (signal, collector) = (self.signal.label(), client.authority());
        if !said.is_empty() {
            tracing::debug!(signal, collector, said, "the collector has something to say");
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(signal, collector, "the collector takes what it is sent again");
        }
    }

    /// The workers have stopped: tells what they counted last, as far as the collector takes it at once.
    async fn farewell(&mut self, client: &mut Client) {
        self.parts.outlet.collected().await;
        loop {
            if self.pending.is_none() {
                let batch = self.parts.outlet.batch(self.signal, &self.parts.resource);
                self.pending = batch.map(|batch| Pending { batch, since: Instant::now() });
            }
            let Some(pending) = &self.pending else { return };
            let items = pending.batch.items;
            let Verdict::Taken { rejected, .. } = client.send(self.signal, &pending.batch.message).await
            else {
                return;
            };
            self.count(Loss::Sent, items.saturating_sub(rejected));
            self.count(Loss::Refused, rejected.min(items));
            self.pending = None;
            if self.signal == Signal::Metrics {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
