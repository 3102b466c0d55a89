//! Releases: whether a new version gets more requests, keeps what it has, or is taken back.
//!
//! [`machine::advance`] is the whole of it: a [`plan::Plan`], the [`state::State`] as it was written down, what was observed since, and the
//! time, to the next state, what the new version is exposed to, and events with their reasons. A state holds everything that matters, in
//! whole numbers, so that another process goes on where one ended. [`evidence`] has the statistics, [`check`] one look at the figures,
//! [`simulate`] histories of versions that are good and bad, and what becomes of them.
//!
//! It must not know objects, routes, sockets or clocks: time and chance are arguments.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics go from counts to fractions and back; each fraction is bounded before it becomes a count, and `as` saturates"
)]

pub mod check;
pub mod evidence;
pub mod machine;
pub mod observation;
pub mod plan;
pub mod simulate;
pub mod state;
pub mod window;
