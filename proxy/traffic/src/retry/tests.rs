//! What is sent again and what is not, after which pause, and that allowing less never adds a retry.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Retries {
    Retries {
        attempts: 2,
        on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream],
        statuses: vec![],
        grpc_statuses: vec![],
        methods: RetryMethods::Idempotent,
        attempt_timeout: None,
        backoff: Backoff { base: Duration::from_millis(20), most: Duration::from_millis(100) },
        body_bytes: 65536,
        pushback: Pushback::Honour(SECOND),
    }
}

fn subject(method: &str) -> Subject {
    Subject {
        call: Call::Http,
        repeatable: Repeatable::by_method(method),
        replay: Replay::Possible,
        chain: Chain::Ours,
    }
}

fn call() -> Subject {
    Subject { call: Call::Grpc, ..subject("POST") }
}

fn ask(policy: &Retries, subject: Subject, outcome: Outcome) -> Ask<'_> {
    Ask { policy, subject, made: 1, outcome, wish: None, left: None }
}

fn verdict(ask: &Ask<'_>) -> Result<Duration, Reason> {
    match decide(ask, &mut fastrand::Rng::with_seed(7)) {
        Decision::Again { after } => Ok(after),
        Decision::GiveUp(reason) => Err(reason),
    }
}

#[test]
fn by_default_only_what_never_left_is_sent_again_and_at_once() {
    let policy = policy();
    for method in ["GET", "POST", "PATCH"] {
        for outcome in [Outcome::ConnectFailed, Outcome::RefusedUnseen] {
            assert_eq!(verdict(&ask(&policy, subject(method), outcome)), Ok(Duration::ZERO));
        }
        for outcome in [Outcome::Reset, Outcome::AttemptTimeout, Outcome::Status(503), Outcome::Grpc(14)] {
            assert_eq!(verdict(&ask(&policy, subject(method), outcome)), Err(Reason::NotNamed));
        }
    }
}

#[test]
fn a_named_failure_is_retried_for_idempotent_methods_alone() {
    let named = Retries {
        on: vec![RetryOn::Reset, RetryOn::AttemptTimeout, RetryOn::GatewayError],
        statuses: vec![429],
        ..policy()
    };
    let all = Retries { methods: RetryMethods::All, ..named.clone() };
    for outcome in [Outcome::Reset, Outcome::AttemptTimeout, Outcome::Status(503), Outcome::Status(429)] {
        assert!(verdict(&ask(&named, subject("PUT"), outcome)).is_ok(), "{outcome:?}");
        assert_eq!(verdict(&ask(&named, subject("POST"), outcome)), Err(Reason::NotRepeatable));
        assert!(verdict(&ask(&all, subject("POST"), outcome)).is_ok(), "{outcome:?}");
    }
    assert_eq!(verdict(&ask(&named, subject("GET"), Outcome::Status(500))), Err(Reason::NotNamed));
    let server = Retries { on: vec![RetryOn::ServerError], ..policy() };
    assert!(verdict(&ask(&server, subject("GET"), Outcome::Status(500))).is_ok());
    assert_eq!(verdict(&ask(&server, subject("GET"), Outcome::Status(404))), Err(Reason::NotNamed));
}

#[test]
fn a_named_grpc_status_is_retried_though_calls_are_posts() {
    let named = Retries { grpc_statuses: vec![14], on: vec![RetryOn::Reset], ..policy() };
    assert!(verdict(&ask(&named, call(), Outcome::Grpc(14))).is_ok());
    assert!(verdict(&ask(&named, call(), Outcome::Status(503))).is_ok(), "503 stands for UNAVAILABLE");
    assert_eq!(verdict(&ask(&named, call(), Outcome::Grpc(13))), Err(Reason::NotNamed));
    assert_eq!(verdict(&ask(&named, call(), Outcome::Reset)), Err(Reason::NotRepeatable));
}

