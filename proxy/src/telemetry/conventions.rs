//! Traffic under the names of OpenTelemetry's semantic conventions for HTTP and RPC, as Prometheus spells them. It must not know how the
//! sums came about.
//!
//! What differs from an application's own: `http.route` and `rpc.method` come from clients where there is no framework, so the rule that a
//! request took stands in `mesh_route`; and there are the workloads at both ends.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/> and <https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/>.

use std::borrow::Cow;
use std::fmt;

use mesh_model::name::Name;
use prometheus_client::encoding::DescriptorEncoder;

use super::families::{Unit, durations};
use super::totals::Totals;
use super::worker::SeriesDelta;
use super::{AppProtocol, Failure, Security, SeriesKey, Side};

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// What each family is called and holds.
const FAMILIES: [(&str, &str, AppProtocol, Side); 4] = [
    (
        "http_server_request_duration_seconds",
        "Duration of HTTP server requests",
        AppProtocol::Http,
        Side::Inbound,
    ),
    (
        "http_client_request_duration_seconds",
        "Duration of HTTP client requests",
        AppProtocol::Http,
        Side::Outbound,
    ),
    ("rpc_server_call_duration_seconds", "Duration of incoming calls", AppProtocol::Grpc, Side::Inbound),
    ("rpc_client_call_duration_seconds", "Duration of outgoing calls", AppProtocol::Grpc, Side::Outbound),
];

/// Writes the families that have a series.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    for (name, help, protocol, side) in FAMILIES {
        let shown = totals.conventions.shown(totals.now);
        let mut values: Vec<(Labels<'_>, &SeriesDelta)> = shown
            .filter(|(key, _)| key.protocol == protocol && key.side == side)
            .map(|(key, sum)| (labels(key), sum))
            .collect();
        if !values.is_empty() {
            durations(encoder, name, help, Unit::Seconds, values.drain(..))?;
        }
    }
    Ok(())
}

fn labels(key: &SeriesKey) -> Labels<'_> {
    let mut labels = match key.protocol {
        AppProtocol::Grpc => vec![
            ("rpc_system_name", "grpc".into()),
            ("rpc_response_status_code", key.grpc_status.map_or("", status_name).into()),
        ],
        AppProtocol::Http | AppProtocol::Tcp => vec![
            ("http_request_method", key.method.label().into()),
            ("http_response_status_code", key.status.to_string().into()),
            ("url_scheme", scheme(key.security).into()),
        ],
    };
    let service = key.service.as_ref();
    labels.push(("error_type", error_type(key)));
    labels.push(("server_address", service.map_or_else(String::new, |(name, _)| address(&name.0)).into()));
    labels.push(("server_port", service.map_or_else(String::new, |(_, port)| port.to_string()).into()));
    for (namespace, name, who) in [
        ("source_namespace", "source_workload", &key.source),
        ("destination_namespace", "destination_workload", &key.destination),
    ] {
        labels.push((namespace, who.as_ref().map_or("", |workload| workload.0.namespace()).into()));
        labels.push((name, who.as_ref().map_or("", |workload| workload.0.name()).into()));
    }
    labels.push(("mesh_route", key.route.as_deref().unwrap_or_default().into()));
    labels
}

/// As clients in other namespaces call it.
fn address(service: &Name) -> String {
    format!("{}.{}", service.name(), service.namespace())
}

const fn scheme(security: Security) -> &'static str {
    match security {
        Security::Mtls | Security::Tls => "https",
        Security::Plaintext | Security::None => "http",
    }
}

/// What failed: the mesh's code, else the status that counts as an error at that end; empty where nothing did.
fn error_type(key: &SeriesKey) -> Cow<'static, str> {
    if let Some(failure) = key.failure {
        return Failure::code(failure).into();
    }
    match (key.protocol, key.side) {
        (AppProtocol::Grpc, side) => match key.grpc_status {
            None => key.status.to_string().into(),
            Some(0) => "".into(),
            // For a server these are the client's.
            Some(1 | 3 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 16) if side == Side::Inbound => "".into(),
            Some(status) => status_name(status).into(),
        },
        (_, Side::Outbound) if key.status >= 400 => key.status.to_string().into(),
        (_, Side::Inbound) if key.status >= 500 => key.status.to_string().into(),
        _ => "".into(),
    }
}

/// The name of a gRPC status; of a number that is none, what gRPC says that clients make of it.
const fn status_name(status: u8) -> &'static str {
    match status {
        0 => "OK",
        1 => "CANCELLED",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    }
}
