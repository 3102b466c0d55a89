//! Reports of scripted proxies, and what is asked about them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_proto::inspect::v1::{
    CertsRequest, EdgesRequest, FailuresRequest, Group, StatRequest, StatResponse, TapRequest, TraceRequest,
    TraceResponse, VersionRequest,
};
use mesh_proto::report::v1::report_service_client::ReportServiceClient;
use mesh_proto::report::v1::{
    Example, Examples, Header, Hello, Histogram, Metrics, ProxyReport, ProxyState, ReportCommand, Security,
    Series, SeriesKey, Side, Span, Spans, TapDropped, TapEvent, TapFilter, Tapped, proxy_report,
    report_command,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::world::{DEADLINE, SHOP, World};

pub(crate) struct Reporter {
    out: mpsc::Sender<ProxyReport>,
    commands: Streaming<ReportCommand>,
}

impl Reporter {
    pub(crate) async fn open(world: &World, account: &str, workload: &str) -> Self {
        let (out, messages) = mpsc::channel(16);
        let hello = Hello {
            namespace: "shop".into(),
            workload: workload.into(),
            instance: "1".into(),
            proxy_version: "0".into(),
        };
        out.send(ProxyReport { message: Some(proxy_report::Message::Hello(hello)) }).await.unwrap();
        let mut client = ReportServiceClient::new(world.channel("shop", account));
        let commands = client.stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { out, commands }
    }

    pub(crate) async fn send(&self, message: proxy_report::Message) {
        self.out.send(ProxyReport { message: Some(message) }).await.unwrap();
    }

    async fn metrics(&self, sequence: u64, series: Vec<Series>) {
        self.send(proxy_report::Message::Metrics(Metrics {
            interval_ms: 1000,
            series,
            sequence,
            late_ms: 0,
        }))
        .await;
    }

    async fn spans(&self, spans: Vec<Span>) {
        self.send(proxy_report::Message::Spans(Spans { spans, dropped: 0 })).await;
    }

    pub(crate) async fn command(&mut self) -> report_command::Command {
        let command =
            tokio::time::timeout(DEADLINE, self.commands.message()).await.expect("a command in time");
        command.unwrap().expect("the stream goes on").command.expect("a command")
    }

    async fn until(&mut self, wanted: impl Fn(&report_command::Command) -> bool) {
        while !wanted(&self.command().await) {}
    }

    pub(crate) async fn until_received(&mut self, sequence: u64) {
        self.until(|command| matches!(command, report_command::Command::Received(received) if received.sequence == sequence)).await;
    }

    async fn until_tracing(&mut self, ppm: u32) {
        self.until(|command| matches!(command, report_command::Command::Tracing(tracing) if tracing.sample_ppm == ppm)).await;
    }
}

fn series(requests: u64, status: u32) -> Series {
    let key = SeriesKey {
        side: Side::Outbound.into(),
        service_namespace: "shop".into(),
        service: "web".into(),
        service_port: 80,
        destination_namespace: "shop".into(),
        destination_workload: "web-1".into(),
        route: "httproute/shop/web#0".into(),
        protocol: "http".into(),
        status,
        security: Security::Mtls.into(),
        ..SeriesKey::default()
    };
    let latency = Some(Histogram { indices: vec![80], counts: vec![requests] });
    Series { key: Some(key), requests, latency, ..Series::default() }
}

async fn stat_until(world: &World, look: impl Fn(&StatResponse) -> bool) -> StatResponse {
    let mut last = StatResponse::default();
    let wait = async {
        loop {
            last = world.inspect().stat(StatRequest::default()).await.unwrap().into_inner();
            if look(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never seen; last was {last:#?}");
    last
}

#[tokio::test]
async fn reports_are_shown_by_stat_and_counted_once() {
    let world = World::new(SHOP).await;
    let mut reporter = Reporter::open(&world, "client", "client").await;
    reporter.until_received(0).await;
    reporter.metrics(1, vec![series(90, 200), series(10, 503)]).await;
    reporter.until_received(1).await;
    // The confirmation was lost, so the proxy sends it again on its next stream.
    drop(reporter);
    let mut reporter = Reporter::open(&world, "client", "client").await;
    reporter.metrics(1, vec![series(90, 200), series(10, 503)]).await;
    reporter.until_received(1).await;
    reporter.metrics(2, vec![series(1, 200)]).await;
    reporter.until_received(2).await;
    let stat = stat_until(&world, |stat| !stat.rows.is_empty()).await;
    assert_eq!(stat.rows.len(), 1);
    let row = &stat.rows[0];
    assert_eq!(
        (row.source_namespace.as_str(), row.source_workload.as_str()),
        ("shop", "client"),
        "from its identity"
    );
    assert_eq!((row.requests, row.failures, row.mesh_failures), (101, 10, 0));
    assert!(row.p99_ms > 1.0 && row.p99_ms < 1.2, "{}", row.p99_ms);
    let bad = world
        .inspect()
        .stat(StatRequest { window_seconds: 4000, ..StatRequest::default() })
        .await
        .unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn somebody_elses_reports_are_refused() {
    let world = World::new(SHOP).await;
    let mut thief = Reporter::open(&world, "web", "client").await;
    let status = tokio::time::timeout(DEADLINE, thief.commands.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

fn span(id: u8, parent: u8, side: Side) -> Span {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Span {
        trace_id: vec![5; 16].into(),
        span_id: vec![id; 8].into(),
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] }.into(),
        side: side.into(),
        service_namespace: "shop".into(),
        service: "web".into(),
        method: "GET".into(),
        path: "/".into(),
        status: 200,
        security: Security::Mtls.into(),
        start_us: u64::try_from(now).unwrap() + u64::from(id),
        duration_us: 1_000,
        ..Span::default()
    }
}

async fn next_trace(traces: &mut Streaming<TraceResponse>) -> TraceResponse {
    tokio::time::timeout(DEADLINE, traces.message())
        .await
        .expect("a trace in time")
        .unwrap()
        .expect("the stream goes on")
}

#[tokio::test]
async fn spans_of_two_proxies_become_one_trace_and_only_while_somebody_reads() {
    let world = World::new(SHOP).await;
    let mut caller = Reporter::open(&world, "client", "client").await;
    let mut callee = Reporter::open(&world, "web", "web-1").await;
    caller.until_tracing(0).await;
    let mut inspect = world.inspect();
    let mut traces =
        inspect.trace(TraceRequest { limit: 1, ..TraceRequest::default() }).await.unwrap().into_inner();
    caller.until_tracing(1_000_000).await;
    callee.until_tracing(1_000_000).await;
    caller.spans(vec![span(1, 0, Side::Outbound)]).await;
    callee.spans(vec![span(2, 1, Side::Inbound)]).await;
    let trace = next_trace(&mut traces).await;
    assert_eq!((trace.spans.len(), trace.complete, trace.missing.len()), (2, true, 0));
    assert_eq!(trace.spans[0].source_workload, "client", "from its identity");
    assert_eq!(trace.spans[1].destination_workload, "web-1");
    // The limit is reached: the stream ends, and with it what proxies are asked for.
    assert!(tokio::time::timeout(DEADLINE, traces.message()).await.unwrap().unwrap().is_none());
    caller.until_tracing(0).await;
}

#[tokio::test]
async fn certificates_and_versions_of_proxies_are_shown() {
    let world = World::new(SHOP).await;
    let reporter = Reporter::open(&world, "client", "client").await;
    let state = ProxyState {
        spiffe_id: "spiffe://mesh.test/ns/shop/sa/client".into(),
        certificate_serial: "ab".into(),
        ready: true,
        ..ProxyState::default()
    };
    reporter.send(proxy_report::Message::State(state.clone())).await;
    let wait = async {
        loop {
            let certs = world.inspect().certs(CertsRequest {}).await.unwrap().into_inner().certificates;
            if let Some(cert) = certs.into_iter().next() {
                return cert;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let certificate = tokio::time::timeout(DEADLINE, wait).await.expect("shown");
    assert_eq!((certificate.workload.as_str(), certificate.state), ("client", Some(state)));
    let mut proxy = world.proxy("client", &[]).await;
    proxy.update().await;
    let version = world.inspect().version(VersionRequest {}).await.unwrap().into_inner();
    assert_eq!((version.proxies[0].version.as_str(), version.proxies[0].count), ("0.0.1", 1));
}

#[tokio::test]
async fn a_tap_reaches_the_proxies_its_events_come_back_and_it_ends_with_its_reader() {
    let world = World::new(SHOP).await;
    let mut reporter = Reporter::open(&world, "client", "client").await;
    reporter.until_received(0).await;
    let filter = TapFilter { path_prefix: "/cart".into(), ..TapFilter::default() };
    let request = TapRequest { filter: Some(filter.clone()), max_rps: 7, ..TapRequest::default() };
    let mut events = world.inspect().tap(request).await.unwrap().into_inner();
    let mut told = Vec::new();
    while told.is_empty() {
        if let report_command::Command::Taps(taps) = reporter.command().await {
            told = taps.taps;
        }
    }
    assert_eq!((told[0].filter.as_ref(), told[0].max_rps), (Some(&filter), 7));
    let event = TapEvent {
        taps: vec![told[0].id],
        span: Some(Span { source_workload: "thief".into(), ..span(1, 0, Side::Outbound) }),
        headers: vec![Header { name: "x-user".into(), value: "ann".into(), redacted: false }],
    };
    let tapped = Tapped { events: vec![event], dropped: vec![TapDropped { tap: told[0].id, events: 3 }] };
    reporter.send(proxy_report::Message::Tapped(tapped)).await;
    let event = tokio::time::timeout(DEADLINE, events.message()).await.unwrap().unwrap().unwrap();
    let span = event.span.unwrap();
    assert_eq!((span.source_workload.as_str(), span.instance.as_str()), ("client", "1"), "from its identity");
    assert_eq!((event.dropped, event.headers[0].value.as_str()), (3, "ann"));
    drop(events);
    reporter
        .until(|command| matches!(command, report_command::Command::Taps(taps) if taps.taps.is_empty()))
        .await;
    let bad = TapFilter { status: 42, ..TapFilter::default() };
    let refused = world.inspect().tap(TapRequest { filter: Some(bad), ..TapRequest::default() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn failures_edges_and_statistics_in_groups_are_answered() {
    let world = World::new(SHOP).await;
    let mut reporter = Reporter::open(&world, "client", "client").await;
    reporter.metrics(1, vec![series(90, 200), series(10, 503)]).await;
    let key = SeriesKey { failure: "no_endpoints".into(), status: 503, ..series(1, 503).key.unwrap() };
    let example = Example {
        key: Some(key),
        time_ms: 1,
        path: "/lost".into(),
        detail: "service shop/web has no endpoint".into(),
        count: 10,
        ..Example::default()
    };
    let examples = Examples { examples: vec![example], dropped: 0 };
    reporter.send(proxy_report::Message::Examples(examples)).await;
    // What comes later has been taken later.
    reporter.metrics(2, vec![series(1, 200)]).await;
    reporter.until_received(2).await;
    let mut inspect = world.inspect();
    let about = FailuresRequest { about: "web".into(), ..FailuresRequest::default() };
    let failures = inspect.failures(about).await.unwrap().into_inner();
    assert_eq!(failures.rows.len(), 1);
    let row = &failures.rows[0];
    assert_eq!((row.count, row.requests), (10, 101));
    assert_eq!(row.example.as_ref().unwrap().path, "/lost");
    let edges = inspect.edges(EdgesRequest::default()).await.unwrap().into_inner().edges;
    assert_eq!(edges.len(), 1);
    assert_eq!((edges[0].source_workload.as_str(), edges[0].requests), ("client", 101));
    let by_service =
        StatRequest { group: Group::Service.into(), name: "web".into(), ..StatRequest::default() };
    let rows = inspect.stat(by_service).await.unwrap().into_inner().rows;
    assert_eq!((rows.len(), rows[0].requests, rows[0].failures), (1, 101, 10));
}
