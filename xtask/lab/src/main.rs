//! Runs the tests of transparent capture, each in a lab of its own: real programs that know of no mesh, and the faults that networks
//! have. `cargo xtask lab-test` builds what it needs and starts it.

mod cases;
mod cli;
mod mesh;
mod metrics;
mod run;
mod screen;
mod tools;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match run::run(&cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}
