//! The client of `mesh.config.v1`, and the handle through which workers find destinations.
//!
//! It must not know requests or balancing. One task on the control thread ([`spawn`]) holds the stream to the controller
//! and the [`crate::state::Store`]; a new destination enters at [`Discovery::destination`], a snapshot leaves through a
//! watch channel. Without a controller the last good state stays (INV: traffic never depends on the control plane).

mod age;
mod client;
mod discovery;
mod doubts;
mod fixed;
mod keep;
mod keeper;
mod session;
mod status;
mod usage;

#[cfg(test)]
pub(crate) mod tests;

pub use client::{ClientConfig, LEAST_WAIT, MOST_WAIT, SILENCE, SPREAD, spawn};
pub use discovery::{Discovery, Named, Reached, Undiscovered};
pub use fixed::FixedControl;
