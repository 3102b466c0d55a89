//! The CLI of the mesh. One binary carries every part: it starts itself under a hidden subcommand as certificate
//! authority, controller, sidecar or shop, so that nothing else has to be built or installed.
//!
//! Arrows point down only: `main → cli → commands → {local, shop, client, cluster} → output`. A command line enters in
//! [`cli`], is typed there, and each file in `commands` carries out one command. `local` runs a mesh on this machine,
//! `shop` is the demonstration that runs in it, `client` is the one door to the wire (inspect API), `cluster` is the one
//! door to an API server, and `output` is the one place that writes to standard output.

pub mod cli;

mod client;
mod cluster;
mod commands;
mod local;
mod output;
mod parts;
mod shop;
