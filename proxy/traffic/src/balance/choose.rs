//! The algorithms: one endpoint of a part of the plan. Constant time but for round robin (logarithmic) and least request (its number of
//! choices); nothing is allocated. It must not know priorities, zones or health.

use std::rc::Rc;
use std::time::Instant;

use mesh_model::traffic::Algorithm;

use super::group::{Group, Random};
use super::{Ask, Balancer, Slot};

/// How many random draws are made before the whole list is read.
const DRAWS: usize = 6;

/// The most choices of least request.
const MOST_CHOICES: usize = 32;

/// Parts of a share that a warming endpoint can have.
const WARMTH: usize = 1 << 16;

impl<T: Clone> Balancer<T> {
    /// An endpoint of that part that fits, by number. `None`: none was found, which does not mean that there is none.
    pub(super) fn choose(&mut self, part: usize, ask: &Ask<'_>, random: Random<'_>) -> Option<u32> {
        let hashed = match (self.algorithm(), ask.hash) {
            (Algorithm::RingHash { .. } | Algorithm::Maglev { .. }, Some(hash)) => Some(hash),
            _ => None,
        };
        if let Some(hash) = hashed {
            return self.by_key(part, hash, ask);
        }
        if *self.algorithm() == Algorithm::RoundRobin {
            return self.in_turn(part, ask);
        }
        let group = &self.plan.parts.get(part)?.group;
        let draw = Draw { balancer: self, group, ask };
        let at = match self.algorithm() {
            Algorithm::PeakEwma => draw.better_of_two(random),
            Algorithm::LeastRequest { choices } => draw.least_of(*choices as usize, random),
            _ => (0..DRAWS).find_map(|_| draw.fitting(random)),
        };
        at.and_then(|at| group.members().get(at).copied())
    }

    fn in_turn(&mut self, part: usize, ask: &Ask<'_>) -> Option<u32> {
        let most = self.balancing().max_requests_per_endpoint.unwrap_or(u32::MAX);
        let fits =
            |slot: &Slot<T>| !ask.tried.contains(&slot.endpoint.address) && slot.load.outstanding() < most;
        self.plan.parts.get_mut(part)?.group.next(&self.slots, ask.now, fits)
    }
}

/// A pick among one group.
struct Draw<'a, T> {
    balancer: &'a Balancer<T>,
    group: &'a Group,
    ask: &'a Ask<'a>,
}

impl<T: Clone> Draw<'_, T> {
    fn slot(&self, at: usize) -> Option<&Rc<Slot<T>>> {
        self.group.slot(at, &self.balancer.slots)
    }

    fn now(&self) -> Instant {
        self.ask.now
    }

    fn fits(&self, at: usize) -> bool {
        self.slot(at).is_some_and(|slot| self.balancer.fits(slot, self.ask))
    }

    /// Whether a warming endpoint takes this one: as often as its share has grown.
    fn is_warm(&self, at: usize, random: Random<'_>) -> bool {
        let warmth = self.slot(at).map_or(1.0, |slot| slot.load.warmth(self.now()));
        warmth >= 1.0 || (random(WARMTH) as f64) < warmth * WARMTH as f64
    }

    /// One by weight, thinned by slow start; when all are warming, one of them all the same.
    fn drawn(&self, random: Random<'_>) -> usize {
        let mut at = self.group.draw(random);
        for _ in 0..DRAWS {
            if self.is_warm(at, random) {
                break;
            }
            at = self.group.draw(random);
        }
        at
    }

    fn fitting(&self, random: Random<'_>) -> Option<usize> {
        let at = self.drawn(random);
        self.fits(at).then_some(at)
    }

    /// The better of two by cost. Where weights are equal the two are different ones, else each is drawn by its weight.
    fn better_of_two(&self, random: Random<'_>) -> Option<usize> {
        let first = if self.group.len() == 1 {
            return self.fits(0).then_some(0);
        } else {
            (0..DRAWS).find_map(|_| self.fitting(random))?
        };
        let second = if self.group.is_weighted() {
            self.drawn(random)
        } else {
            // Uniform among the others.
            let at = random(self.group.len() - 1);
            let at = at + usize::from(at >= first);
            if !self.is_warm(at, random) {
                return Some(first);
            }
            at
        };
        if second == first || !self.fits(second) {
            return Some(first);
        }
        let (one, two) = (self.slot(first)?, self.slot(second)?);
        Some(if two.load.is_better(&one.load, self.now()) { second } else { first })
    }

    /// The one with the fewest requests under way for its weight, of so many; of equals the first drawn.
    fn least_of(&self, choices: usize, random: Random<'_>) -> Option<usize> {
        let (len, choices) = (self.group.len(), choices.clamp(2, MOST_CHOICES));
        let pressure = |at| self.slot(at).map_or(f64::MAX, |slot| slot.load.pressure(self.now()));
        let mut best = (0..DRAWS).find_map(|_| self.fitting(random))?;
        let mut least = pressure(best);
        let mut look = |at: usize, random: Random<'_>| {
            if at != best && self.fits(at) && self.is_warm(at, random) {
                let pressure = pressure(at);
                if pressure < least {
                    (best, least) = (at, pressure);
                }
            }
        };
        if len <= choices {
            let offset = random(len);
            (0..len).for_each(|at| look((at + offset) % len, random));
        } else {
            // Of more endpoints than choices few draws meet twice.
            (1..choices).for_each(|_| look(self.group.draw(random), random));
        }
        Some(best)
    }
}
