//! Capture without any privilege in the pod: a CNI plugin that the node's runtime calls after the network's own, and the process that
//! installs it on a node.
//!
//! Injection writes what is to be captured into an annotation; the runtime hands annotations to the plugin. So the plugin asks nobody
//! and holds no credentials, and a pod that is not in the mesh never waits for anything of the mesh. A pod that started without the
//! plugin does not run uncaptured: its init container `mesh-validate` finds that out.
//!
//! Arrows point down only: `lib → {plugin, install} → conf`. It must not know how rules are made or how a proxy works.

mod conf;
mod install;
mod plugin;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesh_lifecycle::log;

/// The CNI plugin of the mesh. A container runtime calls it without arguments.
#[derive(Debug, Parser)]
#[command(name = "mesh-cni", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the plugin on this node and see that it stays
    Install(Install),
}

#[derive(Debug, clap::Args)]
struct Install {
    /// Folder of the node where its runtime looks for plugins
    #[arg(long, value_name = "DIR", default_value = "/host/opt/cni/bin")]
    bin_dir: PathBuf,
    /// Folder of the node with the configuration of its network
    #[arg(long, value_name = "DIR", default_value = "/host/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// What happens to the plugin on SIGTERM: kept, a new version finds it at work and no pod starts without
    #[arg(long, value_enum, default_value_t)]
    on_exit: OnExit,
    /// Where /readyz and /livez are
    #[arg(long, value_name = "LISTEN", default_value = "0.0.0.0:15014")]
    metrics: std::net::SocketAddr,
}

/// What happens to the plugin on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum OnExit {
    /// It stays: pods that are not in the mesh do not notice it.
    #[default]
    Keep,
    /// It is taken away, as when the mesh is.
    Remove,
}

/// Runs the plugin where a runtime calls it, and the command line otherwise.
pub fn run() -> ExitCode {
    if let Some(command) = plugin::command() {
        return plugin::run(&command);
    }
    let Command::Install(args) = Cli::parse().command;
    log::init("info", log::Format::Text);
    match install::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
