//! Picks a backend by weight. It must not know where the random number comes from: it may be a hash, and then whoever has the same one
//! stays on a backend. Backends lie one after the other on the ring, so a change of two weights moves only what lies between the old and
//! the new border; of more than two backends keep what changes next to each other.

use super::Backend;
use crate::head::HeadView;

/// The backend whose share of the ring `random` falls into: over evenly spread `random` each backend gets
/// `weight / sum of weights` of all picks. `None` if there is no backend or every weight is 0.
///
/// A backend with an invalid reference takes its share too: those requests get 500, they do not move to the others.
/// Source: Gateway API v1.6, HTTPBackendRef.weight.
pub fn pick(backends: &[Backend], random: u64) -> Option<&Backend> {
    let total: u64 = backends.iter().map(|b| u64::from(b.weight)).sum();
    // Scaling uses the high bits and needs no division; the error is below `total` in 2^64.
    let mut point = (u128::from(random) * u128::from(total)) >> 64;
    backends.iter().find(|backend| {
        let weight = u128::from(backend.weight);
        let here = point < weight;
        point = point.saturating_sub(weight);
        here
    })
}

/// The first backend that takes this request whatever the weights.
pub fn taken_by<'a, H: HeadView + ?Sized>(backends: &'a [Backend], request: &H) -> Option<&'a Backend> {
    backends.iter().find(|backend| backend.takes.iter().any(|wanted| wanted.fits_header(request)))
}

#[cfg(test)]
mod tests;
