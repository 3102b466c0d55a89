//! The report stream against a controller that the test plays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_identity::Identity;
use mesh_identity::testing::TestCa;
use mesh_lifecycle::{Ready, Shutdown, Tasks};
use mesh_proto::config::v1::ProxyId;
use mesh_proto::report::v1::{
    Metrics, ProxyReport, Received, ReportCommand, SetTaps, SetTracing, Tap, Trial, proxy_report,
    report_command,
};

use super::super::worker::tests::{key, span};
use super::super::{
    Direction, ExampleRecord, ReportConfig, Side, Telemetry, TrialWay, Tried, WorkerTelemetry,
};
use crate::xds::tests::controller::{Controller, DEADLINE, ReportTalk};

const TICK: Duration = Duration::from_millis(10);

struct Proxy {
    worker: WorkerTelemetry,
    telemetry: Telemetry,
    tasks: Tasks,
    ready: Ready,
    identity: Identity,
}

fn proxy(ca: &TestCa, controller: SocketAddr) -> Proxy {
    let node =
        ProxyId { namespace: "shop".to_owned(), workload: "front".to_owned(), instance: "i-1".to_owned() };
    let (telemetry, tasks, ready) = (Telemetry::new(), Tasks::new(), Ready::new());
    let identity = ca.identity("shop", "front");
    let config = ReportConfig::new(identity.clone(), controller, node, ready.clone());
    telemetry.hub.spawn(&tasks);
    telemetry.hub.spawn_reports(ReportConfig { interval: TICK, ..config }, &tasks);
    Proxy { worker: telemetry.worker.clone().build(), telemetry, tasks, ready, identity }
}

impl Proxy {
    async fn record(&self, count: u64) {
        let series = self.worker.series(&key("r", 200));
        for _ in 0..count {
            series.record(Duration::from_millis(2), 3, 5);
        }
        self.worker.flush_last(DEADLINE).await;
    }
}

/// What a controller that confirms has counted: by instance and number, each batch once.
#[derive(Default)]
struct Ledger {
    last: BTreeMap<String, u64>,
    requests: u64,
    latencies: u64,
    bytes: (u64, u64),
    repeated: u64,
}

impl Ledger {
    fn count(&mut self, instance: &str, metrics: &Metrics) {
        let last = self.last.entry(instance.to_owned()).or_default();
        if metrics.sequence <= *last {
            self.repeated += 1;
            return;
        }
        *last = metrics.sequence;
        for series in &metrics.series {
            self.requests += series.requests;
            self.latencies += series.latency.as_ref().map_or(0, |latency| latency.counts.iter().sum());
            self.bytes = (self.bytes.0 + series.bytes_in, self.bytes.1 + series.bytes_out);
        }
    }
}

fn confirm(sequence: u64) -> ReportCommand {
    ReportCommand { command: Some(report_command::Command::Received(Received { sequence })) }
}

impl ReportTalk {
    async fn message(&mut self) -> proxy_report::Message {
        self.next().await.unwrap().message.unwrap()
    }

    async fn begin(&mut self) -> String {
        let Some(ProxyReport { message: Some(proxy_report::Message::Hello(hello)) }) = self.next().await
        else {
            panic!("not a Hello");
        };
        assert_eq!((hello.namespace.as_str(), hello.workload.as_str()), ("shop", "front"));
        hello.instance
    }

    async fn metrics(&mut self) -> Metrics {
        loop {
            if let proxy_report::Message::Metrics(metrics) = self.message().await {
                return metrics;
            }
        }
    }
}

#[tokio::test]
async fn deltas_sum_to_what_was_recorded_across_broken_streams() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let address = controller.address;
    let proxy = proxy(&ca, address);
    let mut ledger = Ledger::default();

    let mut talk = controller.report().await;
    let instance = talk.begin().await;
    talk.say(confirm(0)).await;
    proxy.record(10).await;
    let metrics = talk.metrics().await;
    ledger.count(&instance, &metrics);
    talk.say(confirm(metrics.sequence)).await;
    // This batch arrives, and its confirmation is lost with the stream.
    proxy.record(20).await;
    ledger.count(&instance, &talk.metrics().await);
    drop((talk, controller));
    proxy.record(30).await;

    let mut controller = Controller::start_at(&ca, address);
    let mut talk = controller.report().await;
    assert_eq!(talk.begin().await, instance);
    talk.say(confirm(0)).await;
    while ledger.requests < 60 {
        let metrics = talk.metrics().await;
        ledger.count(&instance, &metrics);
        talk.say(confirm(metrics.sequence)).await;
    }
    assert_eq!((ledger.requests, ledger.latencies, ledger.bytes), (60, 60, (180, 300)));
    assert!(ledger.repeated >= 1, "the unconfirmed batch came again");
}

