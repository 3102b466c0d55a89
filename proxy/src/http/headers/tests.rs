//! Facts about header fields.

use super::{BadField, Headers};

#[test]
fn names_are_compared_without_regard_to_case() {
    {
        let mut headers = Headers::new();
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
    {
        let mut headers = Headers::new();
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
    {
        let mut headers = Headers::new();
        for name in ["X-Mesh-A", "x-mesh-b", "x-other"] {
            headers.append(name, b"1").unwrap();
        }
        assert!(headers.remove_where(|name| name.starts_with("x-mesh-")));
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-other", &b"1"[..])]);
        assert!(!headers.remove_where(|_| false));
    }
}
