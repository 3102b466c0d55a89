//! Finished records of logs, and OTLP's message of them. It must not know what is logged.

use std::borrow::Cow;
use std::time::SystemTime;

use mesh_proto::otlp::v1::{
    AnyValue, ExportLogs, KeyValue, LogRecord as Wire, ResourceLogs, ScopeLogs, any_value,
};
use prost::Message as _;

use super::value::{nanos, scope};
use super::{Resource, Value};

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    /// It failed.
    Error,
}

/// A finished record, at most 8 KiB of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// When it happened.
    pub at: SystemTime,
    /// How grave it is.
    pub severity: Severity,
    /// What kind of record it is; the same for all of a kind.
    pub event: &'static str,
    /// For people.
    pub body: String,
    /// What is known of it.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    /// Trace and span that it belongs to.
    pub trace: Option<([u8; 16], [u8; 8])>,
    /// Whether that trace is told.
    pub sampled: bool,
}

pub(super) fn message(records: Vec<LogRecord>, resource: &Resource) -> Vec<u8> {
    let observed = nanos(SystemTime::now());
    let log_records = records.into_iter().map(|record| wire(record, observed)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records }];
    let all = ResourceLogs { resource: Some(resource.message()), scope_logs, schema_url: String::new() };
    ExportLogs { resource_logs: vec![all] }.encode_to_vec()
}

fn wire(record: LogRecord, observed: u64) -> Wire {
    let (severity_number, severity_text) = match record.severity {
        Severity::Info => (9, "INFO"),
        Severity::Warn => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let attribute = |(key, value): (Cow<'static, str>, Value)| KeyValue {
        key: key.into_owned(),
        value: Some(value.into()),
    };
    let (trace_id, span_id) =
        record.trace.map(|(trace, span)| (trace.to_vec(), span.to_vec())).unwrap_or_default();
    Wire {
        time_unix_nano: nanos(record.at),
        observed_time_unix_nano: observed,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(record.body)) }),
        attributes: record.attributes.into_iter().map(attribute).collect(),
        flags: u32::from(record.sampled),
        trace_id,
        span_id,
        event_name: record.event.to_owned(),
    }
}
