//! Parts that several sources write alike: durations, header edits, retries. It must not know whole objects.

use serde_json::{Map, Value, json};

use crate::ledger::{Effect, Node};
use crate::matches::{Named, Text, whole};

/// A duration as text in milliseconds: Go's form, such as `1.5s` or `100ms`.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0.0, text);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(unit)?;
        total += number
            * match unit {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                "us" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = tail;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "digits only, and `as` saturates"
    )]
    Some(total.ceil() as u64)
}

/// As this mesh writes a duration: at most five digits a number.
pub(crate) fn duration(milliseconds: u64) -> String {
    let parts = [
        (milliseconds / 3_600_000, "h"),
        (milliseconds / 60_000 % 60, "m"),
        (milliseconds / 1_000 % 60, "s"),
        (milliseconds % 1_000, "ms"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let text = parts.map(|(number, unit)| format!("{number}{unit}")).collect::<Vec<_>>().concat();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A duration of a field, within bounds of milliseconds; what is out of them is brought within, and said.
pub(crate) fn duration_of(node: &Node<'_>, object: &str, field: &str, bounds: (u64, u64)) -> Option<String> {
    let Some(found) = node.text().and_then(milliseconds) else {
        node.lost(Effect::Behaviour, "is not a duration", "write it by hand");
        return None;
    };
    let within = found.clamp(bounds.0, bounds.1);
    if within == found {
        node.to(object, field);
    } else {
        let reason = format!("{} to {} is possible here", duration(bounds.0), duration(bounds.1));
        node.changed(object, field, Effect::Behaviour, reason);
    }
    Some(duration(within))
}

/// An integer of a field, within bounds.
pub(crate) fn integer_of(node: &Node<'_>, object: &str, field: &str, bounds: (i64, i64)) -> Option<i64> {
    let Some(found) = node.integer() else {
        node.lost(Effect::Behaviour, "is not a whole number", "write it by hand");
        return None;
    };
    let within = found.clamp(bounds.0, bounds.1);
    if within == found {
        node.to(object, field);
    } else {
        node.changed(
            object,
            field,
            Effect::Behaviour,
            format!("{} to {} is possible here", bounds.0, bounds.1),
        );
    }
    Some(within)
}

/// A header's condition from `exact`, `prefix`, `suffix`, `regex`, `present`.
pub(crate) fn string_match(node: &Node<'_>, name: &str, object: &str, field: &str) -> Option<Named> {
    let named = |value: Text| Some(Named { name: name.to_owned(), value });
    let Some(map) = node.value().as_object().filter(|map| !map.is_empty()) else {
        node.to(object, field);
        return named(Text::Regex(".*".to_owned()));
    };
    if map.len() != 1 {
        node.lost(Effect::Behaviour, "says several things", "write one condition for a header");
        return None;
    }
    if let Some((key, part)) = node.fields().into_iter().next() {
        let text = part.text().unwrap_or_default();
        let value = match key {
            "exact" => Text::Exact(text.to_owned()),
            "prefix" => Text::Regex(format!("{}.*", regex::escape(text))),
            "suffix" => Text::Regex(format!(".*{}", regex::escape(text))),
            "regex" if whole(text).is_some() => Text::Regex(text.to_owned()),
            "present" if part.is_true() => Text::Regex(".*".to_owned()),
            "regex" => {
                part.lost(
                    Effect::Behaviour,
                    "is no expression that is possible here",
                    "write another one; there is no look-around",
                );
                return None;
            }
            _ => {
                part.lost(
                    Effect::Behaviour,
                    format!("a header is not compared by `{key}` here"),
                    "use an exact value or an expression",
                );
                return None;
            }
        };
        part.to(object, field);
        return named(value);
    }
    None
}

/// `set`, `add`, `remove` of headers as a filter's part.
pub(crate) fn header_edit(node: &Node<'_>, object: &str, field: &str) -> Option<Value> {
    let mut edit = Map::new();
    for (key, part) in node.fields() {
        match key {
            "set" | "add" => {
                let mut list = Vec::new();
                for (name, value) in part.fields() {
                    let text = value.text().unwrap_or_default();
                    if name.to_ascii_lowercase().starts_with("x-envoy-") {
                        value.lost(
                            Effect::Behaviour,
                            "Envoy is told something by this header; here nobody reads it, and it is taken off before the application",
                            "TrafficPolicy: timeouts, retries",
                        );
                        continue;
                    }
                    if text.contains('%') {
                        value.lost(
                            Effect::Behaviour,
                            "values of Envoy's variables do not exist here",
                            "set a fixed value, or let the application set it",
                        );
                        continue;
                    }
                    value.to(object, format!("{field}.{key}"));
                    list.push(json!({ "name": name, "value": text }));
                }
                if !list.is_empty() {
                    edit.insert(key.to_owned(), json!(list));
                }
            }
            "remove" => {
                part.whole(object, &format!("{field}.remove"));
                edit.insert(key.to_owned(), part.value().clone());
            }
            _ => {}
        }
    }
    (!edit.is_empty()).then_some(Value::Object(edit))
}

/// Envoy's `retry_on` words as `retryOn`, `statuses` and `grpcStatuses`; also the words that have no counterpart.
pub(crate) fn retry_words<'a>(words: impl Iterator<Item = &'a str>) -> (Map<String, Value>, Vec<&'a str>) {
    let (mut on, mut statuses, mut grpc, mut lost) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut add = |words: &[&'static str]| {
        for word in words {
            if !on.contains(word) {
                on.push(*word);
            }
        }
    };
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "5xx" | "server-error" => {
                add(&["ServerError", "ConnectFailure", "RefusedStream", "Reset", "AttemptTimeout"]);
            }
            "gateway-error" => add(&["GatewayError"]),
            "reset" | "reset-before-request" | "stream-error" => add(&["Reset"]),
            "connect-failure" | "connection-error" => add(&["ConnectFailure"]),
            "refused-stream" => add(&["RefusedStream"]),
            "retriable-4xx" | "client-error" => statuses.push(409),
            "retriable-status-codes" | "http3-post-connect-failure" => {}
            "cancelled" | "deadline-exceeded" | "internal" | "resource-exhausted" | "unavailable" => {
                grpc.push(word.to_ascii_uppercase().replace('-', "_"));
            }
            other => match other.parse::<u16>() {
                Ok(code) if (400..600).contains(&code) => statuses.push(code),
                _ => lost.push(word),
            },
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    let mut map = Map::new();
    map.insert("retryOn".to_owned(), json!(on));
    map.insert("statuses".to_owned(), json!(statuses));
    map.insert("grpcStatuses".to_owned(), json!(grpc));
    (map, lost)
}

/// A mirror filter.
pub(crate) fn mirror(backend: Value, percent: Option<f64>) -> Value {
    let mut mirror = json!({ "backendRef": backend });
    if let Some(percent) = percent {
        #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
        let whole = percent.clamp(0.0, 100.0).round() as i64;
        #[expect(clippy::float_cmp, reason = "whether it is whole")]
        if whole as f64 == percent {
            mirror["percent"] = json!(whole);
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "a share")]
            let numerator = (percent.clamp(0.0, 100.0) * 10_000.0).round() as i64;
            mirror["fraction"] = json!({ "numerator": numerator, "denominator": 1_000_000 });
        }
    }
    json!({ "type": "RequestMirror", "requestMirror": mirror })
}
