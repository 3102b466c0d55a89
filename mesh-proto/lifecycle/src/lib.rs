//! What every daemon of the mesh shares around its work: tasks that can be shut down and awaited, readiness,
//! back-off, logging, signals, sockets, and the admin server with `/livez`, `/readyz` and `/metrics`.
//!
//! It must not know what a daemon does: no wire format, no identity, no model.

pub mod accept;
pub mod admin;
pub mod backoff;
pub mod bind;
pub mod clock;
pub mod dial;
pub mod failpoint;
pub mod lines;
pub mod log;
pub mod ready;
pub mod signal;
pub mod tasks;
pub mod unix;
pub mod usage;

pub use tokio_util::sync::CancellationToken;

pub use backoff::Backoff;
pub use clock::Clock;
pub use ready::{Gate, Ready};
pub use tasks::{Beginning, Shutdown, Tasks};
