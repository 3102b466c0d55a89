//! On how many proxies a resource is in force, of how many that use it. Pure.

use std::collections::HashMap;
use std::sync::Arc;

/// What one proxy says about one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// It has confirmed the current version.
    InForce,
    /// It uses the resource, but not (yet) the current version.
    Behind,
}

/// Counts over proxies.
#[derive(Debug, Default)]
pub struct Programmed {
    counts: HashMap<Arc<str>, (u32, u32)>,
}

impl Programmed {
    /// One proxy's word about one resource.
    pub fn add(&mut self, resource: &Arc<str>, holding: Holding) {
        let (in_force, of) = self.counts.entry(Arc::clone(resource)).or_default();
        *of = of.saturating_add(1);
        if holding == Holding::InForce {
            *in_force = in_force.saturating_add(1);
        }
    }

    /// `n` of `m`.
    pub fn of(&self, resource: &str) -> (u32, u32) {
        self.counts.get(resource).copied().unwrap_or_default()
    }
}
