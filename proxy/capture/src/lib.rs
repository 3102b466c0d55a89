//! Transparent capture: the rules that bring the traffic of a network namespace to the proxy in it.
//!
//! [`options`] says what is wanted. [`plan`] makes a [`ruleset::Ruleset`] of it, purely: what a chain matches and does, in the order in
//! which it matters. The same ruleset is written as text as `nft` lists it ([`text`]), as one netlink batch ([`nft`]), and as input of
//! `iptables-restore` for kernels without nftables ([`iptables`]). [`apply()`] and [`undo()`] are the only ones that act, on the network
//! namespace of the calling thread. This package must not know the proxy: it knows its ports, user and marks only.

pub mod apply;
pub mod error;
pub mod iptables;
mod kernel;
pub mod nft;
mod number;
pub mod options;
pub mod plan;
pub mod range;
mod route;
pub mod ruleset;
pub mod text;
mod wire;

pub use apply::{Applied, apply, dry_run, undo};
pub use error::CaptureError;
pub use options::CaptureOptions;
