//! Tokens that were given out and are still young, so that an application that asks before each of its calls does not ask the CA as often.
//! It must not know how a token is made.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mesh_identity::application::JwtSvid;

/// The most audiences that are remembered; beyond that all are forgotten, which costs a call each.
const CAPACITY: usize = 64;

/// By audiences, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<Vec<String>, Held>>);

#[derive(Debug)]
struct Held {
    token: JwtSvid,
    /// Unix seconds: half of its life.
    until: u64,
}

impl Tokens {
    /// One that is in the first half of its life at `now` (Unix seconds).
    pub(super) fn young(&self, audience: &[String], now: u64) -> Option<JwtSvid> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(audience).filter(|held| now < held.until).map(|held| held.token.clone())
    }

    /// Remembers one that was made at `now`.
    pub(super) fn keep(&self, audience: Vec<String>, token: &JwtSvid, now: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= CAPACITY && !held.contains_key(&audience) {
            held.clear();
        }
        let until = now.midpoint(token.expires.max(now));
        held.insert(audience, Held { token: token.clone(), until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(expires: u64) -> JwtSvid {
        JwtSvid { token: format!("until {expires}"), expires }
    }

    #[test]
    fn a_token_is_given_again_until_half_of_its_life_and_to_its_audience_alone() {
        let (tokens, audience) = (Tokens::default(), vec!["a".to_owned()]);
        tokens.keep(audience.clone(), &token(1300), 1000);
        assert_eq!(tokens.young(&audience, 1149).unwrap().token, "until 1300");
        assert!(tokens.young(&audience, 1150).is_none());
        assert!(tokens.young(&["b".to_owned()], 1000).is_none());
        assert!(tokens.young(&["a".to_owned(), "b".to_owned()], 1000).is_none());
    }

    #[test]
    fn no_more_than_the_bound_are_remembered() {
        let tokens = Tokens::default();
        for number in 0..=CAPACITY {
            tokens.keep(vec![number.to_string()], &token(1300), 1000);
        }
        assert!(tokens.young(&["0".to_owned()], 1000).is_none(), "it made room");
        assert!(tokens.young(&[CAPACITY.to_string()], 1000).is_some());
    }
}
