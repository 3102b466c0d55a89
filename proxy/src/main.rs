//! The proxy as a program of its own: a thin `main` over the library, for images and services.

use std::process::ExitCode;

use clap::Parser;

/// Returns memory after a burst and keeps threads' heaps apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mesh_proxy::cli::run(mesh_proxy::cli::Cli::parse())
}
