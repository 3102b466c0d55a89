//! The report stream to the controller: batches of metrics, spans, tapped requests, examples of failures and this proxy's own state. It must not know what they
//! mean to it.
//!
//! A batch of metrics is numbered and kept until the controller confirms it; one that a broken stream may have swallowed
//! is sent again under its number, and the controller leaves out what it has. So nothing is lost or counted twice. While
//! the controller is away, deltas merge in the bounded [`super::aggregate`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use mesh_identity::{ExpectedServer, channel, well_known};
use mesh_lifecycle::{Backoff, CancellationToken, usage};
use mesh_proto::report::v1::report_service_client::ReportServiceClient;
use mesh_proto::report::v1::{
    Hello, Metrics, ProxyReport, ProxyState, ReportCommand, Spans, TapDropped, Tapped, Usage, proxy_report,
    report_command,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::hub::{ReportConfig, Shared};
use super::outbox::Outbox;
use super::tap::TapRecord;
use super::trials::{self, Outcomes};
use super::wire;

/// Messages that wait to be written. Small: what does not fit stays in the sums.
const OUTBOUND_QUEUE: usize = 4;
/// For the controller to take the stream, and to confirm a batch.
const DEADLINE: Duration = Duration::from_secs(10);
/// Spans in one message: with the bounds on their texts well below the 4 MiB that gRPC servers read by default.
const SPANS_A_MESSAGE: usize = 500;
/// Tapped requests in one message; they are told at once, not at the next tick.
const TAPPED_A_MESSAGE: usize = 100;
/// How long the rate of a tap session counts for.
const TAP_SECOND: Duration = Duration::from_secs(1);
/// For the last batch when this process ends.
const FAREWELL: Duration = Duration::from_secs(1);
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the stream failed")]
    Failed(#[from] tonic::Status),
    #[error("the controller closed the stream")]
    Closed,
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// This process ends, and everything is told.
    #[error("the proxy stops")]
    Stopped,
}

/// One proxy's reports.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    config: ReportConfig,
    token: CancellationToken,
    outbox: Outbox,
    /// Since when what is not in a batch yet was counted.
    counted: Instant,
    /// The state that the present stream was told last, and when.
    told: Option<(ProxyState, Instant)>,
    /// When the controller was told what this proxy takes.
    used: Option<Instant>,
    tapped: mpsc::Receiver<TapRecord>,
    /// What came of requests that operators asked for.
    tried: Outcomes,
    /// When the second began for which tap sessions may tell requests.
    second: Instant,
}

impl Reporter {
    pub(super) fn new(shared: Arc<Shared>, config: ReportConfig, token: CancellationToken) -> Self {
        let taken = shared.tapped.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second one, which there is not, would tell of no tap.
        let tapped = taken.unwrap_or_else(|| mpsc::channel(1).1);
        let (outbox, told, used, second) = (Outbox::default(), None, None, Instant::now());
        let counted = second;
        Self { shared, config, token, outbox, counted, told, used, tapped, tried: trials::outcomes(), second }
    }

