//! A record for a collector of OpenTelemetry's. Texts of callers are values of attributes there and need no escape, only a bound. It must not know
//! how records travel.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use mesh_model::access_log::{AccessLog, HeaderOf, LogField};

use super::super::otlp::{LogRecord, Severity, Value as Attribute};
use super::facts::{AccessRecord, MAX_SHOWN, Value};

/// What kind of record it is.
const EVENT: &str = "mesh.access";
/// Bytes that values of headers may take together, and each.
const MAX_OF_HEADERS: usize = 1_792;
const MAX_OF_HEADER: usize = 256;

/// All that a line of JSON tells.
pub(super) fn record(record: &AccessRecord<'_>, settings: &AccessLog) -> LogRecord {
    let fields = LogField::ALL.into_iter().filter(|field| !field.attribute().is_empty());
    let mut attributes: Vec<(Cow<'static, str>, Attribute)> = fields
        .filter_map(|field| Some((field.attribute().into(), attribute(&record.value(field))?)))
        .collect();
    let mut room = MAX_OF_HEADERS;
    for (kind, of, names) in [
        ("request", HeaderOf::Request, &settings.request_headers),
        ("response", HeaderOf::Response, &settings.response_headers),
    ] {
        for name in names {
            let values: Vec<_> = record.header(of, name).map(String::from_utf8_lossy).collect();
            if !values.is_empty() {
                let text = cut(&values.join(", "), MAX_OF_HEADER.min(room)).to_owned();
                room -= text.len();
                attributes.push((format!("http.{kind}.header.{name}").into(), Attribute::Text(text.into())));
            }
        }
    }
    LogRecord {
        at: record.start,
        severity: if record.has_failed() {
            Severity::Error
        } else if record.went_well() {
            Severity::Info
        } else {
            Severity::Warn
        },
        event: EVENT,
        body: body(record),
        attributes,
        trace: record.trace.map(|(trace, span)| (*trace, *span)),
        sampled: record.sampled,
    }
}

/// For people: what was asked of whom, and what came of it.
fn body(record: &AccessRecord<'_>) -> String {
    let mut body = String::new();
    for field in [LogField::Method, LogField::Path, LogField::Sni, LogField::Status, LogField::Failure] {
        let value = match record.value(field) {
            Value::Absent | Value::Time(_) | Value::Hex(_) | Value::Millis(_) => continue,
            Value::Text(text, limit) => Cow::Borrowed(cut(text, limit)),
            Value::Shown(what) => what.to_string().into(),
            Value::Number(number) => number.to_string().into(),
        };
        let blank = if body.is_empty() { "" } else { " " };
        // A string takes everything.
        let _ = write!(body, "{blank}{value}");
    }
    if body.is_empty() { "connection".to_owned() } else { body }
}

fn attribute(value: &Value<'_>) -> Option<Attribute> {
    Some(match value {
        Value::Absent | Value::Time(_) | Value::Hex(_) => return None,
        Value::Text(text, limit) => Attribute::Text(cut(text, *limit).to_owned().into()),
        Value::Shown(what) => {
            let mut text = what.to_string();
            text.truncate(text.floor_char_boundary(MAX_SHOWN));
            Attribute::Text(text.into())
        }
        Value::Number(number) => Attribute::Int(i64::try_from(*number).unwrap_or(i64::MAX)),
        Value::Millis(time) => Attribute::Double(Duration::as_secs_f64(time) * 1e3),
    })
}

fn cut(text: &str, limit: usize) -> &str {
    text.split_at(text.floor_char_boundary(limit)).0
}
