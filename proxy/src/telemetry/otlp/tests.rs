//! Messages as a collector reads them, and the bounds of what waits.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use mesh_model::name::{ServiceName, WorkloadName};
use mesh_proto::otlp::v1::{
    self as wire, ExportLogs, ExportMetrics, ExportTraces, KeyValue, any_value, metric,
};
use prost::Message as _;

use super::*;
use crate::telemetry::aggregate::{Aggregate, MAX_EXPORTED};
use crate::telemetry::worker::WorkerDelta;
use crate::telemetry::worker::tests::{key, span};
use crate::telemetry::{
    AppProtocol, AttemptRecord, Direction, Failure, Recorded, Side, SpanRecord, Telemetry,
};

const MS: Duration = Duration::from_millis(1);

fn resource() -> Resource {
    Resource {
        service: "web".to_owned(),
        namespace: "shop".to_owned(),
        workload: "web-1".to_owned(),
        instance: "0001".to_owned(),
        host: "machine".to_owned(),
        is_pod: false,
    }
}

/// `key=value`, sorted.
fn shown(attributes: &[KeyValue]) -> Vec<String> {
    let text = |value: &wire::AnyValue| match value.value.as_ref() {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(yes)) => yes.to_string(),
        None => String::new(),
    };
    let one = |pair: &KeyValue| format!("{}={}", pair.key, pair.value.as_ref().map(text).unwrap_or_default());
    let mut all: Vec<String> = attributes.iter().map(one).collect();
    all.sort();
    all
}

fn exported(record: SpanRecord) -> wire::Span {
    let message = ExportTraces::decode(&*traces::message(vec![record], &resource())).unwrap();
    let [all] = <[_; 1]>::try_from(message.resource_spans).unwrap();
    assert_eq!(
        shown(&all.resource.unwrap().attributes),
        [
            "host.name=machine",
            "mesh.workload=web-1",
            "service.instance.id=0001",
            "service.name=web",
            "service.namespace=shop"
        ]
    );
    let [scope] = <[_; 1]>::try_from(all.scope_spans).unwrap();
    let [span] = <[_; 1]>::try_from(scope.spans).unwrap();
    span
}

fn outbound() -> SpanRecord {
    SpanRecord {
        side: Side::Outbound,
        parent_id: Some([3; 8]),
        source: WorkloadName::new("shop", "web").ok(),
        service: ServiceName::new("shop", "cart").ok(),
        service_port: 80,
        endpoint: Some(SocketAddr::from(([10, 0, 0, 1], 8080))),
        ..span("/cart/7")
    }
}

#[test]
fn a_request_is_a_span_of_the_conventions() {
    let span = exported(outbound());
    assert_eq!((span.trace_id, span.span_id, span.parent_span_id), (vec![1; 16], vec![2; 8], vec![3; 8]));
    assert_eq!((span.name.as_str(), span.kind), ("GET", wire::SpanKind::Client as i32));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000_000_000, 1_003_000_000));
    assert_eq!((span.status, span.flags, span.events.len()), (None, 0x301, 0));
    assert_eq!(
        shown(&span.attributes),
        [
            "http.request.body.size=0",
            "http.request.method=GET",
            "http.response.body.size=0",
            "http.response.status_code=200",
            "mesh.recorded=sampled",
            "mesh.security=mtls",
            "mesh.side=outbound",
            "mesh.source=shop/web",
            "network.peer.address=10.0.0.1",
            "network.peer.port=8080",
            "server.address=cart.shop",
            "server.port=80",
            "url.path=/cart/7",
            "url.scheme=https",
        ]
    );
}

#[test]
fn a_call_of_grpc_is_named_after_its_method_and_a_made_up_method_is_not() {
    let call = SpanRecord {
        protocol: AppProtocol::Grpc,
        grpc_status: Some(5),
        recorded: Recorded::Tail,
        ..span("/shop.v1.Cart/Get")
    };
    let span = exported(call.clone());
    assert_eq!((span.name.as_str(), span.kind), ("shop.v1.Cart/Get", wire::SpanKind::Server as i32));
    let attributes = shown(&span.attributes);
    assert!(attributes.contains(&"rpc.response.status_code=NOT_FOUND".to_owned()), "{attributes:?}");
    // For a server that is its client's error, for a client it is one; and this one is told alone.
    assert_eq!((span.status, span.flags), (None, 0x100));
    let span = exported(SpanRecord { side: Side::Outbound, ..call });
    assert_eq!(span.status.unwrap().code, wire::StatusCode::Error as i32);
    let odd = exported(SpanRecord { method: "BREW".to_owned(), ..outbound() });
    assert_eq!(odd.name, "HTTP");
    assert!(shown(&odd.attributes).contains(&"http.request.method_original=BREW".to_owned()));
}

#[test]
fn attempts_are_events_with_the_cause_of_each_retry() {
    let attempt = |start: u32, status, failure, hedged| AttemptRecord {
        endpoint: SocketAddr::from(([10, 0, 0, 1], 80)),
        workload: None,
        start: MS * start,
        duration: Some(MS),
        status,
        failure,
        connect: Duration::ZERO,
        tls: Duration::ZERO,
        hedged,
    };
    let attempts = vec![
        attempt(1, 503, None, false),
        attempt(2, 0, Some(Failure::ConnectFailed), false),
        attempt(3, 200, None, true),
    ];
    let span = exported(SpanRecord { attempts, attempts_made: 5, ..outbound() });
    let events: Vec<_> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        (events.as_slice(), span.dropped_events_count),
        (&["mesh.attempt", "mesh.retry", "mesh.hedge"][..], 2)
    );
    let retry = span.events.get(1).unwrap();
    assert_eq!(retry.time_unix_nano, 1_002_000_000);
    let attributes = shown(&retry.attributes);
    for attribute in ["mesh.attempt.cause=503", "mesh.attempt.number=2", "mesh.failure=connect_failed"] {
        assert!(attributes.contains(&attribute.to_owned()), "{attributes:?}");
    }
    assert!(shown(&span.attributes).contains(&"http.request.resend_count=4".to_owned()));
    let redirect = exported(SpanRecord { status: 301, endpoint: None, ..outbound() });
    assert_eq!(redirect.events.first().unwrap().name, "mesh.redirect");
}

