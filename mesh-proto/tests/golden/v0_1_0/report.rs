//! Values of `mesh.report.v1`.

use mesh_proto::report::v1::{
    Hello, Histogram, Metrics, ProxyReport, ProxyState, Received, ReportCommand, Security, Series, SeriesKey,
    SetTracing, Side, Span, Spans, proxy_report, report_command,
};

use super::{Case, case, text};

fn hello() -> Hello {
    Hello {
        namespace: text("shop"),
        workload: text("cart"),
        instance: text("cart-1"),
        proxy_version: text("0.1.0"),
        ..Hello::default()
    }
}

fn series() -> Series {
    Series {
        key: Some(SeriesKey {
            side: Side::Outbound.into(),
            source_namespace: text("web"),
            source_workload: text("front"),
            service_namespace: text("shop"),
            service: text("cart"),
            service_port: 80,
            destination_namespace: text("shop2"),
            destination_workload: text("cart-v1"),
            route: text("httproute/shop/cart#0"),
            protocol: text("grpc"),
            status: 200,
            grpc_status: Some(0),
            failure: text("connect_failed"),
            security: Security::Mtls.into(),
            ..SeriesKey::default()
        }),
        requests: 5,
        latency_sum_us: 12_345,
        latency: Some(Histogram { indices: vec![80, 96], counts: vec![2, 3], ..Histogram::default() }),
        bytes_in: 1_000,
        bytes_out: 2_000,
        ..Series::default()
    }
}

fn metrics() -> Metrics {
    Metrics { interval_ms: 1_000, series: vec![series()], sequence: 7, ..Metrics::default() }
}

/// One request as one proxy saw it.
pub(super) fn span() -> Span {
    Span {
        trace_id: (0..16).collect(),
        span_id: (16..24).collect(),
        parent_span_id: (24..32).collect(),
        side: Side::Inbound.into(),
        source_namespace: text("web"),
        source_workload: text("front"),
        service_namespace: text("shop"),
        service: text("cart"),
        destination_namespace: text("shop2"),
        destination_workload: text("cart-v1"),
        route: text("grpcroute/shop/cart#add"),
        method: text("POST"),
        path: text("/shop.Cart/Add"),
        status: 503,
        grpc_status: Some(14),
        failure: text("no_endpoints"),
        security: Security::Plaintext.into(),
        start_us: 1_700_000_000_000_000,
        duration_us: 1_234,
        first_byte_us: 1_000,
        ..Span::default()
    }
}

fn spans() -> Spans {
    Spans { spans: vec![span()], dropped: 3, ..Spans::default() }
}

/// A proxy's own state.
pub(super) fn state() -> ProxyState {
    ProxyState {
        spiffe_id: text("spiffe://shop.example/ns/shop/sa/cart"),
        certificate_serial: text("01ab"),
        not_before: 1_700_000_000,
        not_after: 1_700_003_600,
        issuer: text("CN=issuer"),
        bundle_generation: 2,
        renewals: 3,
        renewal_failures: 4,
        open_connections: 5,
        ready: true,
        trusted_roots: vec![text("aa"), text("bb")],
        ..ProxyState::default()
    }
}

pub(super) fn cases() -> Vec<Case> {
    let report = |message| ProxyReport { message: Some(message), ..ProxyReport::default() };
    let command = |command| ReportCommand { command: Some(command), ..ReportCommand::default() };
    let tracing = SetTracing { sample_ppm: 1_000_000, ..SetTracing::default() };
    let received = Received { sequence: 7, ..Received::default() };
    vec![
        case("mesh.report.v1.ProxyReport", report(proxy_report::Message::Hello(hello()))),
        case("mesh.report.v1.ProxyReport-metrics", report(proxy_report::Message::Metrics(metrics()))),
        case("mesh.report.v1.ProxyReport-spans", report(proxy_report::Message::Spans(spans()))),
        case("mesh.report.v1.ProxyReport-state", report(proxy_report::Message::State(state()))),
        case("mesh.report.v1.Hello", hello()),
        case("mesh.report.v1.Metrics", metrics()),
        case("mesh.report.v1.Series", series()),
        case("mesh.report.v1.SeriesKey", series().key.unwrap()),
        case("mesh.report.v1.Histogram", series().latency.unwrap()),
        case("mesh.report.v1.Spans", spans()),
        case("mesh.report.v1.Span", span()),
        case("mesh.report.v1.ProxyState", state()),
        case("mesh.report.v1.ReportCommand", command(report_command::Command::Tracing(tracing))),
        case("mesh.report.v1.ReportCommand-received", command(report_command::Command::Received(received))),
        case("mesh.report.v1.Received", received),
        case("mesh.report.v1.SetTracing", tracing),
    ]
}
