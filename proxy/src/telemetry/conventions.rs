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

/// A set of durations.
pub(super) struct Family {
    /// As Prometheus spells it.
    name: &'static str,
    /// As OpenTelemetry does.
    pub(super) otlp: &'static str,
    pub(super) help: &'static str,
    protocol: AppProtocol,
    side: Side,
}

impl Family {
    pub(super) fn has(&self, key: &SeriesKey) -> bool {
        key.protocol == self.protocol && key.side == self.side
    }
}

/// All of them.
pub(super) const FAMILIES: [Family; 4] = [
    Family {
        name: "http_server_request_duration_seconds",
        otlp: "http.server.request.duration",
        help: "Duration of HTTP server requests",
        protocol: AppProtocol::Http,
        side: Side::Inbound,
    },
    Family {
        name: "http_client_request_duration_seconds",
        otlp: "http.client.request.duration",
        help: "Duration of HTTP client requests",
        protocol: AppProtocol::Http,
        side: Side::Outbound,
    },
    Family {
        name: "rpc_server_call_duration_seconds",
        otlp: "rpc.server.call.duration",
        help: "Duration of incoming calls",
        protocol: AppProtocol::Grpc,
        side: Side::Inbound,
    },
    Family {
        name: "rpc_client_call_duration_seconds",
        otlp: "rpc.client.call.duration",
        help: "Duration of outgoing calls",
        protocol: AppProtocol::Grpc,
        side: Side::Outbound,
    },
];

/// Writes the families that have a series.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, totals: &Totals) -> fmt::Result {
    for family in &FAMILIES {
        let shown = totals.conventions.shown(totals.now);
        let mut values: Vec<(Labels<'_>, &SeriesDelta)> =
            shown.filter(|(key, _)| family.has(key)).map(|(key, sum)| (labels(key), sum)).collect();
        if !values.is_empty() {
            durations(encoder, family.name, family.help, Unit::Seconds, values.drain(..))?;
        }
    }
    Ok(())
}

/// What OpenTelemetry calls the attribute that is a label here.
pub(super) fn attribute(label: &'static str) -> &'static str {
    match label {
        "http_request_method" => "http.request.method",
        "http_response_status_code" => "http.response.status_code",
        "url_scheme" => "url.scheme",
        "error_type" => "error.type",
        "server_address" => "server.address",
        "server_port" => "server.port",
        "rpc_system_name" => "rpc.system.name",
        "rpc_response_status_code" => "rpc.response.status_code",
        "source_namespace" => "mesh.source.namespace",
        "source_workload" => "mesh.source.workload",
        "destination_namespace" => "mesh.destination.namespace",
        "destination_workload" => "mesh.destination.workload",
        "mesh_route" => "mesh.route",
        other => other,
    }
}

pub(super) fn labels(key: &SeriesKey) -> Labels<'_> {
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
    labels.push(("error_type", error_type(&Outcome::of(key))));
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
pub(super) fn address(service: &Name) -> String {
    format!("{}.{}", service.name(), service.namespace())
}

pub(super) const fn scheme(security: Security) -> &'static str {
    match security {
        Security::Mtls | Security::Tls => "https",
        Security::Plaintext | Security::None => "http",
    }
}

/// How a request ended.
pub(super) struct Outcome {
    pub(super) side: Side,
    pub(super) protocol: AppProtocol,
    pub(super) status: u16,
    pub(super) grpc_status: Option<u8>,
    pub(super) failure: Option<Failure>,
}

impl Outcome {
    fn of(key: &SeriesKey) -> Self {
        let SeriesKey { side, protocol, status, grpc_status, failure, .. } = *key;
        Self { side, protocol, status, grpc_status, failure }
    }
}

/// What failed: the mesh's code, else the status that counts as an error at that end; empty where nothing did.
pub(super) fn error_type(outcome: &Outcome) -> Cow<'static, str> {
    if let Some(failure) = outcome.failure {
        return Failure::code(failure).into();
    }
    match (outcome.protocol, outcome.side) {
        (AppProtocol::Grpc, side) => match outcome.grpc_status {
            None => outcome.status.to_string().into(),
            Some(0) => "".into(),
            // For a server these are the client's.
            Some(1 | 3 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 16) if side == Side::Inbound => "".into(),
            Some(status) => status_name(status).into(),
        },
        (_, Side::Outbound) if outcome.status >= 400 => outcome.status.to_string().into(),
        (_, Side::Inbound) if outcome.status >= 500 => outcome.status.to_string().into(),
        _ => "".into(),
    }
}

/// The name of a gRPC status; of a number that is none, what gRPC says that clients make of it.
pub(super) const fn status_name(status: u8) -> &'static str {
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