#[test]
fn an_endpoint_that_is_left_alone_for_it_is_an_event() {
    let ejected = vec![SocketAddr::from(([10, 0, 0, 9], 80))];
    let span = exported(SpanRecord { ejected, status: 503, ..outbound() });
    let [event] = &span.events[..] else { panic!("{:?}", span.events) };
    assert_eq!((event.name.as_str(), event.time_unix_nano), ("mesh.ejection", span.end_time_unix_nano));
    assert_eq!(shown(&event.attributes), ["network.peer.address=10.0.0.9", "network.peer.port=80"]);
}

#[tokio::test]
async fn metrics_are_what_a_scrape_shows() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker.clone().build();
    for (status, times) in [(200, 3), (503, 2)] {
        for _ in 0..times {
            worker.series(&key("a", status)).record(MS, 10, 20);
        }
    }
    worker.connection_opened(Direction::Inbound);
    worker.flush_last(Duration::from_secs(30)).await;
    let tasks = mesh_lifecycle::Tasks::new();
    telemetry.hub.spawn(&tasks);
    let outlet = telemetry.hub.outlet();
    drop((worker, telemetry));
    tokio::time::timeout(Duration::from_secs(30), outlet.collected()).await.unwrap();
    let batch = outlet.batch(Signal::Metrics, &resource()).unwrap();
    let message = ExportMetrics::decode(&*batch.message).unwrap();
    let metrics = &message.resource_metrics.first().unwrap().scope_metrics.first().unwrap().metrics;
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().data.clone().unwrap();
    let metric::Data::Sum(sum) = named("mesh.requests") else { panic!("a sum") };
    let mut counts: Vec<_> =
        sum.data_points.iter().map(|point| (point.as_int, shown(&point.attributes))).collect();
    counts.sort();
    assert!(counts[0].0 == 2 && counts[0].1.contains(&"failure=no_endpoints".to_owned()), "{counts:?}");
    assert!(counts[1].0 == 3 && counts[1].1.contains(&"status=200".to_owned()), "{counts:?}");
    let metric::Data::Histogram(histogram) = named("http.client.request.duration") else {
        panic!("a histogram")
    };
    for point in &histogram.data_points {
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    }
    assert_eq!(histogram.data_points.iter().map(|point| point.count).sum::<u64>(), 5);
    assert!(batch.items >= 6 && !batch.full);
}

fn record(body: &str) -> LogRecord {
    LogRecord {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
        severity: Severity::Error,
        event: "access",
        body: body.to_owned(),
        attributes: vec![("status".into(), Value::Int(503)), ("path".into(), Value::Text("/a".into()))],
        trace: Some(([7; 16], [8; 8])),
        sampled: true,
    }
}

#[test]
fn records_are_dropped_and_counted_where_there_is_no_room_and_never_waited_for() {
    let telemetry = Telemetry::new();
    let (worker, outlet) = (telemetry.worker.build(), telemetry.hub.outlet());
    assert!(!worker.exports_logs());
    worker.export_log(record("nobody wants it"));
    outlet.want(Signals { logs: true, ..Signals::default() });
    assert!(worker.exports_logs());
    for _ in 0..MAX_LOGS + 3 {
        worker.export_log(record("GET /a"));
    }
    assert_eq!(outlet.lanes().items(Signal::Logs, Loss::Dropped), 3);
    let batch = outlet.batch(Signal::Logs, &resource()).unwrap();
    assert!(batch.full && batch.items == 256);
    let message = ExportLogs::decode(&*batch.message).unwrap();
    let first = message.resource_logs[0].scope_logs[0].log_records[0].clone();
    assert_eq!((first.severity_number, first.flags, first.event_name.as_str()), (17, 1, "access"));
    assert_eq!(
        (first.trace_id, first.span_id, first.time_unix_nano),
        (vec![7; 16], vec![8; 8], 2_000_000_000)
    );
    assert_eq!(shown(&first.attributes), ["path=/a", "status=503"]);
    // Nobody wants the rest.
    outlet.want(Signals::default());
    assert_eq!(outlet.batch(Signal::Logs, &resource()), None);
    assert_eq!(outlet.lanes().items(Signal::Logs, Loss::Dropped), 3);
}

#[test]
fn spans_wait_for_a_collector_within_their_bound_and_those_for_operators_do_not() {
    let mut sums = Aggregate::default();
    let many = |count: usize, recorded| WorkerDelta {
        spans: vec![SpanRecord { recorded, ..span("/") }; count],
        ..WorkerDelta::default()
    };
    sums.merge(many(5, Recorded::Sampled));
    assert_eq!(sums.take_exported(10).len(), 0, "nobody wants them");
    sums.export_spans(true);
    sums.merge(many(5, Recorded::Asked));
    sums.merge(many(MAX_EXPORTED - 1, Recorded::Sampled));
    sums.merge(many(3, Recorded::Tail));
    assert_eq!(sums.take_exported_dropped(), 2);
    assert_eq!(sums.take_exported(MAX_EXPORTED - 1).len(), MAX_EXPORTED - 1);
    let rest = sums.take_exported(10);
    assert_eq!((rest.len(), rest[0].recorded, sums.take_exported_dropped()), (1, Recorded::Tail, 0));
}
