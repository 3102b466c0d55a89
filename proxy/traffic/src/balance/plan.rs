//! Which endpoints get which part of the load: priorities by health, zones by capacity, and all of a priority in panic. Made anew
//! when health or the set changes, not per request. It must not know how one of a part is picked.

use std::rc::Rc;
use std::time::Instant;

use mesh_model::endpoint::EndpointState;
use mesh_model::traffic::{Algorithm, Balancing, Locality};

use super::Slot;
use super::group::Group;

/// A priority counts as healthy as this times its share of usable endpoints, at most 1: it keeps all of the load until less than
/// 1 / 1.4 (71 %) of it is usable, then the next one gets what is missing.
///
/// Source: Envoy's overprovisioning factor, for the same behaviour on a change of mesh.
const OVERPROVISIONING: f64 = 1.4;

/// A draw of a part is below this.
pub(super) const SCALE: u32 = 1 << 24;

/// Whom the load goes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    /// When time alone may change it.
    pub(super) until: Option<Instant>,
    /// Whether there is anything to count about picks: more than the endpoints of the first priority, near and healthy.
    pub(super) notable: bool,
    /// The first priority that there is.
    pub(super) first: u32,
}

/// A part of the load.
#[derive(Debug)]
pub(super) struct Part {
    /// A draw below this and not below the part before is for this one.
    pub(super) upto: u32,
    pub(super) priority: u32,
    pub(super) reach: Reach,
    pub(super) health: Health,
    pub(super) group: Group,
    /// Sum of the weights of the priority's endpoints that take requests.
    pub(super) weight: f64,
}

/// Whether a part is in the own zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is, or zones do not count.
    Own,
    /// It is in another one, although the own one has endpoints.
    Other,
}

/// Whether health was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Only usable endpoints are in the part.
    Regarded,
    /// Too few are: all are in it.
    Panic,
}

impl Plan {
    /// The part for a draw below [`SCALE`].
    pub(super) fn part(&self, draw: u32) -> Option<usize> {
        let at = self.parts.partition_point(|part| part.upto <= draw);
        (at < self.parts.len()).then_some(at)
    }
}

/// Makes the plan, and marks who takes requests.
pub(super) fn plan<T>(slots: &[Rc<Slot<T>>], balancing: &Balancing, own_zone: &str, now: Instant) -> Plan {
    for slot in slots {
        slot.load.in_pool.set(false);
    }
    let levels = levels(slots);
    let health: Vec<(usize, usize)> =
        levels.iter().map(|level| (level.count(slots, now), level.members.len())).collect();
    let panic_below = f64::from(balancing.panic_threshold.0) / 1_000_000.0;
    let mut plan = Plan {
        until: slots.iter().filter_map(|slot| slot.load.next_change(now)).min(),
        first: levels.first().map_or(0, |level| level.priority),
        ..Plan::default()
    };
    let mut sum = 0.0;
    for (level, (share, panic)) in levels.iter().zip(level_shares(&health, panic_below)) {
        // What gets no load panics for nobody.
        let panic = if share > 0.0 { panic } else { Health::Regarded };
        let pool = level.pool(slots, panic, now);
        pool.iter().filter_map(|at| slots.get(*at as usize)).for_each(|slot| slot.load.in_pool.set(true));
        let weight = weight_of(&pool, slots);
        for (part, reach, members) in zones(&level.members, pool, slots, balancing, own_zone) {
            sum += share * part;
            if share * part > 0.0 && !members.is_empty() {
                plan.notable |=
                    level.priority > plan.first || reach == Reach::Other || panic == Health::Panic;
                plan.parts.push(Part {
                    upto: scaled(sum),
                    priority: level.priority,
                    reach,
                    health: panic,
                    group: Group::new(members, slots),
                    weight,
                });
            }
        }
    }
    // Rounding must not leave a draw without a part.
    if let Some(last) = plan.parts.last_mut() {
        last.upto = SCALE;
    }
    plan
}

fn scaled(share: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and it is not negative"
    )]
    let scaled = (share * f64::from(SCALE)).round() as u32;
    scaled.min(SCALE)
}

/// Endpoints of one priority that are not draining.
struct Level {
    priority: u32,
    members: Vec<u32>,
}

impl Level {
    /// How many are usable.
    fn count<T>(&self, slots: &[Rc<Slot<T>>], now: Instant) -> usize {
        self.members
            .iter()
            .filter_map(|at| slots.get(*at as usize))
            .filter(|slot| slot.load.is_usable(now))
            .count()
    }

    /// Who takes requests. In panic also who is ejected or fails probes, but who cannot even be connected to only if that is all.
    fn pool<T>(&self, slots: &[Rc<Slot<T>>], health: Health, now: Instant) -> Vec<u32> {
        let pool = |takes: &dyn Fn(&Slot<T>) -> bool| -> Vec<u32> {
            let takes = |at: &u32| slots.get(*at as usize).is_some_and(|slot| takes(slot));
            self.members.iter().copied().filter(takes).collect()
        };
        match health {
            Health::Regarded => pool(&|slot| slot.load.is_usable(now)),
            Health::Panic => {
                let reachable = pool(&|slot| !slot.load.is_avoided(now));
                if reachable.is_empty() { self.members.clone() } else { reachable }
            }
        }
    }
}

