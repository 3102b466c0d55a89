//! `mesh.report.v1.ReportService`: takes what proxies report and tells them how many traces are wanted, and which requests are tapped. The shell of this part.

use std::time::Duration;

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::{CancellationToken, Tasks};
use mesh_proto::report::v1::report_service_server::ReportService;
use mesh_proto::report::v1::{
    ProxyReport, Received, ReportCommand, SetTaps, SetTracing, proxy_report, report_command,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Observatory;
use super::proxies::{Batch, ProxyKey};
use super::stats::{Reporter, When};
use crate::access::Access;
use crate::clock::now_ms;

/// For the Hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// For a proxy to read a command: it reads at once, or it is not there.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);
/// Commands that wait to be written.
const QUEUE: usize = 4;
/// Series of one message that are looked at.
const MAX_SERIES_A_MESSAGE: usize = 5_000;
/// Examples of failures of one message that are looked at.
const MAX_EXAMPLES_A_MESSAGE: usize = 1_000;
/// Comparisons of answers of one message that are looked at.
const MAX_COMPARISONS_A_MESSAGE: usize = 64;

type Answer = Result<ReportCommand, Status>;

/// The service.
#[derive(Debug, Clone)]
pub struct Receiver {
    observatory: Observatory,
    access: Access,
    tasks: Tasks,
}

impl Receiver {
    /// Puts reports into `observatory`, on `tasks`.
    pub fn new(observatory: Observatory, access: Access, tasks: Tasks) -> Self {
        Self { observatory, access, tasks }
    }
}

#[tonic::async_trait]
impl ReportService for Receiver {
    type StreamStream = ReceiverStream<Answer>;

    async fn stream(
        &self,
        request: Request<Streaming<ProxyReport>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let (out, answers) = mpsc::channel(QUEUE);
        let (service, token) = (self.clone(), self.tasks.token());
        let inbound = request.into_inner();
        self.tasks.spawn("report stream", async move {
            if let Err(status) = service.serve(peer, inbound, &out, token).await {
                // The proxy has this long to read why; without room it sees the stream end.
                let _ = out.send_timeout(Err(status), Duration::from_secs(1)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Receiver {
    async fn serve(
        &self,
        peer: Option<PeerInfo>,
        mut inbound: Streaming<ProxyReport>,
        out: &mpsc::Sender<Answer>,
        token: CancellationToken,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello within 10 s"))??;
        let Some(proxy_report::Message::Hello(hello)) = first.and_then(|report| report.message) else {
            return Err(Status::invalid_argument("the first message on a stream is Hello"));
        };
        let peer = peer.and_then(|peer| peer.spiffe_id);
        self.access.workload(peer.as_ref(), &hello.namespace, &hello.workload).map_err(|denied| {
            self.observatory.refused();
            tracing::warn!(%denied, "a report stream was refused");
            Status::permission_denied(denied.to_string())
        })?;
        let key = (hello.namespace, hello.workload, hello.instance.chars().take(128).collect());
        let account = peer.as_ref().map(|peer| peer.service_account().to_owned()).unwrap_or_default();
        if !self.observatory.proxies(|proxies| proxies.open(&key, &account)) {
            self.observatory.refused();
            return Err(Status::resource_exhausted(
                "this controller takes reports of as many proxies as it may",
            ));
        }
        let _open = OpenStream { service: self, key: &key };
        // Zero says that this controller confirms.
        command(out, report_command::Command::Received(Received { sequence: 0 })).await?;
        let mut largest = self.observatory.demand().largest();
        largest.mark_changed();
        let mut taps = self.observatory.taps().wanted();
        // A proxy that comes while nobody taps knows that already.
        if !taps.borrow().taps.is_empty() {
            taps.mark_changed();
        }
        let mut trials = self.observatory.trials().attend(&key);
        loop {
            // Every arm may be dropped at its await: what was not taken is there the next time.
            tokio::select! {
                () = token.cancelled() => return Err(Status::unavailable("the controller stops; connect again")),
                changed = largest.changed() => {
                    changed.map_err(|_| Status::unavailable("the controller stops; connect again"))?;
                    let sample_ppm = *largest.borrow_and_update();
                    command(out, report_command::Command::Tracing(SetTracing { sample_ppm })).await?;
                }
                changed = taps.changed() => {
                    changed.map_err(|_| Status::unavailable("the controller stops; connect again"))?;
                    let wanted = SetTaps::clone(&taps.borrow_and_update());
                    command(out, report_command::Command::Taps(wanted)).await?;
                }
                trial = trials.asked() => command(out, report_command::Command::Trial(trial)).await?,
                message = inbound.message() => match message {
                    Ok(Some(report)) => {
                        if let Some(sequence) = self.take(&key, report) {
                            command(out, report_command::Command::Received(Received { sequence })).await?;
                        }
                    }
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
        }
    }

    /// The number to confirm, if it was a numbered batch.
    fn take(&self, key: &ProxyKey, report: ProxyReport) -> Option<u64> {
        let now = now_ms();
        let reporter = Reporter { namespace: &key.0, workload: &key.1 };
        match report.message? {
            proxy_report::Message::Metrics(mut metrics) => {
                metrics.series.truncate(MAX_SERIES_A_MESSAGE);
                if self.observatory.proxies(|proxies| proxies.batch(key, metrics.sequence)) == Batch::New {
                    let when = When { now: now / 1000, late: metrics.late_ms / 1000 };
                    self.observatory.stats(|stats| stats.record(reporter, &metrics.series, when));
                    self.observatory.promises(|promises| promises.record(&metrics.series, now / 1000));
                }
                (metrics.sequence > 0).then_some(metrics.sequence)
            }
            proxy_report::Message::Spans(spans) => {
                self.observatory.spans(reporter, &key.2, spans, now);
                None
            }
            proxy_report::Message::Tapped(tapped) => {
                self.observatory.taps().record(reporter, &key.2, tapped);
                None
            }
            proxy_report::Message::Examples(mut examples) => {
                examples.examples.truncate(MAX_EXAMPLES_A_MESSAGE);
                self.observatory.failures(|failures| {
                    failures.lost(examples.dropped);
                    failures.record(reporter, &key.2, examples.examples, now);
                });
                None
            }
            proxy_report::Message::State(state) => {
                self.observatory.proxies(|proxies| proxies.state(key, state, now));
                None
            }
            proxy_report::Message::Usage(usage) => {
                self.observatory.costs(|costs| costs.record(key, &usage, now));
                None
            }
            proxy_report::Message::Tried(tried) => {
                self.observatory.trials().record(key, tried);
                None
            }
            proxy_report::Message::Compared(mut compared) => {
                compared.comparisons.truncate(MAX_COMPARISONS_A_MESSAGE);
                self.observatory.comparisons(|all| {
                    all.lost(compared.dropped);
                    all.record(compared.comparisons, now);
                });
                None
            }
            // A second Hello says nothing new.
            proxy_report::Message::Hello(_) => None,
        }
    }
}

async fn command(out: &mpsc::Sender<Answer>, command: report_command::Command) -> Result<(), Status> {
    let sent = out.send_timeout(Ok(ReportCommand { command: Some(command) }), COMMAND_DEADLINE).await;
    sent.map_err(|_| Status::deadline_exceeded("commands are not read"))
}

/// A stream of a proxy, until dropped.
struct OpenStream<'a> {
    service: &'a Receiver,
    key: &'a ProxyKey,
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.service.observatory.proxies(|proxies| proxies.close(self.key, now_ms()));
    }
}
