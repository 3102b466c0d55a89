//! Limits of requests and attempts, as tables.

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "every use takes an option")]
const fn s(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn zero_is_no_limit() {
    assert_eq!(Timeouts::new(s(0), s(0)), Ok(Timeouts::default()));
    assert_eq!(Timeouts::new(s(0), s(5)), Ok(Timeouts { request: None, backend_request: s(5) }));
    assert_eq!(Timeouts::new(s(5), s(0)), Ok(Timeouts { request: s(5), backend_request: None }));
}

#[test]
fn an_attempt_may_not_be_allowed_more_than_the_request() {
    assert_eq!(Timeouts::new(s(5), s(5)), Ok(Timeouts { request: s(5), backend_request: s(5) }));
    let error = Timeouts::new(s(5), s(6)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the backend request timeout (6000 ms) is longer than the request timeout (5000 ms)"
    );
}

#[test]
fn an_attempt_gets_the_smaller_of_its_own_limit_and_what_is_left() {
    let attempt = |request, backend_request, elapsed| {
        Timeouts { request, backend_request }
            .attempt(Duration::from_secs(elapsed))
            .map(|(d, l)| (d.as_secs(), l))
    };
    assert_eq!(attempt(None, None, 9), None);
    assert_eq!(attempt(s(10), None, 4), Some((6, Limit::Request)));
    assert_eq!(attempt(None, s(3), 100), Some((3, Limit::BackendRequest)));
    assert_eq!(attempt(s(10), s(3), 0), Some((3, Limit::BackendRequest)));
    assert_eq!(attempt(s(10), s(3), 8), Some((2, Limit::Request)));
    assert_eq!(
        attempt(s(10), s(3), 7),
        Some((3, Limit::Request)),
        "when both end at once it is the request's"
    );
    assert_eq!(attempt(s(10), s(3), 11), Some((0, Limit::Request)), "nothing is left");
}
