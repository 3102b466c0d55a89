//! Picks by key: the table of a priority, walked from the key's place to the first endpoint that takes requests and is below its share
//! of the load. Tables stand for all endpoints that are not draining, healthy or not: one that is left alone for a time gives up its own
//! keys only, and gets them back. It must not know how tables are made.
//!
//! Zones and slow start do not count here: both would move keys.

use std::rc::Rc;

use mesh_model::endpoint::EndpointState;
use mesh_model::traffic::Algorithm;

use super::{Ask, Balancer, Slot};
use crate::hash::maglev::Maglev;
use crate::hash::ring::Ring;
use crate::hash::{Entry, mix};

/// How many places of a table are looked at; then each endpoint is asked how well it fits the key.
const WALK: usize = 128;

/// The tables of all priorities in use, made when first needed after a change of the set.
#[derive(Debug, Default)]
pub(super) struct Tables {
    made: Vec<(u32, Table)>,
}

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

impl Tables {
    pub(super) fn clear(&mut self) {
        self.made.clear();
    }

    fn ensure<T>(&mut self, priority: u32, algorithm: &Algorithm, slots: &[Rc<Slot<T>>]) {
        if self.made.iter().any(|(of, _)| *of == priority) {
            return;
        }
        let entries: Vec<Entry> = slots
            .iter()
            .zip(0u32..)
            .filter(|(slot, _)| {
                slot.endpoint.priority == priority && slot.endpoint.state == EndpointState::Ready
            })
            .map(|(slot, index)| Entry { index, hash: slot.hash, weight: slot.weight() })
            .collect();
        let table = match algorithm {
            Algorithm::RingHash { ring_size, .. } => Table::Ring(Ring::new(&entries, *ring_size)),
            Algorithm::Maglev { table_size, .. } => Table::Maglev(Maglev::new(&entries, *table_size)),
            Algorithm::PeakEwma
            | Algorithm::LeastRequest { .. }
            | Algorithm::RoundRobin
            | Algorithm::Random => return,
        };
        self.made.push((priority, table));
    }

    /// The first of the key's endpoints that is taken.
    fn find(&self, priority: u32, key: u64, mut takes: impl FnMut(u32) -> bool) -> Option<u32> {
        let (_, table) = self.made.iter().find(|(of, _)| *of == priority)?;
        match table {
            Table::Ring(ring) => ring.walk(key).take(WALK).find(|at| takes(*at)),
            Table::Maglev(table) => table.walk(key).take(WALK).find(|at| takes(*at)),
        }
    }
}

impl<T: Clone> Balancer<T> {
    pub(super) fn by_key(&mut self, part: usize, key: u64, ask: &Ask<'_>) -> Option<u32> {
        let priority = self.plan.parts.get(part)?.priority;
        let mut tables = std::mem::take(&mut self.tables);
        tables.ensure(priority, self.algorithm(), &self.slots);
        let part = self.plan.parts.get(part)?;
        let takes = |at: u32| {
            self.slots.get(at as usize).is_some_and(|slot| {
                slot.load.in_pool.get() && self.fits(slot, ask) && self.is_below_share(slot, part.weight)
            })
        };
        let found = tables.find(priority, key, takes).or_else(|| {
            let takers = part.group.members().iter().copied().filter(|at| takes(*at));
            takers.max_by_key(|at| self.slots.get(*at as usize).map(|slot| mix(slot.hash ^ mix(key))))
        });
        self.tables = tables;
        found
    }

    /// With bounded load: whether one more request keeps it at or below the bound times its part of all requests under way, this one
    /// included.
    fn is_below_share(&self, slot: &Slot<T>, weight: f64) -> bool {
        let (Algorithm::RingHash { bounded_load: Some(bound), .. }
        | Algorithm::Maglev { bounded_load: Some(bound), .. }) = self.algorithm()
        else {
            return true;
        };
        let bound = f64::from((*bound).max(1000)) / 1000.0;
        let mean = f64::from(self.shared.total.get() + 1) * f64::from(slot.weight()) / weight.max(1.0);
        f64::from(slot.load.outstanding()) < (bound * mean).ceil()
    }
}
