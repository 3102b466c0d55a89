//! Facts about join tokens, in memory and in a directory.

use super::*;

fn grant(expires: u64) -> Grant {
    Grant { namespace: "shop".into(), service_account: "cart".into(), expires }
}

fn both(limit: usize, check: impl Fn(JoinTokens)) {
    check(JoinTokens::in_memory(limit));
    let temp = tempfile::tempdir().unwrap();
    check(JoinTokens::in_dir(temp.path().to_owned(), limit).unwrap());
}

#[test]
fn a_token_is_used_once() {
    both(10, |tokens| {
        let token = tokens.create(&grant(100), 0).unwrap();
        let claim = tokens.claim(&token, 50).unwrap();
        assert_eq!(claim.grant, grant(100));
        assert!(matches!(tokens.claim(&token, 50), Err(Refusal::JoinToken)), "while it is claimed");
        tokens.used(&claim);
        assert!(matches!(tokens.claim(&token, 50), Err(Refusal::JoinToken)), "after its use");
        assert_eq!(tokens.outstanding(), 0);
    });
}

#[test]
fn a_token_of_a_refused_request_may_be_used_again() {
    both(10, |tokens| {
        let token = tokens.create(&grant(100), 0).unwrap();
        let claim = tokens.claim(&token, 50).unwrap();
        tokens.give_back(&claim);
        tokens.claim(&token, 50).unwrap();
    });
}

#[test]
fn unknown_and_expired_tokens_are_refused_alike() {
    both(10, |tokens| {
        let token = tokens.create(&grant(100), 0).unwrap();
        for (token, now) in [("", 0), ("../../etc/passwd", 0), (token.as_str(), 100)] {
            let refusal = tokens.claim(token, now).unwrap_err();
            assert_eq!(refusal.to_string(), "the join token is not valid: unknown, used or expired");
        }
    });
}

#[test]
fn outstanding_tokens_are_bounded_and_expired_ones_make_room() {
    both(2, |tokens| {
        tokens.create(&grant(100), 0).unwrap();
        tokens.create(&grant(200), 0).unwrap();
        assert!(matches!(tokens.create(&grant(300), 99), Err(Refusal::TooManyTokens(2))));
        tokens.create(&grant(300), 100).unwrap();
        assert_eq!(tokens.outstanding(), 2);
    });
}

#[test]
fn a_used_token_stays_used_across_a_restart_and_an_unused_one_stays_good() {
    let temp = tempfile::tempdir().unwrap();
    let open = || JoinTokens::in_dir(temp.path().to_owned(), 10).unwrap();
    let tokens = open();
    let [used, begun, unused] = [(); 3].map(|()| tokens.create(&grant(100), 0).unwrap());
    tokens.used(&tokens.claim(&used, 1).unwrap());
    // Killed between claim and answer.
    tokens.claim(&begun, 1).unwrap();
    drop(tokens);
    let tokens = open();
    assert!(tokens.claim(&used, 2).is_err());
    assert!(tokens.claim(&begun, 2).is_err());
    tokens.claim(&unused, 2).unwrap();
}

#[test]
fn the_token_itself_is_nowhere_in_the_state() {
    let temp = tempfile::tempdir().unwrap();
    let token = JoinTokens::in_dir(temp.path().to_owned(), 10).unwrap().create(&grant(100), 0).unwrap();
    for entry in fs::read_dir(temp.path()).unwrap().flatten() {
        assert!(!entry.file_name().to_string_lossy().contains(&token));
        assert!(!fs::read_to_string(entry.path()).unwrap().contains(&token));
    }
}
