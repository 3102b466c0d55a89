//! Values that several kinds write alike: durations and sizes as text. They must not know what they limit; their texts are read in
//! [`super::lower::scalars`].

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Deserialize as Derive, Serialize};

/// A duration as GEP-2257 writes it, such as `1m30s` or `250ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Derive, Serialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32, "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" })
    }
}

/// A number of days, such as `30d`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Derive, Serialize)]
#[serde(transparent)]
pub struct DaysText(pub String);

impl JsonSchema for DaysText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 4, "pattern": "^[1-9][0-9]{0,2}d$" })
    }
}

/// A number of bytes, such as `65536`, `64Ki` or `10M`: a number or a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Size(pub String);

impl From<&str> for Size {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as 65536 or 64Ki")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes.to_string()))
            }

            fn visit_i64<E>(self, bytes: i64) -> Result<Size, E> {
                Ok(Size(bytes.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Size, E> {
                Ok(Size(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "maxLength": 16,
            "pattern": "^[0-9]+(k|M|G|Ki|Mi|Gi)?$",
        })
    }
}
