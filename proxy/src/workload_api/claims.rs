//! Claims of a token as `google.protobuf.Struct`. It must not know what they mean.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Value as Json};

/// All claims. JSON that was parsed is never deeper than its parser allows.
pub(super) fn to_struct(claims: &Map<String, Json>) -> Struct {
    Struct { fields: claims.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

fn to_value(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        // Protobuf has doubles alone here: beyond 2^53 a number is the nearest one.
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(to_value).collect() }),
        Json::Object(fields) => Kind::StructValue(to_struct(fields)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_claim_has_its_place() {
        let claims =
            json!({"sub": "a", "exp": 17, "on": true, "none": null, "aud": ["x"], "deep": {"er": 1.5}});
        let fields = to_struct(claims.as_object().unwrap()).fields;
        let kind = |name: &str| fields[name].kind.clone().unwrap();
        assert_eq!(kind("sub"), Kind::StringValue("a".into()));
        assert_eq!(kind("exp"), Kind::NumberValue(17.0));
        assert_eq!(kind("on"), Kind::BoolValue(true));
        assert_eq!(kind("none"), Kind::NullValue(0));
        assert!(matches!(kind("aud"), Kind::ListValue(list) if list.values.len() == 1));
        assert!(matches!(kind("deep"), Kind::StructValue(inner) if inner.fields.contains_key("er")));
    }
}
