//! The configuration that this proxy holds: a pure store that applies updates one resource at a time, and the immutable
//! [`Snapshot`] that it gives to the workers.
//!
//! It must not know streams, clocks or requests. An update of `mesh.config.v1` enters at [`Store::apply`]; a snapshot and
//! the rejects leave. Two rules hold: a bad resource never changes what is in force (INV: last good form stays), and a
//! route is in force only when the endpoints of all its backends are here (make before break).

mod addresses;
mod force;
mod holding;
mod saved;
mod snapshot;
mod standings;
mod store;

pub use saved::{MAX_BYTES, Unsaved, Unusable};
pub use snapshot::{Destination, KnownAddress, KnownHost, Lookup, LookupAddress, LookupHost, Snapshot};
pub use standings::{Noted, Page, Standings};
pub use store::{Applied, Store};

#[cfg(test)]
pub(crate) mod tests;
