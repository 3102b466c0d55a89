//! The command line. Only names and help; no behaviour.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "mesh-peer", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer HTTP/1.1, HTTP/2 and gRPC on one port until SIGTERM.
    Serve(ServeArgs),
    /// Send requests at a steady rate, and count what came of them, until SIGTERM.
    Load(LoadArgs),
    /// Ask once over HTTP/1.1 and print who answered; with --until-ready, ask until somebody does, for 60 s at most.
    Get(GetArgs),
    /// Print what a `load` beside this process has counted so far.
    Report(ReportArgs),
    /// Tell the sidecar beside this process to end, as its admin port lets everybody in the pod.
    EndSidecar(EndSidecarArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub(crate) listen: SocketAddr,
    /// What answers say about who answers.
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// How long begun requests may take after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) drain: u64,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// `HOST:PORT` that is asked.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) to: String,
    /// Requests a second over HTTP/1.1.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) http1: u32,
    /// Requests a second over HTTP/2.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) http2: u32,
    /// Calls a second of gRPC, each a stream of ten messages in half a second.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) grpc: u32,
    /// Where `report` asks.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9900")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9900")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct EndSidecarArgs {
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// `HOST:PORT` that is asked.
    #[arg(value_name = "HOST:PORT")]
    pub(crate) to: String,
    #[arg(long)]
    pub(crate) until_ready: bool,
}
