//! The controller as a whole, in this process, over real mTLS: scripted proxies and a scripted `meshctl`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod api;
mod bad_among_good;
mod canaries;
mod cluster;
mod config;
mod dashboard;
mod floods;
mod freshness;
mod keys;
mod panics;
mod reports;
mod trials;
mod world;
