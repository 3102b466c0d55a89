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
    /// So many per cent of the requests over HTTP are answered with 500, evenly spread.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) fail: u32,
    /// So many per cent of the requests over HTTP take MS milliseconds, evenly spread.
    #[arg(long, value_name = "PERCENT:MS", value_parser = slow)]
    pub(crate) slow: Option<Slow>,
    /// The process ends in the middle of this request over HTTP, without a word.
    #[arg(long, value_name = "N")]
    pub(crate) crash_at: Option<u64>,
}

/// Which requests are slow, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow {
    /// Per cent of the requests.
    pub(crate) percent: u32,
    /// Milliseconds.
    pub(crate) millis: u64,
}

fn slow(text: &str) -> Result<Slow, String> {
    let (percent, millis) = text.split_once(':').ok_or("expected PERCENT:MS, as in 2:100")?;
    let percent: u32 = percent.parse().map_err(|error| format!("PERCENT: {error}"))?;
    let millis = millis.parse().map_err(|error| format!("MS: {error}"))?;
    if percent > 100 {
        return Err("PERCENT: is over 100".to_owned());
    }
    Ok(Slow { percent, millis })
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
