//! The controller as a program of its own.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    mesh_controller::cli::run(mesh_controller::cli::Cli::parse())
}
