//! From our records to `mesh.report.v1`. It must not know streams.

use mesh_model::name::Name;
use mesh_proto::report::v1 as wire;

use super::histogram::Histogram;
use super::worker::SeriesDelta;
use super::{Failure, Security, SeriesKey, Side, SpanRecord};

pub(super) fn series(key: &SeriesKey, delta: &SeriesDelta) -> wire::Series {
    wire::Series {
        key: Some(self::key(key)),
        requests: delta.requests,
        latency_sum_us: delta.latency_sum_us,
        latency: Some(histogram(&delta.latency)),
        bytes_in: delta.bytes_in,
        bytes_out: delta.bytes_out,
    }
}

fn histogram(latency: &Histogram) -> wire::Histogram {
    let (indices, counts) =
        latency.iter().map(|(index, count)| (u32::try_from(index).unwrap_or(u32::MAX), count)).unzip();
    wire::Histogram { indices, counts }
}

fn key(key: &SeriesKey) -> wire::SeriesKey {
    let (source_namespace, source_workload) = name(key.source.as_ref().map(|w| &w.0));
    let (service_namespace, service) = name(key.service.as_ref().map(|(s, _)| &s.0));
    let (destination_namespace, destination_workload) = name(key.destination.as_ref().map(|w| &w.0));
    wire::SeriesKey {
        side: side(key.side).into(),
        source_namespace,
        source_workload,
        service_namespace,
        service,
        service_port: key.service.as_ref().map_or(0, |(_, port)| u32::from(*port)),
        destination_namespace,
        destination_workload,
        route: key.route.as_deref().unwrap_or_default().to_owned(),
        protocol: key.protocol.label().to_owned(),
        status: u32::from(key.status),
        grpc_status: key.grpc_status.map(u32::from),
        failure: failure(key.failure),
        security: security(key.security).into(),
    }
}

pub(super) fn span(span: SpanRecord) -> wire::Span {
    let (source_namespace, source_workload) = name(span.source.as_ref().map(|w| &w.0));
    let (service_namespace, service) = name(span.service.as_ref().map(|s| &s.0));
    let (destination_namespace, destination_workload) = name(span.destination.as_ref().map(|w| &w.0));
    let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    wire::Span {
        trace_id: span.trace_id.to_vec().into(),
        span_id: span.span_id.to_vec().into(),
        parent_span_id: span.parent_id.map(|id| id.to_vec()).unwrap_or_default().into(),
        side: side(span.side).into(),
        source_namespace,
        source_workload,
        service_namespace,
        service,
        destination_namespace,
        destination_workload,
        route: span.route.as_deref().unwrap_or_default().to_owned(),
        method: span.method,
        path: span.path,
        status: u32::from(span.status),
        grpc_status: span.grpc_status.map(u32::from),
        failure: failure(span.failure),
        security: security(span.security).into(),
        start_us: span.start.duration_since(std::time::UNIX_EPOCH).map_or(0, us),
        duration_us: us(span.duration),
        // 0 says that there was none.
        first_byte_us: span.first_byte.map_or(0, |d| us(d).max(1)),
        ..wire::Span::default()
    }
}

fn name(name: Option<&Name>) -> (String, String) {
    name.map_or_else(Default::default, |name| (name.namespace().to_owned(), name.name().to_owned()))
}

fn side(side: Side) -> wire::Side {
    match side {
        Side::Outbound => wire::Side::Outbound,
        Side::Inbound => wire::Side::Inbound,
    }
}

fn security(security: Security) -> wire::Security {
    match security {
        Security::Mtls => wire::Security::Mtls,
        Security::Tls => wire::Security::Tls,
        Security::Plaintext => wire::Security::Plaintext,
        Security::None => wire::Security::Unspecified,
    }
}

fn failure(failure: Option<Failure>) -> String {
    failure.map_or_else(String::new, |failure| failure.code().to_owned())
}
