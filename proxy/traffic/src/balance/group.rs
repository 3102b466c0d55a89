//! Endpoints among which one is picked at a time: drawn by weight in constant time, or in turn. It must not know what makes one fit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use super::Slot;
use super::load::Load;
use crate::hash::mix;

/// One whole turn of an endpoint of weight 1.
const TURN: f64 = 1_099_511_627_776.0;

/// Endpoints of one priority, and of one zone if zones count.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Numbers of the slots.
    members: Vec<u32>,
    /// Only where weights differ.
    alias: Option<Alias>,
    turns: BinaryHeap<Reverse<(u128, u32)>>,
    /// The time of the turn that came last.
    clock: u128,
}

/// A random number below its argument.
pub(super) type Random<'a> = &'a mut dyn FnMut(usize) -> usize;

impl Group {
    pub(super) fn new<T>(members: Vec<u32>, slots: &[Rc<Slot<T>>]) -> Self {
        let weights: Vec<f64> = members
            .iter()
            .map(|at| slots.get(*at as usize).map_or(1.0, |slot| f64::from(slot.weight())))
            .collect();
        let mean = weights.iter().sum::<f64>() / (weights.len().max(1) as f64);
        for (at, weight) in members.iter().zip(&weights) {
            if let Some(slot) = slots.get(*at as usize) {
                slot.load.share.set(weight / mean);
            }
        }
        let uniform =
            weights.windows(2).all(|pair| matches!(pair, [one, two] if one.to_bits() == two.to_bits()));
        let alias = (!uniform).then(|| Alias::new(&weights));
        Self { members, alias, turns: BinaryHeap::new(), clock: 0 }
    }

    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.alias.is_some()
    }

    /// A place among the members, by weight.
    pub(super) fn draw(&self, random: Random<'_>) -> usize {
        match &self.alias {
            None => random(self.members.len().max(1)),
            Some(alias) => alias.draw(random),
        }
    }

    pub(super) fn slot<'a, T>(&self, at: usize, slots: &'a [Rc<Slot<T>>]) -> Option<&'a Rc<Slot<T>>> {
        self.members.get(at).and_then(|index| slots.get(*index as usize))
    }

    /// Prepares turns. Those that had one in this balancer before keep their place; others begin at a place of their own, different
    /// for each `seed`, so that workers and proxies do not go round in step.
    pub(super) fn take_turns<T>(&mut self, slots: &[Rc<Slot<T>>], seed: u64, now: Instant) {
        let known = |index: &u32| slots.get(*index as usize).and_then(|slot| slot.load.turn.get());
        self.clock = self.members.iter().filter_map(known).min().unwrap_or(0);
        for index in &self.members {
            let Some(slot) = slots.get(*index as usize) else { continue };
            let step = step(&slot.load, slot.weight(), now);
            let next = match slot.load.turn.get() {
                // One that was in another group may be far ahead.
                Some(turn) => turn.min(self.clock + step),
                None => {
                    let part = (mix(slot.hash ^ seed) >> 11) as f64 / (1u64 << 53) as f64;
                    self.clock + scaled(step, part)
                }
            };
            slot.load.turn.set(Some(next));
            self.turns.push(Reverse((next, *index)));
        }
    }

    /// The next one in turn that fits. The others before it keep their turn for the next request.
    pub(super) fn next<T>(
        &mut self,
        slots: &[Rc<Slot<T>>],
        now: Instant,
        fit: impl Fn(&Slot<T>) -> bool,
    ) -> Option<u32> {
        let mut passed = SmallVec::<[(u128, u32); 8]>::new();
        let mut found = None;
        while let Some(Reverse((turn, index))) = self.turns.pop() {
            let Some(slot) = slots.get(index as usize) else { continue };
            if !fit(slot) {
                passed.push((turn, index));
                continue;
            }
            self.clock = self.clock.max(turn);
            let next = turn + step(&slot.load, slot.weight(), now);
            slot.load.turn.set(Some(next));
            self.turns.push(Reverse((next, index)));
            found = Some(index);
            break;
        }
        for (turn, index) in passed {
            // Who could not take its turn for long does not get all of them at once later.
            let turn = slots.get(index as usize).map_or(turn, |slot| {
                turn.max(self.clock.saturating_sub(step(&slot.load, slot.weight(), now)))
            });
            self.turns.push(Reverse((turn, index)));
        }
        found
    }
}

fn step(load: &Load, weight: u32, now: Instant) -> u128 {
    scaled(1, TURN / (f64::from(weight) * load.warmth(now)))
}

fn scaled(value: u128, by: f64) -> u128 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and it is not negative"
    )]
    let scaled = (value as f64 * by) as u128;
    scaled.max(1)
}

/// Draws by weight in constant time.
///
/// Source: Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution" (1991).
#[derive(Debug)]
struct Alias {
    /// Up to which part of [`SCALE`] a place stands for itself, and for whom beyond it.
    columns: Vec<(u32, u32)>,
}

const SCALE: u32 = 1 << 24;

impl Alias {
    fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / (weights.len().max(1) as f64);
        let mut columns = vec![(SCALE, 0); weights.len()];
        let mut parts: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|at| parts.get(*at).is_some_and(|part| *part < 1.0));
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            let own = parts.get(less).copied().unwrap_or(1.0);
            if let Some(column) = columns.get_mut(less) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "below SCALE, not negative"
                )]
                let upto = (own * f64::from(SCALE)) as u32;
                *column = (upto, u32::try_from(more).unwrap_or_default());
            }
            if let Some(rest) = parts.get_mut(more) {
                *rest -= 1.0 - own;
                if *rest < 1.0 {
                    large.pop();
                    small.push(more);
                }
            }
        }
        Self { columns }
    }

    fn draw(&self, random: Random<'_>) -> usize {
        let at = random(self.columns.len().max(1));
        match self.columns.get(at) {
            Some((upto, other)) if random(SCALE as usize) >= *upto as usize => *other as usize,
            _ => at,
        }
    }
}