fn levels<T>(slots: &[Rc<Slot<T>>]) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for (slot, index) in slots.iter().zip(0u32..) {
        if slot.endpoint.state == EndpointState::Draining {
            continue;
        }
        let priority = slot.endpoint.priority;
        match levels.binary_search_by_key(&priority, |level| level.priority) {
            Ok(at) => {
                if let Some(level) = levels.get_mut(at) {
                    level.members.push(index);
                }
            }
            Err(at) => levels.insert(at, Level { priority, members: vec![index] }),
        }
    }
    levels
}

/// The part of the load for each priority, from its usable and all endpoints, first priority first, and whether it panics.
///
/// Each takes as much as it is healthy and those before left over. When all together are not healthy enough for the whole load, each
/// gets more than that in proportion, and those below the threshold panic; when nothing is usable, the first one gets everything.
fn level_shares(levels: &[(usize, usize)], panic_below: f64) -> Vec<(f64, Health)> {
    let ratio = |(usable, all): &(usize, usize)| *usable as f64 / (*all).max(1) as f64;
    let health: Vec<f64> = levels.iter().map(|level| (OVERPROVISIONING * ratio(level)).min(1.0)).collect();
    let sum: f64 = health.iter().sum();
    let mut left = 1.0;
    levels
        .iter()
        .zip(&health)
        .enumerate()
        .map(|(at, (level, health))| {
            let share = if sum >= 1.0 {
                let share = health.min(left);
                left -= share;
                share
            } else if sum > 0.0 {
                health / sum
            } else {
                f64::from(u8::from(at == 0))
            };
            let panic = sum < 1.0 && (ratio(level) < panic_below || sum <= 0.0);
            (share, if panic { Health::Panic } else { Health::Regarded })
        })
        .collect()
}

/// Cuts the pool of a priority by zone: part of its load, whether the own zone, members.
fn zones<T>(
    members: &[u32],
    pool: Vec<u32>,
    slots: &[Rc<Slot<T>>],
    balancing: &Balancing,
    own_zone: &str,
) -> Vec<(f64, Reach, Vec<u32>)> {
    let zone_of = |at: &u32| slots.get(*at as usize).map_or("", |slot| slot.endpoint.zone.as_str());
    let hashed = matches!(balancing.algorithm, Algorithm::RingHash { .. } | Algorithm::Maglev { .. });
    let counts = balancing.locality == Locality::PreferZone && !hashed && !own_zone.is_empty();
    if !counts || !members.iter().any(|at| zone_of(at) == own_zone) {
        return vec![(1.0, Reach::Own, pool)];
    }
    let mut names: Vec<&str> = members.iter().map(zone_of).collect();
    names.sort_unstable();
    names.dedup();
    let pools: Vec<Vec<u32>> =
        names.iter().map(|name| pool.iter().copied().filter(|at| zone_of(at) == *name).collect()).collect();
    let capacities: Vec<f64> = pools.iter().map(|pool| weight_of(pool, slots)).collect();
    let own = names.iter().position(|name| *name == own_zone).unwrap_or_default();
    let parts = zone_shares(own, &capacities);
    names
        .iter()
        .zip(parts)
        .zip(pools)
        .map(|((name, part), pool)| (part, if *name == own_zone { Reach::Own } else { Reach::Other }, pool))
        .collect()
}

/// The part of the load for each zone, seen from the zone `own`, by what the usable endpoints of each can take.
///
/// Callers are taken to be spread evenly over the zones. A zone that can take its callers' share keeps it whole; else it keeps what it
/// can, and the rest goes to the others by what they have left over. Then each endpoint gets the same for its weight.
fn zone_shares(own: usize, capacities: &[f64]) -> Vec<f64> {
    let sum: f64 = capacities.iter().sum();
    let fair = 1.0 / capacities.len().max(1) as f64;
    let part = |capacity: &f64| if sum > 0.0 { capacity / sum } else { fair };
    let kept = (capacities.get(own).map_or(0.0, part) / fair).min(1.0);
    let spare = |capacity: &f64| (part(capacity) - fair).max(0.0);
    let all_spare: f64 = capacities.iter().map(spare).sum();
    capacities
        .iter()
        .enumerate()
        .map(|(at, capacity)| {
            if at == own {
                // Only rounding can leave nobody to spill to.
                if all_spare > 0.0 { kept } else { 1.0 }
            } else if all_spare > 0.0 {
                (1.0 - kept) * spare(capacity) / all_spare
            } else {
                0.0
            }
        })
        .collect()
}

fn weight_of<T>(members: &[u32], slots: &[Rc<Slot<T>>]) -> f64 {
    members.iter().filter_map(|at| slots.get(*at as usize)).map(|slot| f64::from(slot.weight())).sum()
}

#[cfg(test)]
mod tests;
