//! Bounds on what is under way to one backend. A token is taken for each thing and given back when it is dropped, however that comes
//! about. One a worker and backend; bounds hold for each worker, and a sidecar has one. It must not know what is counted beyond its
//! kind.

use std::cell::Cell;
use std::rc::Rc;

use mesh_model::traffic::CircuitBreaker;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Open connections.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests under way.
    Requests,
    /// Retries and hedges under way.
    Retries,
    /// Streams on one HTTP/2 connection. Each connection counts them by itself: ask [`Breaker::stream`].
    Streams,
}

impl Counted {
    /// The field of `circuitBreaker` that bounds it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Connections => "maxConnections",
            Self::Pending => "maxPendingRequests",
            Self::Requests => "maxRequests",
            Self::Retries => "maxRetries",
            Self::Streams => "maxStreamsPerConnection",
        }
    }

    /// What there is too much of, in words.
    const fn words(self) -> &'static str {
        match self {
            Self::Connections => "connections are open",
            Self::Pending => "requests wait for a connection",
            Self::Requests => "requests are under way",
            Self::Retries => "retries are under way",
            Self::Streams => "streams are open on the connection",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Connections => 0,
            Self::Pending => 1,
            Self::Requests => 2,
            Self::Retries => 3,
            Self::Streams => 4,
        }
    }
}

/// A bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} {} and circuitBreaker.{} allows no more", .bound, .counted.words(), .counted.field())]
pub struct Open {
    /// Of what there is too much.
    pub counted: Counted,
    /// How much is allowed.
    pub bound: u32,
}

/// The counters of one backend.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    state: Rc<State>,
}

#[derive(Debug, Default)]
struct State {
    policy: Cell<CircuitBreaker>,
    counts: [Cell<u32>; 5],
    refused: Cell<u64>,
}

/// A thing under way; dropping it gives its place back.
#[derive(Debug)]
pub struct Token {
    state: Rc<State>,
    counted: Counted,
}

impl Breaker {
    /// With these bounds.
    pub fn new(policy: CircuitBreaker) -> Self {
        let breaker = Self::default();
        breaker.set_policy(policy);
        breaker
    }

    /// Other bounds are in force; what is under way stays.
    pub fn set_policy(&self, policy: CircuitBreaker) {
        self.state.policy.set(policy);
    }

    /// Whether any bound is set: else there is no need to count.
    pub fn is_bounded(&self) -> bool {
        self.state.policy.get() != CircuitBreaker::default()
    }

    /// Takes a place. `Ok(None)`: this is not bounded, so it is not counted.
    pub fn take(&self, counted: Counted) -> Result<Option<Token>, Open> {
        let Some(bound) = self.bound(counted) else { return Ok(None) };
        let Some(count) = self.state.counts.get(counted.index()) else { return Ok(None) };
        if count.get() >= bound {
            return Err(self.open(counted, bound));
        }
        count.set(count.get() + 1);
        Ok(Some(Token { state: Rc::clone(&self.state), counted }))
    }

    /// Whether a connection that has `open` streams may have another one.
    pub fn stream(&self, open: usize) -> Result<(), Open> {
        match self.state.policy.get().streams {
            Some(bound) if u32::try_from(open).unwrap_or(u32::MAX) >= bound => {
                Err(self.open(Counted::Streams, bound))
            }
            _ => Ok(()),
        }
    }

    fn open(&self, counted: Counted, bound: u32) -> Open {
        self.state.refused.set(self.state.refused.get() + 1);
        Open { counted, bound }
    }

    /// How much is under way, of what is bounded.
    pub fn count(&self, counted: Counted) -> u32 {
        self.state.counts.get(counted.index()).map_or(0, Cell::get)
    }

    /// How often a place was refused.
    pub fn refused(&self) -> u64 {
        self.state.refused.get()
    }

    fn bound(&self, counted: Counted) -> Option<u32> {
        let policy = self.state.policy.get();
        match counted {
            Counted::Connections => policy.connections,
            Counted::Pending => policy.pending,
            Counted::Requests => policy.requests,
            Counted::Retries => policy.retries,
            Counted::Streams => policy.streams,
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(count) = self.state.counts.get(self.counted.index()) {
            count.set(count.get().saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn breaker(requests: u32) -> Breaker {
        Breaker::new(CircuitBreaker { requests: Some(requests), ..CircuitBreaker::default() })
    }

    #[test]
    fn a_place_is_refused_at_the_bound_and_free_again_after_a_drop() {
        let breaker = breaker(2);
        let first = breaker.take(Counted::Requests).unwrap();
        let _second = breaker.take(Counted::Requests).unwrap();
        let open = breaker.take(Counted::Requests).unwrap_err();
        assert_eq!(open, Open { counted: Counted::Requests, bound: 2 });
        assert_eq!(
            open.to_string(),
            "2 requests are under way and circuitBreaker.maxRequests allows no more"
        );
        assert_eq!(breaker.refused(), 1);
        drop(first);
        assert!(breaker.take(Counted::Requests).unwrap().is_some());
    }

    #[test]
    fn what_is_not_bounded_is_not_counted() {
        let breaker = breaker(1);
        assert!(breaker.take(Counted::Pending).unwrap().is_none());
        assert_eq!(breaker.count(Counted::Pending), 0);
        assert!(breaker.is_bounded() && !Breaker::default().is_bounded());
    }

    #[test]
    fn streams_are_bounded_for_each_connection() {
        let breaker = Breaker::new(CircuitBreaker { streams: Some(2), ..CircuitBreaker::default() });
        assert!(breaker.stream(1).is_ok() && breaker.stream(0).is_ok());
        let open = breaker.stream(2).unwrap_err();
        assert!(open.to_string().contains("circuitBreaker.maxStreamsPerConnection"), "{open}");
        assert_eq!(breaker.refused(), 1);
        assert!(Breaker::default().stream(usize::MAX).is_ok());
    }

    #[test]
    fn a_bound_of_zero_lets_nothing_through() {
        assert!(breaker(0).take(Counted::Requests).is_err());
    }

    #[test]
    fn a_lower_bound_holds_while_more_is_under_way() {
        let breaker = breaker(3);
        let tokens: Vec<_> = (0..3).map(|_| breaker.take(Counted::Requests).unwrap()).collect();
        breaker.set_policy(CircuitBreaker { requests: Some(1), ..CircuitBreaker::default() });
        assert!(breaker.take(Counted::Requests).is_err());
        drop(tokens);
        assert!(breaker.take(Counted::Requests).is_ok());
    }

    proptest! {
        #[test]
        fn never_more_than_the_bound(bound in 0_u32..8, steps in proptest::collection::vec(any::<bool>(), 0..200)) {
            let breaker = breaker(bound);
            let mut held = vec![];
            for take in steps {
                if take { held.extend(breaker.take(Counted::Requests)); } else { held.pop(); }
                prop_assert!(breaker.count(Counted::Requests) <= bound);
                prop_assert_eq!(breaker.count(Counted::Requests) as usize, held.len());
            }
        }
    }
}
