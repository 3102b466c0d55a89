//! The CA as a program of its own: the thinnest `main` over the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    mesh_ca::cli::run(mesh_ca::cli::Cli::parse())
}
