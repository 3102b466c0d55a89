//! Pairs of answers and what is found between them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::answer::Content;

fn answer(compare: &Compare, status: u16, headers: &[Option<&str>], body: &[u8]) -> Answer {
    let mut content = Content::begin(compare, headers.first().copied().flatten(), false);
    content.take(body);
    let headers = headers.iter().map(|value| value.map(|it| it.as_bytes().to_vec())).collect();
    Answer { status, grpc_status: None, headers, content }
}

fn of_json(compare: &Compare, value: &Value) -> Answer {
    answer(compare, 200, &[Some("application/json")], value.to_string().as_bytes())
}

/// Differences as `PLACE KIND STABLE OTHER`.
fn told(found: &Found) -> Vec<String> {
    let one = |it: &Difference| format!("{} {} {} {}", it.place, it.kind.word(), it.stable, it.other);
    found.all.iter().map(|it| one(it).trim_end().to_owned()).collect()
}

fn between(compare: &Compare, one: &Value, two: &Value) -> Vec<String> {
    told(&differences(compare, &of_json(compare, one), Some(&of_json(compare, two))))
}

#[test]
fn heads_are_compared() {
    let compare = Compare { headers: vec!["content-type".into(), "x-a".into()], ..Compare::default() };
    let of = |status, headers: [Option<&str>; 2]| answer(&compare, status, &headers, b"");
    let one = of(200, [Some("text/plain"), Some("1")]);
    assert!(differences(&compare, &one, Some(&one)).is_empty());
    let two = of(503, [Some("text/html"), None]);
    assert_eq!(
        told(&differences(&compare, &one, Some(&two))),
        ["header content-type value", "header x-a missing", "status value 200 503"]
    );
    assert_eq!(told(&differences(&compare, &two, Some(&one)))[1], "header x-a added");
    assert_eq!(told(&differences(&compare, &one, None)), ["answer missing there"]);
    let ended = |status: Option<&str>| Answer { grpc_status: status.map(str::to_owned), ..one.clone() };
    assert_eq!(
        told(&differences(&compare, &ended(Some("0")), Some(&ended(Some("13"))))),
        ["grpc-status value 0 13"]
    );
}

#[test]
fn bodies_that_are_no_json_are_compared_by_length_and_hash() {
    let compare = Compare::default();
    let of = |kind: &str, body: &str| answer(&compare, 200, &[Some(kind)], body.as_bytes());
    let pair = |one: &str, two: &str| {
        told(&differences(&compare, &of("text/plain", one), Some(&of("text/plain", two))))
    };
    assert_eq!(pair("abc", "abc"), [""; 0]);
    assert_eq!(pair("abc", "abd"), ["body value"]);
    assert_eq!(pair("abc", "abcd"), ["body length 3 bytes 4 bytes"]);
    let mixed = differences(&compare, &of("application/json", "{}"), Some(&of("application/json", "oh")));
    assert_eq!(told(&mixed), ["body type JSON no JSON"]);
    let without = Compare { body: false, ..Compare::default() };
    assert_eq!(told(&differences(&without, &of("text/plain", "a"), Some(&of("text/plain", "b")))), [""; 0]);
}

#[test]
fn json_is_compared_place_by_place_and_values_stay_here() {
    let compare = Compare::default();
    let one = json!({ "a": 1, "b": "x", "c": { "d": null }, "e": [1, 2], "f": "secret", "g": 2 });
    let two = json!({ "a": 1.0, "b": 5, "c": { "d": false }, "e": [1, 3, 4], "f": "other", "h": [] });
    let expected = [
        "$.b type string number",
        "$.c.d type null boolean",
        "$.e length 2 entries 3 entries",
        "$.e[*] value",
        "$.f value",
        "$.g missing number",
        "$.h added  array",
    ];
    assert_eq!(between(&compare, &one, &two), expected);
    let shown = between(&Compare { values: true, ..compare }, &one, &two);
    assert!(shown.contains(&"$.f value \"secret\" \"other\"".to_owned()), "{shown:?}");
    assert!(shown.contains(&"$.e[*] value 2 3".to_owned()), "{shown:?}");
}

#[test]
fn a_place_is_told_once_and_keys_that_are_values_are_not_told() {
    let compare = Compare::default();
    let users = |name: &str| {
        json!({ "users": {
            "17": { "name": name }, "ann@example.com": { "name": name }, "9f8b1c2d-33aa-4f00-8a2b-000000000001": name,
        } })
    };
    assert_eq!(between(&compare, &users("a"), &users("b")), ["$.users.* value", "$.users.*.name value"]);
    let list = |n: i32| json!([{ "id": n }, { "id": n }, { "id": n }]);
    assert_eq!(between(&compare, &list(1), &list(2)), ["$[*].id value"]);
}

