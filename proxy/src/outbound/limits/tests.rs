//! Of policy, caller and attempt the shortest limit counts, and the next hop is told what is left.

use mesh_model::traffic::RequestTimeouts;

use super::*;
use crate::http::{Form, Headers, Wire};

const SECOND: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_hours(1);

fn head(kind: Kind, header: Option<(&str, &str)>) -> Box<RequestHead> {
    let mut headers = Headers::new();
    if let Some((name, value)) = header {
        headers.set(name, value.as_bytes()).unwrap();
    }
    Box::new(RequestHead {
        method: http::Method::GET,
        target: "/".parse().unwrap(),
        authority: "cart".into(),
        headers,
        wire: Wire::Http1,
        form: Form::Origin,
        kind,
        upgrade: None,
        interim: crate::http::Interim::nowhere(),
    })
}

fn policy(timeouts: RequestTimeouts) -> RequestPolicy {
    let mut policy = RequestPolicy::default();
    policy.timeouts.value = timeouts;
    policy
}

#[test]
fn without_a_limit_only_the_head_has_one() {
    let now = Instant::now();
    let limits = Limits::of(&RequestPolicy::default(), &head(Kind::Http, None), now, MOST);
    assert_eq!(limits.attempt_by(now), (now + MOST, Failure::RequestTimeout));
    assert_eq!((limits.left(now), limits.body_by(now)), (None, None));
    let mut told = head(Kind::Http, None);
    limits.tell(&mut told, now);
    assert!(told.headers.is_empty());
}

#[test]
fn the_callers_deadline_counts_if_it_is_shorter_and_shrinks_on_its_way() {
    let now = Instant::now();
    let policy = policy(RequestTimeouts { request: Some(5 * SECOND), ..RequestTimeouts::default() });
    for (kind, name, value, want) in [
        (Kind::Grpc, "grpc-timeout", "2S", 2),
        (Kind::Grpc, "grpc-timeout", "9S", 5),
        (Kind::Grpc, "grpc-timeout", "nonsense", 5),
        (Kind::Http, deadline::TIMEOUT_MS, "2000", 2),
        (Kind::Http, "grpc-timeout", "2S", 5),
    ] {
        let limits = Limits::of(&policy, &head(kind, Some((name, value))), now, MOST);
        assert_eq!(limits.all_by, Some(now + want * SECOND), "{name} {value}");
    }
    let limits = Limits::of(&policy, &head(Kind::Grpc, Some(("grpc-timeout", "2S"))), now, MOST);
    let mut told = head(Kind::Grpc, Some(("grpc-timeout", "2S")));
    limits.tell(&mut told, now + SECOND / 2);
    assert_eq!(deadline::grpc(told.header("grpc-timeout").unwrap()), Some(SECOND * 3 / 2));
}

#[test]
fn an_attempt_ends_before_the_request() {
    let now = Instant::now();
    let timeouts = RequestTimeouts {
        request: Some(5 * SECOND),
        attempt: Some(2 * SECOND),
        stream: Some(4 * SECOND),
        idle: None,
    };
    let limits = Limits::of(&policy(timeouts), &head(Kind::Http, None), now, MOST);
    assert_eq!(limits.attempt_by(now), (now + 2 * SECOND, Failure::AttemptTimeout));
    assert_eq!(limits.attempt_by(now + 4 * SECOND), (now + 4 * SECOND, Failure::StreamTimeout));
    assert_eq!(limits.body_by(now + 3 * SECOND), Some((now + 4 * SECOND, Failure::StreamTimeout)));
    assert_eq!(limits.body_by(now), Some((now + 2 * SECOND, Failure::AttemptTimeout)));
}
