//! The data plane of Amime: a sidecar that carries the requests of one workload.
//!
//! A request enters through [`inbound`] or [`outbound`], each one plain async pipeline over [`http`], [`tcp`] and [`tls`]. What
//! they decide comes from `mesh-model`, [`mesh_traffic`], [`detect`] and the snapshot in [`state`]. Configuration enters through
//! [`xds`], records leave through [`telemetry`]. [`app`] puts it all together. Arrows point down the list only.

pub mod cli;

pub mod app;

pub mod admin;
pub mod inbound;
pub mod outbound;

pub mod ask;

pub mod worker;

pub mod dns;
pub mod export;
pub mod workload_api;

pub mod http;
pub mod net;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod xds;

pub mod config;
pub mod detect;
pub mod probes;
pub mod state;
pub mod trace;