#[test]
fn what_is_ignored_is_not_looked_at_with_all_below() {
    let ignore = ["$.at", "$.items[*].id", "$.meta", "$.by.*.n", "$.gone"];
    let ignore = ignore.iter().map(|path| path.parse().unwrap()).collect();
    let compare = Compare { ignore, ..Compare::default() };
    let of = |n: i32, extra: Value| {
        json!({ "at": n, "items": [{ "id": n, "price": n }], "meta": { "x": { "y": n } }, "by": { "k": { "n": n } },
                "gone": extra })
    };
    assert_eq!(between(&compare, &of(1, json!(1)), &of(2, json!({}))), ["$.items[*].price value"]);
    let mut without = of(1, json!(1));
    without.as_object_mut().unwrap().remove("gone");
    assert_eq!(between(&compare, &of(1, json!(1)), &without), [""; 0]);
}

#[test]
fn secret_headers_are_never_shown() {
    let headers = ["set-cookie", "x-session-id", "x-plain"];
    let compare = Compare { headers: headers.map(str::to_owned).into(), values: true, ..Compare::default() };
    let of = |value| answer(&compare, 200, &[Some(value); 3], b"");
    assert_eq!(
        told(&differences(&compare, &of("one"), Some(&of("two")))),
        ["header set-cookie value", "header x-plain value one two", "header x-session-id value"]
    );
}

#[test]
fn places_are_bounded_in_number_and_length() {
    let compare = Compare::default();
    let wide = |n: i32| Value::Object((0..100).map(|i| (format!("key_{i}x"), json!(n))).collect());
    let found = differences(&compare, &of_json(&compare, &wide(1)), Some(&of_json(&compare, &wide(2))));
    assert_eq!((found.all.len(), found.dropped), (MAX_FOUND, 36));
    let deep = |n: i32| (0..60).fold(json!(n), |inner, _| json!({ "a-key": inner }));
    let found = between(&compare, &deep(1), &deep(2));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("$.a-key.") && found[0].len() < MAX_PLACE + 8, "{found:?}");
    let compare = Compare { values: true, ..compare };
    let long = |text: &str| json!({ "a": text.repeat(100) });
    let found = differences(&compare, &of_json(&compare, &long("é")), Some(&of_json(&compare, &long("ü"))));
    assert!(found.all[0].stable.len() <= MAX_EXAMPLE);
    // Deeper than a reader of JSON goes: no JSON.
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let of = |text: String| answer(&compare, 200, &[Some("application/json")], text.as_bytes());
    let found = differences(&compare, &of(nested(5_000)), Some(&of(nested(4_999))));
    assert_eq!(told(&found), ["body length 10000 bytes 9998 bytes"]);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (0_u8..3).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d.\"@é]{0,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// 1.0 as 1, which is the same.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(all) => all.iter().map(normal).collect(),
        Value::Object(all) => {
            Value::Object(all.iter().map(|(key, value)| (key.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    /// Nothing is found between two that mean the same, and something between any others.
    #[test]
    fn found_is_what_differs(one in arbitrary_json(), two in arbitrary_json()) {
        let compare = Compare::default();
        prop_assert_eq!(between(&compare, &one, &one), [""; 0]);
        prop_assert_eq!(between(&compare, &one, &two).is_empty(), normal(&one) == normal(&two));
    }

    /// Seen from the other side there are the same places, with what is missing added.
    #[test]
    fn sides_can_be_changed(one in arbitrary_json(), two in arbitrary_json()) {
        let compare = Compare::default();
        let of = |one: &Value, two: &Value| differences(&compare, &of_json(&compare, one), Some(&of_json(&compare, two)));
        let turned = |it: Difference| (it.place, match it.kind {
            Kind::Missing => Kind::Added,
            Kind::Added => Kind::Missing,
            kind => kind,
        });
        let mut there: Vec<_> = of(&two, &one).all.into_iter().map(turned).collect();
        there.sort();
        let here: Vec<_> = of(&one, &two).all.into_iter().map(|it| (it.place, it.kind)).collect();
        prop_assert_eq!(here, there);
    }

    /// Without `values` no text of a value leaves.
    #[test]
    fn no_value_leaves(one in "[xyz]{5,9}", two in "[xyz]{5,9}") {
        let compare = Compare::default();
        let of = |text: &str| json!({ "a": text, "b": [text], "c": { "d": { text: text } } });
        for it in differences(&compare, &of_json(&compare, &of(&one)), Some(&of_json(&compare, &of(&two)))).all {
            prop_assert!(!it.stable.contains(&one) && !it.other.contains(&two), "{it:?}");
        }
    }
}
