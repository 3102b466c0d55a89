//! Where traces, metrics and logs go, to the wire.

use mesh_model::settings::{
    OpenTelemetry, OtlpHeader, OtlpHeaderValue, OtlpProtocol, TailSampling, TraceHeaders, TracingSettings,
};

use super::millis;
use crate::config::v1 as wire;

/// Nothing where nothing is asked for: the version of such a resource stays what it was.
pub(super) fn tracing(settings: TracingSettings) -> Option<wire::TracingSettings> {
    if settings == TracingSettings::default() {
        return None;
    }
    let TracingSettings { headers, tail: TailSampling { failed, slower_than } } = settings;
    let TraceHeaders { w3c, b3, b3_multi } = headers;
    let write = [
        (w3c, wire::TraceHeaders::W3c),
        (b3, wire::TraceHeaders::B3),
        (b3_multi, wire::TraceHeaders::B3Multi),
    ];
    Some(wire::TracingSettings {
        write: write.into_iter().filter(|(wanted, _)| *wanted).map(|(_, one)| one.into()).collect(),
        tail_failed: failed,
        tail_slower_than_ms: slower_than.map(millis).unwrap_or_default(),
    })
}

pub(super) fn open_telemetry(settings: &OpenTelemetry) -> wire::OpenTelemetry {
    let protocol = match settings.protocol {
        OtlpProtocol::Grpc => wire::OtlpProtocol::Grpc,
        OtlpProtocol::Http => wire::OtlpProtocol::Http,
    };
    wire::OpenTelemetry {
        authority: settings.authority.clone(),
        tls: settings.tls,
        path: settings.path.clone(),
        protocol: protocol.into(),
        traces: settings.signals.traces,
        metrics: settings.signals.metrics,
        logs: settings.signals.logs,
        headers: settings.headers.iter().map(header).collect(),
        interval_ms: millis(settings.interval),
        ca_certificates: settings.ca.as_deref().unwrap_or_default().to_owned(),
    }
}

fn header(header: &OtlpHeader) -> wire::OtlpHeader {
    let source = match &header.value {
        OtlpHeaderValue::Text(text) => wire::otlp_header::Source::Value(text.clone()),
        OtlpHeaderValue::File(file) => wire::otlp_header::Source::File(file.clone()),
    };
    wire::OtlpHeader { name: header.name.clone(), source: Some(source) }
}
