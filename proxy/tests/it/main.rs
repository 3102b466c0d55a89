//! The proxy as its neighbours see it: a client sidecar, a server sidecar and scripted peers in one process, on port 0.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_imports,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "tests say plainly what they expect, and the harness is theirs"
)]

mod access_log;
mod asked;
mod authorization;
mod balancing;
mod bounds;
mod capture;
mod captured;
mod config;
mod cors;
mod dns;
mod drain;
mod endpoints;
mod expressions;
mod failures;
mod faults;
mod floods;
mod handshakes;
mod harness;
mod health;
mod hostile;
mod hostile_rows;
mod http1;
mod http2;
mod http2_peers;
mod identity;
mod isolation;
mod limits;
mod messages;
mod mirrors;
mod modes;
mod opaque;
mod outside;
mod panics;
mod places;
mod policies;
mod proxy_protocol;
mod retries;
mod routes;
mod sessions;
mod spread;
mod stalls;
mod streams;
mod tcp;
mod timeouts;
mod tokens;
mod trials;
mod workload_api;
