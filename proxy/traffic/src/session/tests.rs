//! Tokens name an endpoint without showing it, are read as they were written, and end by age and by idleness.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn policy(kind: SessionKind) -> SessionPersistence {
    SessionPersistence { name: "sticky".into(), kind, absolute_timeout: None, idle_timeout: None }
}

fn mark(last: u8) -> Mark {
    Mark::of(&ServiceName::new("shop", "cart").unwrap(), 80, SocketAddr::from(([10, 0, 0, last], 8080)))
}

#[test]
fn a_token_shows_no_address() {
    let token = write(&Token { endpoint: mark(7), begun: 1, seen: 2 });
    assert!(!token.contains("10") || !token.contains("8080"), "{token}");
    assert_eq!(token.len(), 16 + 4);
}

#[test]
fn marks_differ_by_every_part() {
    let marks = [
        mark(1),
        mark(2),
        Mark::of(&ServiceName::new("shop", "cart").unwrap(), 81, SocketAddr::from(([10, 0, 0, 1], 8080))),
        Mark::of(&ServiceName::new("shop", "cart").unwrap(), 80, SocketAddr::from(([10, 0, 0, 1], 8081))),
        Mark::of(&ServiceName::new("sho", "pcart").unwrap(), 80, SocketAddr::from(([10, 0, 0, 1], 8080))),
    ];
    let unique: std::collections::HashSet<_> = marks.iter().collect();
    assert_eq!(unique.len(), marks.len());
}

#[test]
fn malformed_tokens_are_none() {
    let policy = policy(SessionKind::Header);
    for text in ["", "1", "1.2", "1.2.3.4", "x.1.2", "+1.2.3", "-1.2.3", "1.2.", &"1".repeat(80)] {
        assert_eq!(read(text, &policy, 100), None, "{text}");
    }
}

#[test]
fn sessions_end_by_age_and_by_idleness() {
    let policy = SessionPersistence {
        absolute_timeout: Some(Duration::from_secs(100)),
        idle_timeout: Some(Duration::from_secs(20)),
        ..policy(SessionKind::SessionCookie)
    };
    let text = write(&Token { endpoint: mark(1), begun: 1000, seen: 1050 });
    assert!(read(&text, &policy, 1069).is_some());
    assert!(read(&text, &policy, 1070).is_none(), "idle");
    let text = write(&Token { endpoint: mark(1), begun: 1000, seen: 1095 });
    assert!(read(&text, &policy, 1099).is_some());
    assert!(read(&text, &policy, 1100).is_none(), "too old");
}

#[test]
fn a_client_is_told_only_when_something_changed() {
    let header = policy(SessionKind::Header);
    let Say::Header { name, value } = say(&header, None, mark(1), 1000) else {
        panic!("a new session is told")
    };
    assert_eq!(name, "sticky");
    let token = read(&value, &header, 2000).unwrap();
    assert_eq!((token.endpoint, token.begun), (mark(1), 1000));
    assert_eq!(say(&header, Some(&token), mark(1), 2000), Say::Nothing);
    assert!(matches!(say(&header, Some(&token), mark(2), 2000), Say::Header { .. }), "another endpoint");
    let idle = SessionPersistence { idle_timeout: Some(Duration::from_secs(100)), ..header };
    assert_eq!(say(&idle, Some(&token), mark(1), 1024), Say::Nothing);
    assert!(matches!(say(&idle, Some(&token), mark(1), 1025), Say::Header { .. }), "to stay awake");
}

#[test]
fn cookies_last_as_long_as_the_kind_says() {
    let said = |policy: &SessionPersistence, had: Option<&Token>, now| match say(policy, had, mark(1), now) {
        Say::Header { name, value } => {
            assert_eq!(name, "set-cookie");
            value
        }
        Say::Nothing => panic!("nothing is said"),
    };
    let session = said(&policy(SessionKind::SessionCookie), None, 1000);
    assert!(session.starts_with("sticky=") && !session.contains("Max-Age") && session.contains("HttpOnly"));
    let permanent = SessionPersistence {
        absolute_timeout: Some(Duration::from_mins(10)),
        idle_timeout: Some(Duration::from_secs(40)),
        ..policy(SessionKind::PermanentCookie)
    };
    assert!(said(&permanent, None, 1000).contains("Max-Age=600;"));
    let token = Token { endpoint: mark(1), begun: 1000, seen: 1000 };
    assert!(said(&permanent, Some(&token), 1030).contains("Max-Age=570;"), "the rest of its life");
}

#[test]
fn a_cookie_is_found_among_others() {
    assert_eq!(cookie_value("a=1; sticky=abc; b=2", "sticky"), Some("abc"));
    assert_eq!(cookie_value("sticky=\"abc\"", "sticky"), Some("abc"));
    assert_eq!(cookie_value("notsticky=abc; x", "sticky"), None);
    assert_eq!(cookie_value("sticky=1;sticky=2", "sticky"), Some("1"));
}

proptest! {
    #[test]
    fn what_is_written_is_read(hash: u64, begun: u64, seen: u64) {
        let token = Token { endpoint: Mark(hash), begun, seen };
        prop_assert_eq!(read(&write(&token), &policy(SessionKind::Header), seen), Some(token));
    }

    #[test]
    fn reading_anything_does_not_fail(text: String, header: String) {
        let _ = read(&text, &policy(SessionKind::Header), 5);
        let _ = cookie_value(&header, &text);
    }
}
