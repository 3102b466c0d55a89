//! Which endpoint a request goes to: two random ones, of which the less loaded by peak EWMA of latency times outstanding requests.
//!
//! Pure: time and randomness come as arguments. It must not know connections; what belongs to an endpoint elsewhere (its pool) is
//! carried along as `T`. State of an endpoint that stays survives each change of the set.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); peak EWMA as in Finagle.

mod load;
#[cfg(test)]
mod tests;

pub use load::{InFlight, Load};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use mesh_model::endpoint::{Endpoint, EndpointState, Transport};

/// An endpoint with its load and whatever else belongs to it.
#[derive(Debug)]
pub struct Slot<T> {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How busy it is.
    pub load: Rc<Load>,
    /// What the owner keeps for it.
    pub payload: T,
}

/// The endpoints of one port of a service, seen by one worker.
#[derive(Debug)]
pub struct Balancer<T> {
    slots: Vec<Rc<Slot<T>>>,
}

impl<T> Default for Balancer<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

/// How many random draws are made before the whole list is read.
const DRAWS: usize = 6;

impl<T: Clone> Balancer<T> {
    /// Takes over a new set. Endpoints with the same address and transport keep their load and payload; `make` gives the
    /// payload of a new one.
    pub fn update(&mut self, endpoints: &[Endpoint], now: Instant, mut make: impl FnMut(&Endpoint) -> T) {
        let typical = self.typical_latency();
        let mut old: HashMap<(SocketAddr, Transport), Rc<Slot<T>>> = self
            .slots
            .drain(..)
            .map(|slot| ((slot.endpoint.address, slot.endpoint.transport.clone()), slot))
            .collect();
        self.slots = endpoints
            .iter()
            .map(|endpoint| {
                let kept = old.remove(&(endpoint.address, endpoint.transport.clone()));
                match kept {
                    Some(slot) if slot.endpoint == *endpoint => slot,
                    Some(slot) => Rc::new(Slot {
                        endpoint: endpoint.clone(),
                        load: Rc::clone(&slot.load),
                        payload: slot.payload.clone(),
                    }),
                    None => Rc::new(Slot {
                        endpoint: endpoint.clone(),
                        load: Rc::new(Load::new(typical, now)),
                        payload: make(endpoint),
                    }),
                }
            })
            .collect();
    }

    /// Picks an endpoint that is not among `tried`. Ready ones come first, then ready ones whose last connect failed a moment
    /// ago, then draining ones. `random(n)` is uniform below `n`.
    pub fn pick(
        &self,
        now: Instant,
        tried: &[SocketAddr],
        mut random: impl FnMut(usize) -> usize,
    ) -> Option<Rc<Slot<T>>> {
        let fit = |slot: &Slot<T>, rank: Rank| {
            rank_of(slot, now) == rank && !tried.contains(&slot.endpoint.address)
        };
        if let Some(found) = self.draw(now, &mut random, |slot| fit(slot, Rank::Good)) {
            return Some(found);
        }
        [Rank::Good, Rank::Avoided, Rank::Draining].into_iter().find_map(|rank| {
            let fitting: Vec<_> = self.slots.iter().filter(|slot| fit(slot, rank)).collect();
            match fitting.as_slice() {
                [] => None,
                all => {
                    let draw = |at: usize| all.get(at).copied();
                    Some(better(draw(random(all.len()))?, draw(random(all.len()))?, now))
                }
            }
        })
    }

    /// Two choices by a few random draws, without reading a long list.
    fn draw(
        &self,
        now: Instant,
        random: &mut impl FnMut(usize) -> usize,
        fit: impl Fn(&Slot<T>) -> bool,
    ) -> Option<Rc<Slot<T>>> {
        if self.slots.len() < 3 {
            // So few that both are looked at: the draw could only take the same one twice.
            return match self.slots.as_slice() {
                [one] => fit(one).then(|| Rc::clone(one)),
                [one, two] if fit(one) && fit(two) => {
                    // A random order, so that equals share the load.
                    Some(if random(2) == 0 { better(one, two, now) } else { better(two, one, now) })
                }
                _ => None,
            };
        }
        let mut first: Option<&Rc<Slot<T>>> = None;
        for _ in 0..DRAWS {
            let slot = self.slots.get(random(self.slots.len()))?;
            if !fit(slot) || first.is_some_and(|first| Rc::ptr_eq(first, slot)) {
                continue;
            }
            match first {
                None => first = Some(slot),
                Some(first) => return Some(better(first, slot, now)),
            }
        }
        None
    }

    /// All endpoints, for dumps and sweeps.
    pub fn slots(&self) -> &[Rc<Slot<T>>] {
        &self.slots
    }

    /// What a new endpoint is taken to be until it has answered: the mean of the others, so that it is neither flooded nor
    /// shunned.
    fn typical_latency(&self) -> f64 {
        let known: Vec<f64> = self.slots.iter().filter_map(|slot| slot.load.latency()).collect();
        if known.is_empty() { load::UNKNOWN } else { known.iter().sum::<f64>() / known.len() as f64 }
    }
}

/// Less loaded of two; the first one if equal.
fn better<T>(one: &Rc<Slot<T>>, two: &Rc<Slot<T>>, now: Instant) -> Rc<Slot<T>> {
    let best = if two.load.cost(now) < one.load.cost(now) { two } else { one };
    Rc::clone(best)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Good,
    Avoided,
    Draining,
}

fn rank_of<T>(slot: &Slot<T>, now: Instant) -> Rank {
    match slot.endpoint.state {
        EndpointState::Draining => Rank::Draining,
        EndpointState::Ready if slot.load.is_avoided(now) => Rank::Avoided,
        EndpointState::Ready => Rank::Good,
    }
}