#[tokio::test]
async fn a_controller_that_never_confirms_gets_each_batch_once() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    let instance = talk.begin().await;
    let mut ledger = Ledger::default();
    for round in 1..=3 {
        proxy.record(5).await;
        while ledger.requests < 5 * round {
            ledger.count(&instance, &talk.metrics().await);
        }
    }
    assert_eq!((ledger.requests, ledger.repeated), (15, 0));
}

#[tokio::test]
async fn what_was_counted_before_the_controller_was_there_is_told() {
    let ca = TestCa::new("amime.test");
    let address = Controller::start(&ca).address;
    let proxy = proxy(&ca, address);
    proxy.record(7).await;
    proxy.record(8).await;
    let mut controller = Controller::start_at(&ca, address);
    let mut talk = controller.report().await;
    let instance = talk.begin().await;
    talk.say(confirm(0)).await;
    let mut ledger = Ledger::default();
    while ledger.requests < 15 {
        let metrics = talk.metrics().await;
        ledger.count(&instance, &metrics);
        talk.say(confirm(metrics.sequence)).await;
    }
    assert_eq!(ledger.requests, 15);
}

#[tokio::test]
async fn an_order_to_trace_reaches_the_workers_and_ends_with_its_stream() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    talk.begin().await;
    assert_eq!(proxy.worker.tracing_ppm(), 0);
    let tracing = SetTracing { sample_ppm: 250_000 };
    talk.say(ReportCommand { command: Some(report_command::Command::Tracing(tracing)) }).await;
    let reached = async |ppm: u32| {
        while proxy.worker.tracing_ppm() != ppm {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(DEADLINE, reached(250_000)).await.unwrap();
    drop((talk, controller));
    tokio::time::timeout(DEADLINE, reached(0)).await.unwrap();
}

async fn told(talk: &mut ReportTalk) -> mesh_proto::report::v1::Tried {
    loop {
        if let proxy_report::Message::Tried(tried) = talk.message().await {
            return tried;
        }
    }
}

#[tokio::test]
async fn a_request_that_an_operator_asks_for_is_handed_over_and_what_came_of_it_is_told() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut waiting = proxy.telemetry.hub.trials().unwrap();
    let mut talk = controller.report().await;
    talk.begin().await;
    let ask = |id| {
        let trial = Trial { id, method: "GET".into(), authority: "cart".into(), ..Trial::default() };
        ReportCommand { command: Some(report_command::Command::Trial(trial)) }
    };
    talk.say(ask(7)).await;
    let begun = tokio::time::timeout(DEADLINE, waiting.recv()).await.unwrap().unwrap();
    assert_eq!((begun.trial.id, begun.trial.authority.as_str()), (7, "cart"));
    let way = TrialWay::Capture(SocketAddr::from(([10, 96, 0, 7], 80)));
    begun.done(Tried::Sent { way, status: 503, failure: "no_route".to_owned() });
    let tried = told(&mut talk).await;
    assert_eq!((tried.id, tried.status, tried.failure.as_str()), (7, 503, "no_route"));
    assert_eq!((tried.address.as_str(), tried.refused.as_str()), ("10.96.0.7:80", ""));
    drop(waiting);
    talk.say(ask(8)).await;
    let refused = told(&mut talk).await;
    assert_eq!((refused.id, refused.refused.as_str()), (8, "the sidecar ends"));
}

#[tokio::test]
async fn spans_arrive_with_their_ids_and_times() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    talk.begin().await;
    proxy.worker.span(span("/cart"));
    proxy.worker.flush_last(DEADLINE).await;
    let spans = loop {
        if let proxy_report::Message::Spans(spans) = talk.message().await {
            break spans;
        }
    };
    let [span] = &spans.spans[..] else { panic!("{spans:?}") };
    assert_eq!((span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()), (16, 8, 0));
    assert_eq!((span.start_us, span.duration_us, span.first_byte_us), (1_000_000, 3_000, 2_000));
    assert_eq!((span.path.as_str(), span.status, spans.dropped), ("/cart", 200, 0));
}

