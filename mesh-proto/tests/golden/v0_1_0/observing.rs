//! Values of what `mesh.report.v1` and `mesh.inspect.v1` say of taps, edges, failures and protocols.

#![allow(clippy::too_many_lines, reason = "a list of values")]

use mesh_proto::config::v1 as config;
use mesh_proto::inspect::v1 as inspect;
use mesh_proto::report::v1 as report;

use super::{Case, case, text};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "mesh.config.v1.MetricSettings",
            config::MetricSettings { istio: true, linkerd: true, ..config::MetricSettings::default() },
        ),
        case(
            "mesh.config.v1.TracingSettings",
            config::TracingSettings {
                write: vec![config::TraceHeaders::W3c.into(), config::TraceHeaders::B3Multi.into()],
                tail_failed: true,
                tail_slower_than_ms: 500,
                ..config::TracingSettings::default()
            },
        ),
        case("mesh.config.v1.OpenTelemetry", open_telemetry()),
        case("mesh.config.v1.OtlpHeader", open_telemetry().headers.remove(0)),
        case("mesh.config.v1.OtlpHeader-file", open_telemetry().headers.remove(1)),
        case(
            "mesh.inspect.v1.Dropping",
            inspect::Dropping {
                namespace: "t4".to_owned(),
                workload: "t5".to_owned(),
                calls: 6,
                example: "t7".to_owned(),
                trace_id: vec![8, 2, 3],
                ..inspect::Dropping::default()
            },
        ),
        case(
            "mesh.inspect.v1.Edge",
            inspect::Edge {
                source_namespace: "t9".to_owned(),
                source_workload: "t10".to_owned(),
                destination_namespace: "t11".to_owned(),
                destination_workload: "t12".to_owned(),
                service_namespace: "t13".to_owned(),
                service: "t14".to_owned(),
                security: 1,
                unsecured: 1,
                reason: "t17".to_owned(),
                requests: 18,
                failures: 19,
                rps: 20.5,
                p50_ms: 21.5,
                p99_ms: 22.5,
                bytes_in: 23,
                bytes_out: 24,
                ..inspect::Edge::default()
            },
        ),
        case(
            "mesh.inspect.v1.EdgesRequest",
            inspect::EdgesRequest {
                window_seconds: 25,
                namespace: "t26".to_owned(),
                from: "t27".to_owned(),
                to: "t28".to_owned(),
                ..inspect::EdgesRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.EdgesResponse",
            inspect::EdgesResponse {
                window_seconds: 29,
                edges: vec![inspect::Edge {
                    source_namespace: "t31".to_owned(),
                    source_workload: "t32".to_owned(),
                    destination_namespace: "t33".to_owned(),
                    destination_workload: "t34".to_owned(),
                    service_namespace: "t35".to_owned(),
                    service: "t36".to_owned(),
                    security: 1,
                    unsecured: 1,
                    reason: "t39".to_owned(),
                    requests: 40,
                    failures: 41,
                    rps: 42.5,
                    p50_ms: 43.5,
                    p99_ms: 44.5,
                    bytes_in: 45,
                    bytes_out: 46,
                    ..inspect::Edge::default()
                }],
                unanswered: vec!["t47".to_owned()],
                ..inspect::EdgesResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.FailureRow",
            inspect::FailureRow {
                key: Some(report::SeriesKey::default()),
                count: 49,
                first_ms: 50,
                example: Some(report::Example {
                    key: Some(report::SeriesKey::default()),
                    time_ms: 53,
                    method: "t54".to_owned(),
                    path: "t55".to_owned(),
                    detail: "t56".to_owned(),
                    trace_id: vec![57, 2, 3],
                    endpoint: "t58".to_owned(),
                    duration_us: 59,
                    count: 60,
                    ..report::Example::default()
                }),
                instance: "t61".to_owned(),
                requests: 62,
                ..inspect::FailureRow::default()
            },
        ),
        case(
            "mesh.inspect.v1.FailuresRequest",
            inspect::FailuresRequest {
                window_seconds: 63,
                namespace: "t64".to_owned(),
                from: "t65".to_owned(),
                to: "t66".to_owned(),
                about: "t67".to_owned(),
                local_only: true,
                ..inspect::FailuresRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.FailuresResponse",
            inspect::FailuresResponse {
                window_seconds: 69,
                rows: vec![inspect::FailureRow {
                    key: Some(report::SeriesKey::default()),
                    count: 72,
                    first_ms: 73,
                    example: Some(report::Example::default()),
                    instance: "t75".to_owned(),
                    requests: 76,
                    ..inspect::FailureRow::default()
                }],
                unanswered: vec!["t77".to_owned()],
                ..inspect::FailuresResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.Point",
            inspect::Point {
                time: 78,
                requests: 79,
                failures: 80,
                p50_ms: 81.5,
                p99_ms: 82.5,
                ..inspect::Point::default()
            },
        ),
        case(
            "mesh.inspect.v1.PortProtocol",
            inspect::PortProtocol {
                namespace: "t83".to_owned(),
                service: "t84".to_owned(),
                port: 85,
                declared: "t86".to_owned(),
                seen: vec![inspect::SeenProtocol {
                    protocol: "t88".to_owned(),
                    requests: 89,
                    ..inspect::SeenProtocol::default()
                }],
                mismatch: "t90".to_owned(),
                ..inspect::PortProtocol::default()
            },
        ),
        case(
            "mesh.inspect.v1.ProtocolsRequest",
            inspect::ProtocolsRequest {
                namespace: "t91".to_owned(),
                service: "t92".to_owned(),
                ..inspect::ProtocolsRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.ProtocolsResponse",
            inspect::ProtocolsResponse {
                ports: vec![inspect::PortProtocol {
                    namespace: "t94".to_owned(),
                    service: "t95".to_owned(),
                    port: 96,
                    declared: "t97".to_owned(),
                    seen: vec![inspect::SeenProtocol::default()],
                    mismatch: "t99".to_owned(),
                    ..inspect::PortProtocol::default()
                }],
                unanswered: vec!["t100".to_owned()],
                ..inspect::ProtocolsResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.Reporter",
            inspect::Reporter {
                namespace: "t1".to_owned(),
                workload: "t2".to_owned(),
                service_account: "t3".to_owned(),
                ..inspect::Reporter::default()
            },
        ),
        case(
            "mesh.inspect.v1.SeenProtocol",
            inspect::SeenProtocol {
                protocol: "t4".to_owned(),
                requests: 5,
                ..inspect::SeenProtocol::default()
            },
        ),
        case("mesh.inspect.v1.DashboardRequest", inspect::DashboardRequest::default()),
        case(
            "mesh.inspect.v1.DashboardResponse",
            inspect::DashboardResponse {
                address: "127.0.0.1:15080".into(),
                ticket: "t".into(),
                ticket_seconds: 60,
                ..inspect::DashboardResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.SpansRequest",
            inspect::SpansRequest { sample_ppm: 6, ..inspect::SpansRequest::default() },
        ),
        case(
            "mesh.inspect.v1.SpansResponse",
            inspect::SpansResponse {
                spans: vec![report::Span::default()],
                ..inspect::SpansResponse::default()
            },
        ),
        case(
            "mesh.inspect.v1.TapRequest",
            inspect::TapRequest {
                filter: Some(report::TapFilter {
                    side: 1,
                    source: "t10".to_owned(),
                    destination: "t11".to_owned(),
                    method: "t12".to_owned(),
                    path_prefix: "t13".to_owned(),
                    status: 14,
                    header_name: "t15".to_owned(),
                    header_value: "t16".to_owned(),
                    failed_only: true,
                    failure: "t18".to_owned(),
                    namespace: "t19".to_owned(),
                    ..report::TapFilter::default()
                }),
                max_rps: 20,
                duration_seconds: 21,
                headers: true,
                limit: 23,
                local_only: true,
                ..inspect::TapRequest::default()
            },
        ),
        case(
            "mesh.inspect.v1.TapResponse",
            inspect::TapResponse {
                span: Some(report::Span::default()),
                headers: vec![report::Header {
                    name: "t27".to_owned(),
                    value: "t28".to_owned(),
                    redacted: true,
                    ..report::Header::default()
                }],
                dropped: 30,
                ..inspect::TapResponse::default()
            },
        ),
        case(
            "mesh.report.v1.Attempt",
            report::Attempt {
                endpoint: "t31".to_owned(),
                workload: "t32".to_owned(),
                start_us: 33,
                duration_us: 34,
                status: 35,
                failure: "t36".to_owned(),
                connect_us: 37,
                tls_us: 38,
                hedged: true,
                ..report::Attempt::default()
            },
        ),
        case(
            "mesh.report.v1.Example",
            report::Example {
                key: Some(report::SeriesKey::default()),
                time_ms: 41,
                method: "t42".to_owned(),
                path: "t43".to_owned(),
                detail: "t44".to_owned(),
                trace_id: vec![45, 2, 3],
                endpoint: "t46".to_owned(),
                duration_us: 47,
                count: 48,
                ..report::Example::default()
            },
        ),
        case(
            "mesh.report.v1.Examples",
            report::Examples {
                examples: vec![report::Example {
                    key: Some(report::SeriesKey::default()),
                    time_ms: 51,
                    method: "t52".to_owned(),
                    path: "t53".to_owned(),
                    detail: "t54".to_owned(),
                    trace_id: vec![55, 2, 3],
                    endpoint: "t56".to_owned(),
                    duration_us: 57,
                    count: 58,
                    ..report::Example::default()
                }],
                dropped: 59,
                ..report::Examples::default()
            },
        ),
        case(
            "mesh.report.v1.Header",
            report::Header {
                name: "t60".to_owned(),
                value: "t61".to_owned(),
                redacted: true,
                ..report::Header::default()
            },
        ),
        case(
            "mesh.report.v1.SetTaps",
            report::SetTaps {
                taps: vec![report::Tap {
                    id: 64,
                    filter: Some(report::TapFilter::default()),
                    max_rps: 66,
                    duration_ms: 67,
                    headers: true,
                    ..report::Tap::default()
                }],
                ..report::SetTaps::default()
            },
        ),
        case(
            "mesh.report.v1.Tap",
            report::Tap {
                id: 69,
                filter: Some(report::TapFilter {
                    side: 1,
                    source: "t72".to_owned(),
                    destination: "t73".to_owned(),
                    method: "t74".to_owned(),
                    path_prefix: "t75".to_owned(),
                    status: 76,
                    header_name: "t77".to_owned(),
                    header_value: "t78".to_owned(),
                    failed_only: true,
                    failure: "t80".to_owned(),
                    namespace: "t81".to_owned(),
                    ..report::TapFilter::default()
                }),
                max_rps: 82,
                duration_ms: 83,
                headers: true,
                ..report::Tap::default()
            },
        ),
        case(
            "mesh.report.v1.TapDropped",
            report::TapDropped { tap: 85, events: 86, ..report::TapDropped::default() },
        ),
        case(
            "mesh.report.v1.TapEvent",
            report::TapEvent {
                taps: vec![87],
                span: Some(report::Span::default()),
                headers: vec![report::Header {
                    name: "t90".to_owned(),
                    value: "t91".to_owned(),
                    redacted: true,
                    ..report::Header::default()
                }],
                ..report::TapEvent::default()
            },
        ),
        case(
            "mesh.report.v1.TapFilter",
            report::TapFilter {
                side: 1,
                source: "t94".to_owned(),
                destination: "t95".to_owned(),
                method: "t96".to_owned(),
                path_prefix: "t97".to_owned(),
                status: 98,
                header_name: "t99".to_owned(),
                header_value: "t100".to_owned(),
                failed_only: true,
                failure: "t2".to_owned(),
                namespace: "t3".to_owned(),
                ..report::TapFilter::default()
            },
        ),
        case(
            "mesh.report.v1.Tapped",
            report::Tapped {
                events: vec![report::TapEvent {
                    taps: vec![5],
                    span: Some(report::Span::default()),
                    headers: vec![report::Header::default()],
                    ..report::TapEvent::default()
                }],
                dropped: vec![report::TapDropped { tap: 9, events: 10, ..report::TapDropped::default() }],
                ..report::Tapped::default()
            },
        ),
        case(
            "mesh.report.v1.Timings",
            report::Timings {
                discover_us: 11,
                queue_us: 12,
                check_us: 13,
                connect_us: 14,
                tls_us: 15,
                upstream_us: 16,
                retry_us: 17,
                fault_us: 18,
                ..report::Timings::default()
            },
        ),
    ]
}

fn open_telemetry() -> config::OpenTelemetry {
    let header = |name, source| config::OtlpHeader {
        name: text(name),
        source: Some(source),
        ..config::OtlpHeader::default()
    };
    config::OpenTelemetry {
        authority: text("collector.example:4318"),
        tls: true,
        path: text("/otlp"),
        protocol: config::OtlpProtocol::Http.into(),
        traces: true,
        metrics: true,
        logs: true,
        headers: vec![
            header("x-tenant", config::otlp_header::Source::Value(text("shop"))),
            header("authorization", config::otlp_header::Source::File(text("token"))),
        ],
        interval_ms: 10_000,
        ca_certificates: text("-----BEGIN CERTIFICATE-----"),
        ..config::OpenTelemetry::default()
    }
}
