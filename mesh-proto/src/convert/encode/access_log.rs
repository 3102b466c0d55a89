//! The access log's settings to the wire.

use mesh_model::access_log::{AccessLog, LogFormat, LogOverride, LogSink};

use crate::config::v1 as wire;

pub(super) fn access_log(log: &AccessLog) -> wire::AccessLog {
    let (format, template) = match &log.format {
        LogFormat::Json => (wire::AccessLogFormat::Json, String::new()),
        LogFormat::Text(template) => (wire::AccessLogFormat::Text, template.text().to_owned()),
    };
    let (sink, path) = match &log.sink {
        LogSink::Stdout => (wire::AccessLogSink::Stdout, String::new()),
        LogSink::Stderr => (wire::AccessLogSink::Stderr, String::new()),
        LogSink::File(path) => (wire::AccessLogSink::File, path.clone()),
        LogSink::Otlp => (wire::AccessLogSink::Otlp, String::new()),
    };
    wire::AccessLog {
        format: format.into(),
        template,
        sink: sink.into(),
        path,
        filter: log.filter.as_ref().map(|filter| filter.text().to_owned()).unwrap_or_default(),
        request_headers: log.request_headers.clone(),
        response_headers: log.response_headers.clone(),
        success_ppm: log.success_ppm,
    }
}

pub(super) fn over(one: &LogOverride) -> wire::AccessLogOverride {
    wire::AccessLogOverride {
        namespaces: one.namespaces.clone(),
        workloads: one.workloads.clone(),
        enabled: one.log.is_some(),
        settings: one.log.as_ref().map(access_log),
    }
}
