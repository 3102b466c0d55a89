//! Facts about header fields, the same in both forms.

use http::HeaderMap;

use super::{BadField, Headers};

fn both() -> [Headers; 2] {
    [Headers::new(), Headers::from_map(HeaderMap::new())]
}

#[test]
fn names_are_compared_without_regard_to_case() {
    for mut headers in both() {
        headers.append("X-One", b"1").unwrap();
        headers.append("x-one", b"2").unwrap();
        assert_eq!(headers.get("x-ONE"), Some(&b"1"[..]));
        assert_eq!(headers.get_all("x-one").collect::<Vec<_>>(), [b"1", b"2"]);
        headers.set("X-ONE", b"3").unwrap();
        assert_eq!((headers.len(), headers.get_str("x-one")), (1, Some("3")));
        assert!(headers.remove("x-One") && !headers.contains("x-one") && headers.is_empty());
        assert!(!headers.remove("x-one"));
    }
}

#[test]
fn what_no_message_can_carry_is_refused() {
    for mut headers in both() {
        for name in ["", "a b", "a:", "a\n", "ä"] {
            assert_eq!(headers.set(name, b""), Err(BadField::Name), "{name:?}");
        }
        for value in [&b"a\r\nb"[..], b"\0", b"a\x7f"] {
            assert_eq!(headers.append("a", value), Err(BadField::Value), "{value:?}");
        }
        headers.set("a", b"\xe4 \t").unwrap();
        assert_eq!((headers.get("a"), headers.get_str("a")), (Some(&b"\xe4 \t"[..]), None));
    }
}

#[test]
fn fields_are_taken_away_by_their_lower_case_name() {
    for mut headers in both() {
        for name in ["X-Mesh-A", "x-mesh-b", "x-other"] {
            headers.append(name, b"1").unwrap();
        }
        assert!(headers.remove_where(|name| name.starts_with("x-mesh-")));
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-other", &b"1"[..])]);
        assert!(!headers.remove_where(|_| false));
    }
}

#[test]
fn a_map_has_the_same_fields_in_the_same_order() {
    let mut headers = Headers::new();
    for (name, value) in [("B", "1"), ("a", "2"), ("b", "3")] {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let copy = headers.clone();
    let map = headers.into_map();
    assert_eq!(map.get_all("b").iter().collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(Headers::from_map(map).len(), copy.len());
    assert_eq!(copy.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["B", "a", "b"]);
}
