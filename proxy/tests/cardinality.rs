//! What clients choose never becomes a series, and what configuration may name without end stays in a budget (T30 of the research on
//! security): a program of its own, so that the memory it measures is nobody else's.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says plainly what it expects, and what it measured"
)]

use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_proxy::telemetry::{
    AlsoAs, AppProtocol, Direction, KnownMethod, Security, SeenIn, SeriesKey, Side, Telemetry,
};
use prometheus_client::registry::Registry;

const MANY: u32 = 100_000;
/// What the memory of the process may grow by, bytes.
const MEMORY: u64 = 20 * 1024 * 1024;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

fn key(n: u32) -> SeriesKey {
    SeriesKey {
        side: if n.is_multiple_of(2) { Side::Outbound } else { Side::Inbound },
        source: WorkloadName::new("shop", &format!("caller-{}", n % 300)).ok(),
        service: ServiceName::new("shop", &format!("service-{}", n / 300)).ok().map(|name| (name, 80)),
        destination: None,
        route: Some("httproute/shop/all#0".into()),
        protocol: AppProtocol::Http,
        method: KnownMethod::of(&format!("METHOD{n}")),
        status: 200,
        grpc_status: None,
        failure: None,
        security: Security::Mtls,
    }
}

#[tokio::test]
async fn a_hundred_thousand_of_everything_stay_in_the_budget() {
    let telemetry = Telemetry::new();
    telemetry.hub.set_names(AlsoAs { istio: true, linkerd: true });
    let mut registry = Registry::default();
    telemetry.hub.register(&mut registry, None);
    let tasks = Tasks::new();
    telemetry.hub.spawn(&tasks);
    let worker = telemetry.worker.clone().build();
    drop(telemetry.worker);
    let before = resident();
    for n in 0..MANY {
        worker.series(&key(n)).record(Duration::from_micros(u64::from(n)), 1, 1);
        // The only names of clients that are shown: of connections that leave the mesh.
        worker.outside(SeenIn::Sni, &format!("host-{n}.example"), 1, 1);
        worker.connection_opened(Direction::Inbound);
        if n % 1_000 == 999 {
            worker.flush_last(Duration::from_mins(1)).await;
        }
    }
    drop(worker);
    // The hub ends when the last worker has.
    tasks.shutdown(Duration::from_mins(1)).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let grown = resident().saturating_sub(before);
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    println!("{samples} samples, {} KiB of text, {} KiB more memory", text.len() / 1024, grown / 1024);

    let count = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    let value = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    for (name, most) in [
        ("mesh_requests_total{", 2_000 + 8),
        ("mesh_request_duration_seconds_count{", 300 + 8),
        ("http_server_request_duration_seconds_count{", 300 + 8),
        ("http_client_request_duration_seconds_count{", 300 + 8),
        ("istio_requests_total{", 300 + 8),
        ("response_total{", 300 + 8),
        ("mesh_outside_connections_total{", 100 + 1),
    ] {
        let found = count(name);
        assert!(found > 0 && found <= most, "{name} has {found} series of {most}");
    }
    let all = u64::from(MANY);
    for name in ["mesh_requests_total{", "mesh_request_duration_seconds_count{", "istio_requests_total{"] {
        assert_eq!(value(name), all, "{name}: nothing is lost");
    }
    assert!(value("mesh_series_overflow_total") > 0);
    assert!(grown <= MEMORY, "{grown} bytes more");
}