    /// Reports until the token is cancelled.
    pub(super) async fn run(&mut self) {
        let trust_domain = self.config.identity.svid().spiffe_id.trust_domain().clone();
        let server = ExpectedServer::Exactly(well_known::controller(&trust_domain));
        let channel = channel::connect(&self.config.identity, self.config.controller.clone(), server);
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        loop {
            let ended = Box::pin(self.stream(channel.clone(), &mut backoff)).await;
            // What an operator wants traced ends with the stream that asked for it; the next one says it anew.
            self.shared.set_tracing(0);
            self.shared.board.set(Vec::new(), std::time::Instant::now());
            if matches!(ended, Ended::Stopped) {
                return;
            }
            tracing::debug!(reason = ?ended, "the report stream ended; deltas are kept");
            tokio::select! {
                () = self.token.cancelled() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    async fn stream(&mut self, channel: Channel, backoff: &mut Backoff) -> Ended {
        self.told = None;
        self.outbox.restart();
        let (outbound, receiver) = mpsc::channel(OUTBOUND_QUEUE);
        let mut service = ReportServiceClient::new(channel);
        let opening = async {
            send(&outbound, proxy_report::Message::Hello(self.hello()));
            tokio::time::timeout(DEADLINE, service.stream(ReceiverStream::new(receiver))).await
        };
        let response = tokio::select! {
            // A stream that is about to open may still take the last batch.
            () = stopped_for(&self.token, FAREWELL) => return Ended::Stopped,
            response = opening => response,
        };
        let mut inbound = match response {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return status.into(),
            Err(_) => return Ended::Deadline,
        };
        let mut tick = tokio::time::interval_at(Instant::now() + self.config.interval, self.config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state(&outbound);
        self.usage(&outbound);
        let mut events = Vec::new();
        loop {
            // Every arm may be dropped: `message` loses nothing, and the timer goes on.
            tokio::select! {
                () = self.token.cancelled() => break,
                command = inbound.message() => match command {
                    Ok(Some(command)) => {
                        backoff.reset();
                        self.take(command);
                    }
                    Ok(None) => return Ended::Closed,
                    Err(status) => return status.into(),
                },
                1.. = self.tapped.recv_many(&mut events, TAPPED_A_MESSAGE), if outbound.capacity() > 0 => {
                    let events = events.drain(..).map(wire::tapped).collect();
                    send(&outbound, proxy_report::Message::Tapped(Tapped { events, dropped: Vec::new() }));
                }
                Some((id, tried)) = self.tried.1.recv(), if outbound.capacity() > 0 => {
                    send(&outbound, proxy_report::Message::Tried(wire::tried(id, tried)));
                }
                _ = tick.tick() => {
                    if self.outbox.is_overdue(Instant::now().into_std(), DEADLINE) {
                        return Ended::Deadline;
                    }
                    self.metrics(&outbound);
                    self.spans(&outbound);
                    self.examples(&outbound);
                    self.compared(&outbound);
                    self.taps(&outbound);
                    self.state(&outbound);
                    self.usage(&outbound);
                }
            }
        }
        self.farewell(outbound, inbound).await
    }

    /// The workers have stopped: tells what they counted last. What cannot be told within a second is lost, as the
    /// process is.
    async fn farewell(
        &mut self,
        outbound: mpsc::Sender<ProxyReport>,
        mut inbound: tonic::Streaming<ReportCommand>,
    ) -> Ended {
        let rest = async {
            self.shared.collected.cancelled().await;
            while !self.outbox.is_empty() || self.shared.sums().has_batch() {
                self.metrics(&outbound);
                if self.outbox.is_empty() {
                    break;
                }
                match inbound.message().await {
                    Ok(Some(command)) => self.take(command),
                    Ok(None) | Err(_) => return,
                }
            }
            self.spans(&outbound);
            self.examples(&outbound);
            self.compared(&outbound);
            drop(outbound);
            // The stream ends when the controller has read all of it.
            while let Ok(Some(_)) = inbound.message().await {}
        };
        // The process goes down with or without it.
        let _ = tokio::time::timeout(FAREWELL, rest).await;
        Ended::Stopped
    }

    fn hello(&self) -> Hello {
        let node = &self.config.node;
        Hello {
            namespace: node.namespace.clone(),
            workload: node.workload.clone(),
            instance: node.instance.clone(),
            proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn take(&mut self, command: ReportCommand) {
        match command.command {
            Some(report_command::Command::Tracing(tracing)) => {
                tracing::debug!(ppm = tracing.sample_ppm, "the controller set the share of traces to report");
                self.shared.set_tracing(tracing.sample_ppm);
            }
            Some(report_command::Command::Received(received)) => self.outbox.received(received.sequence),
            Some(report_command::Command::Taps(taps)) => {
                tracing::debug!(sessions = taps.taps.len(), "the controller set who taps requests");
                self.shared.board.set(wire::wishes(taps), std::time::Instant::now());
            }
            Some(report_command::Command::Trial(trial)) => {
                self.shared.trials.begin(wire::trial(trial), std::time::Instant::now(), &self.tried.0);
            }
            // From a later version of the protocol.
            None => {}
        }
    }

    /// Sends the batch that waits, or makes one of what was counted since the last.
    fn metrics(&mut self, outbound: &mpsc::Sender<ProxyReport>) {
        let Ok(permit) = outbound.try_reserve() else { return };
        if self.outbox.is_empty() {
            let batch = self.shared.sums().take_batch();
            let since = std::mem::replace(&mut self.counted, Instant::now());
            if batch.is_empty() {
                return;
            }
            let series = batch.iter().map(|(key, delta)| wire::series(key, delta)).collect();
            let interval_ms = u64::try_from(self.config.interval.as_millis()).unwrap_or(u64::MAX);
            self.outbox.put(Metrics { interval_ms, series, sequence: 0, late_ms: 0 }, since.into_std());
        }
        if let Some(metrics) = self.outbox.next_to_send(Instant::now().into_std()) {
            permit.send(ProxyReport { message: Some(proxy_report::Message::Metrics(metrics)) });
        }
    }

    fn spans(&self, outbound: &mpsc::Sender<ProxyReport>) {
        while let Ok(permit) = outbound.try_reserve() {
            let (spans, dropped) = self.shared.sums().take_spans(SPANS_A_MESSAGE);
            if spans.is_empty() && dropped == 0 {
                return;
            }
            let spans = spans.into_iter().map(wire::span).collect();
            permit
                .send(ProxyReport { message: Some(proxy_report::Message::Spans(Spans { spans, dropped })) });
        }
    }

    fn examples(&self, outbound: &mpsc::Sender<ProxyReport>) {
        let Ok(permit) = outbound.try_reserve() else { return };
        let examples = self.shared.sums().take_examples();
        if !examples.is_empty() {
            let message = proxy_report::Message::Examples(wire::examples(examples));
            permit.send(ProxyReport { message: Some(message) });
        }
    }

    fn compared(&self, outbound: &mpsc::Sender<ProxyReport>) {
        let Ok(permit) = outbound.try_reserve() else { return };
        let comparisons = self.shared.sums().take_comparisons();
        if !comparisons.is_empty() {
            let message = proxy_report::Message::Compared(wire::compared(comparisons));
            permit.send(ProxyReport { message: Some(message) });
        }
    }

    /// Lets tap sessions tell as much again, once a second, and says what was dropped.
    fn taps(&mut self, outbound: &mpsc::Sender<ProxyReport>) {
        let Ok(permit) = outbound.try_reserve() else { return };
        if self.second.elapsed() < TAP_SECOND {
            return;
        }
        self.second = Instant::now();
        let dropped = self.shared.board.tick(std::time::Instant::now());
        if !dropped.is_empty() {
            let dropped = dropped.into_iter().map(|(tap, events)| TapDropped { tap, events }).collect();
            let message = proxy_report::Message::Tapped(Tapped { events: Vec::new(), dropped });
            permit.send(ProxyReport { message: Some(message) });
        }
    }

    /// Tells this proxy's state when it is due, or when anything but the number of connections changed.
    fn state(&mut self, outbound: &mpsc::Sender<ProxyReport>) {
        let state = self.proxy_state();
        let due = self.told.as_ref().is_none_or(|(told, at)| {
            at.elapsed() >= self.config.state_interval
                || ProxyState { open_connections: told.open_connections, ..state.clone() } != *told
        });
        if due && send(outbound, proxy_report::Message::State(state.clone())) {
            self.told = Some((state, Instant::now()));
        }
    }

    /// Tells what this process takes, when that is due.
    fn usage(&mut self, outbound: &mpsc::Sender<ProxyReport>) {
        let Ok(permit) = outbound.try_reserve() else { return };
        if self.used.is_some_and(|at| at.elapsed() < self.config.state_interval) {
            return;
        }
        self.used = Some(Instant::now());
        let ([inbound, outbound], [inbound_own, outbound_own]) = {
            let mut sums = self.shared.sums();
            (sums.ended, sums.take_own())
        };
        let (usage, number) = (usage::now(), |of: u128| u64::try_from(of).unwrap_or(u64::MAX));
        let usage = Usage {
            up_ms: number(usage.up.as_millis()),
            cpu_us: number(usage.cpu.as_micros()),
            resident_bytes: usage.resident_bytes,
            inbound,
            outbound,
            inbound_own: Some(wire::histogram(&inbound_own)),
            outbound_own: Some(wire::histogram(&outbound_own)),
        };
        permit.send(ProxyReport { message: Some(proxy_report::Message::Usage(usage)) });
    }

    fn proxy_state(&self) -> ProxyState {
        let (svid, bundle) = (self.config.identity.svid(), self.config.identity.bundle());
        let renewals = self.config.identity.counters();
        ProxyState {
            spiffe_id: svid.spiffe_id.to_string(),
            certificate_serial: svid.serial.clone(),
            not_before: svid.not_before,
            not_after: svid.not_after,
            issuer: svid.issuer.clone(),
            bundle_generation: bundle.generation(),
            renewals: renewals.ok,
            renewal_failures: renewals.failed,
            open_connections: self.shared.sums().open_connections(),
            ready: self.config.ready.is_ready(),
            trusted_roots: bundle.fingerprints(),
        }
    }
}

/// Ends that long after the token was cancelled.
async fn stopped_for(token: &CancellationToken, grace: Duration) {
    token.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// `false` when there is no room.
fn send(outbound: &mpsc::Sender<ProxyReport>, message: proxy_report::Message) -> bool {
    outbound.try_send(ProxyReport { message: Some(message) }).is_ok()
}

#[cfg(test)]
mod tests;