#[tokio::test]
async fn the_proxys_state_is_told_at_once_and_when_it_changes() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    talk.begin().await;
    let mut state = async || loop {
        if let proxy_report::Message::State(state) = talk.message().await {
            return state;
        }
    };
    let first = state().await;
    assert_eq!(first.spiffe_id, "spiffe://amime.test/ns/shop/sa/front");
    assert_eq!(first.certificate_serial, proxy.identity.svid().serial);
    assert_eq!(first.trusted_roots, proxy.identity.bundle().fingerprints());
    assert!(first.ready);
    ca.renew(&proxy.identity);
    let renewed = state().await;
    assert_ne!(renewed.certificate_serial, first.certificate_serial);
    assert_eq!(renewed.renewals, 1);
    proxy.worker.connection_opened(Direction::Inbound);
    proxy.worker.flush_last(DEADLINE).await;
    proxy.ready.begin_drain();
    assert!(!state().await.ready);
}

#[tokio::test]
async fn the_last_requests_are_told_before_the_process_ends() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    let instance = talk.begin().await;
    talk.say(confirm(0)).await;
    let mut ledger = Ledger::default();
    let stopped = async {
        proxy.record(4).await;
        proxy.tasks.shutdown(DEADLINE).await
    };
    let told = async {
        while let Some(report) = talk.next().await {
            if let Some(proxy_report::Message::Metrics(metrics)) = report.message {
                ledger.count(&instance, &metrics);
                talk.say(confirm(metrics.sequence)).await;
            }
        }
    };
    let (shutdown, ()) = tokio::join!(stopped, told);
    assert!(matches!(shutdown, Shutdown::Clean), "{shutdown:?}");
    assert_eq!(ledger.requests, 4);
    assert_eq!(proxy.telemetry.hub.open_connections(), 0);
}

#[tokio::test]
async fn tapped_requests_and_examples_of_failures_are_told_and_taps_end_with_their_stream() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.report().await;
    talk.begin().await;
    let tap = Tap { id: 7, max_rps: 1, ..Tap::default() };
    talk.say(ReportCommand { command: Some(report_command::Command::Taps(SetTaps { taps: vec![tap] })) })
        .await;
    let is_tapped = async |wanted: bool| {
        while proxy.worker.tapped(Side::Outbound, None).is_some() != wanted {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(DEADLINE, is_tapped(true)).await.unwrap();
    for _ in 0..3 {
        proxy.worker.tell(proxy.worker.tapped(Side::Outbound, None).unwrap(), span("/tapped"));
    }
    let failed = key("r", 503);
    let example = || ExampleRecord {
        at: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        method: "GET".to_owned(),
        path: "/lost".to_owned(),
        detail: "service shop/cart has no endpoint for port 80".to_owned(),
        trace_id: Some([1; 16]),
        endpoint: None,
        duration: TICK,
        count: 1,
        attempts: 2,
        rule: 1,
    };
    let why = || crate::telemetry::Way {
        reason: Some(crate::telemetry::Reason::NoEndpoint),
        policy: Some(mesh_model::name::Name::new("shop", "web").unwrap()),
        by_callee: true,
    };
    proxy.worker.failed(&failed, why(), example);
    proxy.worker.failed(&failed, why(), example);
    proxy.worker.flush_last(DEADLINE).await;

    let (mut paths, mut dropped, mut examples) = (Vec::new(), 0, Vec::new());
    while paths.is_empty() || dropped == 0 || examples.is_empty() {
        match talk.message().await {
            proxy_report::Message::Tapped(tapped) => {
                paths.extend(tapped.events.into_iter().map(|event| (event.taps, event.span.unwrap().path)));
                dropped += tapped.dropped.iter().map(|one| one.events).sum::<u64>();
            }
            proxy_report::Message::Examples(told) => examples.extend(told.examples),
            _ => {}
        }
    }
    assert_eq!((paths, dropped), (vec![(vec![7], "/tapped".to_owned())], 2), "one a second");
    assert_eq!(examples.len(), 1);
    let told = &examples[0];
    assert_eq!((told.count, told.time_ms, told.path.as_str()), (2, 5_000, "/lost"));
    assert_eq!(told.key.as_ref().unwrap().failure, "no_endpoints");
    assert_eq!((told.reason.as_str(), told.policy.as_str(), told.rule), ("no_endpoint", "shop/web", 1));
    assert_eq!((told.by_callee, told.attempts), (true, 2));
    drop((talk, controller));
    tokio::time::timeout(DEADLINE, is_tapped(false)).await.unwrap();
}
