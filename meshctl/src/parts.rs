//! The other parts of the mesh inside this binary, behind hidden subcommands: certificate authority, controller, proxy,
//! a service of the shop, a watcher of a user's command. It must not know who starts them.
//!
//! They are chosen before anything of the CLI is set up: a sidecar in this binary is as small as the separate one.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::Signal;

use crate::local::exec;
use crate::local::orphan::{Parent, die_with_parent};
use crate::shop::app;

/// Runs the part that the first argument names; None when it names none.
pub(crate) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    let (part, rest) = args.get(1..)?.split_first()?;
    let part = part.to_str()?;
    match part {
        "__exec" => return Some(exec::run(rest)),
        "__enter" => return Some(exec::enter(rest)),
        _ => {}
    }
    if !matches!(part, "__ca" | "__controller" | "__proxy" | "__shop") {
        return None;
    }
    if die_with_parent(Signal::KILL) == Parent::Gone {
        return Some(ExitCode::FAILURE);
    }
    let args =
        |name: &str| std::iter::once(OsString::from(name)).chain(rest.iter().cloned()).collect::<Vec<_>>();
    Some(match part {
        "__ca" => mesh_ca::cli::run(mesh_ca::cli::Cli::parse_from(args("mesh-ca"))),
        "__controller" => {
            mesh_controller::cli::run(mesh_controller::cli::Cli::parse_from(args("mesh-controller")))
        }
        "__proxy" => mesh_proxy::cli::run(mesh_proxy::cli::Cli::parse_from(args("mesh-proxy"))),
        _ => app::run(app::Args::parse_from(args("meshctl-shop"))),
    })
}
