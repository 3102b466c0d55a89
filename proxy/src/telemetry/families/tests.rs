//! The families as a scrape sees them.

use std::time::{Duration, UNIX_EPOCH};

use mesh_identity::testing::TestCa;
use mesh_model::name::{ServiceName, WorkloadName};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;
use crate::telemetry::{AlsoAs, AppProtocol, KnownMethod, Security, Side, Telemetry};

fn key(status: u16, failure: Option<Failure>) -> SeriesKey {
    SeriesKey {
        side: Side::Outbound,
        source: WorkloadName::new("shop", "front").ok(),
        service: ServiceName::new("shop", "cart").ok().map(|service| (service, 80)),
        destination: WorkloadName::new("shop", "cart-v1").ok(),
        route: Some("httproute/shop/cart#0".into()),
        protocol: AppProtocol::Grpc,
        method: KnownMethod::None,
        status,
        grpc_status: Some(0),
        failure,
        security: Security::Mtls,
    }
}

async fn scrape(telemetry: Telemetry, identity: Option<Identity>) -> String {
    let mut registry = Registry::default();
    telemetry.hub.register(&mut registry, identity);
    let tasks = mesh_lifecycle::Tasks::new();
    telemetry.hub.spawn(&tasks);
    drop(telemetry.worker);
    tokio::time::timeout(Duration::from_secs(30), telemetry.hub.shared.collected.cancelled()).await.unwrap();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

const TRAFFIC: &str = "side=\"outbound\",source_namespace=\"shop\",source_workload=\"front\",\
    service_namespace=\"shop\",service=\"cart\",service_port=\"80\",destination_namespace=\"shop\",\
    destination_workload=\"cart-v1\",route=\"httproute/shop/cart#0\",protocol=\"grpc\",security=\"mtls\"";

#[tokio::test]
async fn a_scrape_shows_what_workers_counted() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker.clone().build();
    worker.series(&key(200, None)).record(Duration::from_micros(600), 10, 20);
    worker.series(&key(503, Some(Failure::NoEndpoints))).record(Duration::from_secs(100), 1, 2);
    worker.connection_opened(Direction::Inbound);
    worker.connection_opened(Direction::Inbound);
    worker.connection_closed(Direction::Inbound);
    worker.count(Event::HeadTimeout);
    worker.flush_last(Duration::from_secs(30)).await;
    drop(worker);
    let text = scrape(telemetry, None).await;
    for line in [
        format!("mesh_requests_total{{{TRAFFIC},status=\"200\",grpc_status=\"0\",failure=\"\"}} 1"),
        format!(
            "mesh_requests_total{{{TRAFFIC},status=\"503\",grpc_status=\"0\",failure=\"no_endpoints\"}} 1"
        ),
        format!("mesh_request_bytes_total{{{TRAFFIC}}} 11"),
        format!("mesh_response_bytes_total{{{TRAFFIC}}} 22"),
        format!("mesh_request_duration_seconds_sum{{{TRAFFIC}}} 100.0006"),
        format!("mesh_request_duration_seconds_count{{{TRAFFIC}}} 2"),
        format!("mesh_request_duration_seconds_bucket{{le=\"0.000512\",{TRAFFIC}}} 0"),
        format!("mesh_request_duration_seconds_bucket{{le=\"0.001024\",{TRAFFIC}}} 1"),
        format!("mesh_request_duration_seconds_bucket{{le=\"67.108864\",{TRAFFIC}}} 1"),
        format!("mesh_request_duration_seconds_bucket{{le=\"+Inf\",{TRAFFIC}}} 2"),
        "mesh_connections_total{direction=\"inbound\"} 2".to_owned(),
        "mesh_connections_open{direction=\"inbound\"} 1".to_owned(),
        "mesh_events_total{event=\"head_timeout\"} 1".to_owned(),
        "mesh_events_total{event=\"overload\"} 0".to_owned(),
        "mesh_spans_dropped_total 0".to_owned(),
        "mesh_series_overflow_total 0".to_owned(),
        format!("mesh_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}

/// What a scrape shows of one request with that key, under all names.
async fn scrape_of(key: &SeriesKey, trace: Option<[u8; 16]>) -> String {
    let telemetry = Telemetry::new();
    telemetry.hub.set_names(AlsoAs { istio: true, linkerd: true });
    let worker = telemetry.worker.clone().build();
    let (series, latency) = (worker.series(key), Duration::from_millis(250));
    series.record(latency, 10, 20);
    if let Some(trace) = trace {
        series.traced(latency, &trace, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    }
    worker.flush_last(Duration::from_secs(30)).await;
    drop(worker);
    scrape(telemetry, None).await
}

#[tokio::test]
async fn a_traced_request_is_the_exemplar_of_its_series() {
    let text = scrape_of(&key(200, None), Some([0xab; 16])).await;
    let found = text.lines().find(|line| line.starts_with("mesh_requests_total{")).unwrap();
    let exemplar = format!("# {{trace_id=\"{}\"}} 0.25 1700000000", "ab".repeat(16));
    assert!(found.contains(&exemplar), "{found}");
}

#[tokio::test]
async fn names_of_other_conventions_say_the_same() {
    let http = SeriesKey {
        side: Side::Inbound,
        protocol: AppProtocol::Http,
        grpc_status: None,
        method: KnownMethod::of("GET"),
        ..key(503, Some(Failure::NoEndpoints))
    };
    let tcp = SeriesKey { protocol: AppProtocol::Tcp, status: 0, grpc_status: None, ..key(0, None) };
    let grpc = SeriesKey { grpc_status: Some(14), ..key(200, None) };
    for (of, key) in [("http", http), ("grpc", grpc), ("tcp", tcp)] {
        let text = scrape_of(&key, None).await;
        let ours = ["mesh_", "# ", "http_client_request_duration_seconds_bucket{le=\"0"];
        let buckets = ["0.000512", "1024.0", "67108.864", "67.108864", "+Inf"];
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !ours.iter().any(|ours| line.starts_with(ours)))
            .filter(|line| {
                !line.contains("_bucket") || buckets.iter().any(|le| line.contains(&format!("le=\"{le}\"")))
            })
            .collect();
        insta::assert_snapshot!(format!("other_names_{of}"), lines.join("\n"));
    }
}

#[tokio::test]
async fn without_a_wish_there_are_no_names_of_other_meshes() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker.clone().build();
    worker.series(&key(200, None)).record(Duration::from_millis(1), 1, 1);
    worker.flush_last(Duration::from_secs(30)).await;
    drop(worker);
    let text = scrape(telemetry, None).await;
    assert!(!text.contains("istio_") && !text.contains("response_latency_ms"), "{text}");
    assert!(text.contains("rpc_client_call_duration_seconds_count"), "{text}");
}

#[tokio::test]
async fn a_scrape_shows_when_the_certificate_expires() {
    let identity = TestCa::new("amime.test").identity("shop", "front");
    let expiry = identity.svid().not_after;
    let text = scrape(Telemetry::new(), Some(identity)).await;
    let found =
        text.lines().find(|line| line.starts_with("mesh_certificate_expiry_seconds")).unwrap_or_default();
    assert!(found.ends_with(&format!(" {expiry}")), "{found}");
    assert!(text.contains("mesh_certificate_renewals_total{outcome=\"failed\"} 0"), "{text}");
}

#[test]
fn coarse_buckets_end_where_fine_ones_do() {
    for us in [1u64, 511, 512, 513, 1024, 1025, 5_000, 1 << 26, (1 << 26) + 1] {
        let mut fine = Histogram::default();
        fine.record(us);
        let seconds = us as f64 / 1e6;
        let hit = coarse(&fine, Unit::Seconds)
            .into_iter()
            .find(|(_, count)| *count == 1)
            .map(|(upper, _)| upper)
            .unwrap();
        let expected = coarse(&fine, Unit::Seconds)
            .into_iter()
            .map(|(upper, _)| upper)
            .find(|upper| seconds <= *upper)
            .unwrap();
        assert_eq!(hit.to_bits(), expected.to_bits(), "{us} µs");
    }
}
