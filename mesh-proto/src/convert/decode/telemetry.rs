//! Where traces, metrics and logs go, from the wire.

use std::sync::Arc;

use mesh_model::settings::{
    OpenTelemetry, OtlpHeader, OtlpHeaderValue, OtlpProtocol, Signals, TailSampling, TraceHeaders,
    TracingSettings,
};

use super::field::{Field, Wrong, all};
use crate::config::v1 as wire;
use crate::convert::bounds;

/// Headers of a later version are not written; where nothing is left it is W3C's.
pub(super) fn tracing(field: &Field<'_>, settings: wire::TracingSettings) -> Result<TracingSettings, Wrong> {
    let wanted = |one| settings.write().any(|wanted| wanted == one);
    let (b3, b3_multi) = (wanted(wire::TraceHeaders::B3), wanted(wire::TraceHeaders::B3Multi));
    let w3c = wanted(wire::TraceHeaders::W3c) || !(b3 || b3_multi);
    let slower_than = field.at("tail_slower_than_ms").limit(Some(settings.tail_slower_than_ms))?;
    Ok(TracingSettings {
        headers: TraceHeaders { w3c, b3, b3_multi },
        tail: TailSampling { failed: settings.tail_failed, slower_than },
    })
}

pub(super) fn open_telemetry(
    field: &Field<'_>,
    settings: wire::OpenTelemetry,
) -> Result<Arc<OpenTelemetry>, Wrong> {
    let protocol = match wire::OtlpProtocol::try_from(settings.protocol) {
        Ok(wire::OtlpProtocol::Grpc) => OtlpProtocol::Grpc,
        Ok(wire::OtlpProtocol::Http) => OtlpProtocol::Http,
        Ok(wire::OtlpProtocol::Unspecified) | Err(_) => {
            return Err(field.at("protocol").unknown(settings.protocol));
        }
    };
    let certificates = settings.ca_certificates;
    if certificates.len() > bounds::PEM {
        let (has, most) = (certificates.len(), bounds::PEM);
        return Err(field.at("ca_certificates").wrong(format!("has {has} bytes, more than {most}")));
    }
    Ok(Arc::new(OpenTelemetry {
        authority: field.at("authority").text(settings.authority)?,
        tls: settings.tls,
        ca: (!certificates.is_empty()).then(|| certificates.into()),
        path: field.at("path").text(settings.path)?,
        protocol,
        signals: Signals { traces: settings.traces, metrics: settings.metrics, logs: settings.logs },
        headers: all(field.at("headers"), bounds::OTLP_HEADERS, settings.headers, header)?,
        interval: field.at("interval_ms").some_time(settings.interval_ms)?,
    }))
}

fn header(field: &Field<'_>, header: wire::OtlpHeader) -> Result<OtlpHeader, Wrong> {
    let value = match header.source {
        Some(wire::otlp_header::Source::Value(text)) => OtlpHeaderValue::Text(field.at("value").text(text)?),
        Some(wire::otlp_header::Source::File(file)) => OtlpHeaderValue::File(field.at("file").text(file)?),
        None => return Err(field.wrong("has no value")),
    };
    Ok(OtlpHeader { name: field.at("name").text(header.name)?, value })
}
