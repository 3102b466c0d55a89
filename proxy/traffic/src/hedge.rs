//! Whether a further attempt begins while earlier ones have no answer yet. It must not know how attempts are made.
//!
//! Source: gRFC A6 ("hedging policy"), "The Tail at Scale" (Dean and Barroso, 2013).

use std::time::Duration;

use mesh_model::traffic::{Hedging, RetryMethods};

use crate::retry::{Chain, Repeatable, Replay, Subject};

/// How long the attempts that are under way are waited for before another one begins. `None`: there will be none. `begun` are the
/// attempts so far; `methods` are those of the retries in force, where the user may have said that the application bears all.
///
/// The retry budget has to be asked when that time comes: a hedge is load like a retry.
pub fn wait(
    policy: &Hedging,
    methods: Option<RetryMethods>,
    subject: Subject,
    begun: u32,
) -> Option<Duration> {
    let repeatable = subject.repeatable == Repeatable::Yes || methods == Some(RetryMethods::All);
    let allowed = repeatable && subject.replay == Replay::Possible && subject.chain == Chain::Ours;
    (allowed && begun <= policy.extra).then_some(policy.delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Call;

    const POLICY: Hedging = Hedging { delay: Duration::from_millis(50), extra: 2 };

    fn subject(method: &str) -> Subject {
        Subject {
            call: Call::Http,
            repeatable: Repeatable::by_method(method),
            replay: Replay::Possible,
            chain: Chain::Ours,
        }
    }

    #[test]
    fn as_many_extra_attempts_begin_as_are_allowed() {
        let begun: Vec<_> =
            (1..5).map(|begun| wait(&POLICY, None, subject("GET"), begun).is_some()).collect();
        assert_eq!(begun, [true, true, false, false]);
    }

    #[test]
    fn only_what_may_be_repeated_is_hedged() {
        assert_eq!(wait(&POLICY, None, subject("POST"), 1), None);
        assert_eq!(wait(&POLICY, Some(RetryMethods::Idempotent), subject("POST"), 1), None);
        assert_eq!(wait(&POLICY, Some(RetryMethods::All), subject("POST"), 1), Some(POLICY.delay));
        assert_eq!(wait(&POLICY, None, Subject { replay: Replay::Gone, ..subject("GET") }, 1), None);
        assert_eq!(wait(&POLICY, None, Subject { chain: Chain::Outer, ..subject("GET") }, 1), None);
    }
}
