//! Values of attributes, and attributes as OTLP has them. It must not know which there are.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_proto::otlp::v1::{AnyValue, KeyValue, Scope, any_value};

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Int(i64),
    /// Another number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

impl From<Value> for AnyValue {
    fn from(value: Value) -> Self {
        let value = match value {
            Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
            Value::Int(number) => any_value::Value::IntValue(number),
            Value::Double(number) => any_value::Value::DoubleValue(number),
            Value::Bool(yes) => any_value::Value::BoolValue(yes),
        };
        Self { value: Some(value) }
    }
}

/// Attributes in the making; empty texts are left out.
#[derive(Debug, Default)]
pub(super) struct Attributes(pub(super) Vec<KeyValue>);

impl Attributes {
    pub(super) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, any_value::Value::StringValue(text.to_owned()));
        }
    }

    pub(super) fn int(&mut self, key: &str, number: impl TryInto<i64>) {
        self.put(key, any_value::Value::IntValue(number.try_into().unwrap_or(i64::MAX)));
    }

    /// Milliseconds, where there are any.
    pub(super) fn millis(&mut self, key: &str, time: Duration) {
        if !time.is_zero() {
            self.put(key, any_value::Value::DoubleValue(time.as_secs_f64() * 1e3));
        }
    }

    pub(super) fn yes(&mut self, key: &str) {
        self.put(key, any_value::Value::BoolValue(true));
    }

    fn put(&mut self, key: &str, value: any_value::Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) });
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Who measured.
pub(super) fn scope() -> Scope {
    Scope { name: "amime".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