#[test]
fn attempts_end() {
    let policy = policy();
    let asked = |made| verdict(&Ask { made, ..ask(&policy, subject("GET"), Outcome::ConnectFailed) });
    assert!(asked(1).is_ok() && asked(2).is_ok());
    assert_eq!(asked(3), Err(Reason::Attempts));
    let none = Retries { attempts: 0, ..policy.clone() };
    assert_eq!(verdict(&ask(&none, subject("GET"), Outcome::ConnectFailed)), Err(Reason::Attempts));
}

#[test]
fn a_body_that_is_gone_ends_it() {
    let policy = policy();
    let gone = Subject { replay: Replay::Gone, ..subject("GET") };
    assert_eq!(verdict(&ask(&policy, gone, Outcome::RefusedUnseen)), Err(Reason::BodyGone));
}

#[test]
fn an_inner_proxy_retries_only_what_never_left() {
    let named = Retries { statuses: vec![503], on: vec![RetryOn::ConnectFailure], ..policy() };
    let inner = Subject { chain: Chain::Outer, ..subject("GET") };
    assert_eq!(verdict(&ask(&named, inner, Outcome::Status(503))), Err(Reason::OuterRetries));
    assert!(verdict(&ask(&named, inner, Outcome::ConnectFailed)).is_ok());
}

#[test]
fn the_servers_wish_is_kept_within_its_bound() {
    let named = Retries { statuses: vec![503], ..policy() };
    let with = |policy: &Retries, wish| {
        verdict(&Ask { wish: Some(wish), ..ask(policy, subject("GET"), Outcome::Status(503)) })
    };
    let wished = Wish::After(Duration::from_millis(700));
    assert_eq!(with(&named, wished), Ok(Duration::from_millis(700)));
    assert_eq!(with(&named, Wish::After(2 * SECOND)), Err(Reason::Pushback));
    assert_eq!(with(&named, Wish::Never), Err(Reason::Pushback));
    let ignore = Retries { pushback: Pushback::Ignore, ..named };
    assert!(with(&ignore, Wish::Never).is_ok());
}

#[test]
fn a_pause_beyond_the_deadline_ends_it() {
    let named = Retries { statuses: vec![503], ..policy() };
    let wish = Some(Wish::After(Duration::from_millis(700)));
    let asked =
        |left| verdict(&Ask { wish, left: Some(left), ..ask(&named, subject("GET"), Outcome::Status(503)) });
    assert!(asked(SECOND).is_ok());
    assert_eq!(asked(Duration::from_millis(700)), Err(Reason::Deadline));
}

#[test]
fn reasons_have_their_own_labels() {
    let labels: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
}

proptest! {
    #[test]
    fn pauses_lie_between_their_base_and_a_doubling_bound(seed: u64, made in 1_u32..80, base in 0_u64..10_000, most in 0_u64..100_000) {
        let policy = Backoff { base: Duration::from_millis(base), most: Duration::from_millis(most) };
        let pause = backoff(&policy, made, &mut fastrand::Rng::with_seed(seed));
        let doubled = u128::from(base) << made.min(64);
        prop_assert!(pause.as_millis() <= doubled.min(u128::from(most)));
        prop_assert!(pause >= policy.base.min(policy.most));
    }

    /// Allowing less never makes a retry out of none.
    #[test]
    fn fewer_attempts_and_a_gone_body_never_add_a_retry(
        made in 1_u32..5,
        attempts in 0_u32..5,
        status in 400_u16..600,
    ) {
        let wide = Retries { attempts: attempts + 1, on: vec![RetryOn::ServerError], ..policy() };
        let narrow = Retries { attempts, ..wide.clone() };
        let question = |policy| verdict(&Ask { made, ..ask(policy, subject("GET"), Outcome::Status(status)) });
        prop_assert!(question(&narrow).is_err() || question(&wide).is_ok());
        let gone = Subject { replay: Replay::Gone, ..subject("GET") };
        let without_body = verdict(&Ask { made, ..ask(&wide, gone, Outcome::Status(status)) });
        prop_assert!(without_body.is_err());
    }
}
