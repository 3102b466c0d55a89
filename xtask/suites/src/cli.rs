//! The command line. Only names and help; no behaviour.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Long tests of running proxies.
#[derive(Debug, Parser)]
#[command(name = "mesh-suites", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hostile input: what must be refused reaches no upstream, bystanders are served, memory stays in its bounds
    Hostile(Hostile),
    /// What standards and other implementations check: h2spec, gRPC interop, WebSocket, TLS
    Suites(Box<Suites>),
    /// Mixed load for long, with the configuration changed all the time
    Soak(Soak),
    /// The authority is away, is killed, and rotates its root, under load
    Rotation(Rotation),
    /// The controller is flooded: offenders are ended, others are told in time, memory stays in its bound
    ControlFlood(Flood),
}

/// How results are printed, of what.
#[derive(Debug, Args)]
pub(crate) struct Flood {
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// `meshctl`
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
}

/// Which proxy, which rows.
#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// A running proxy; without it a mesh is started on loopback
    #[arg(long, value_name = "IP:PORT", requires = "recorder")]
    pub(crate) address: Option<SocketAddr>,
    /// Where the suite listens as the service behind that proxy: it must be configured to send everything there
    #[arg(long, value_name = "IP:PORT", requires = "address")]
    pub(crate) recorder: Option<SocketAddr>,
    /// What the requests call the service (Host)
    #[arg(long, value_name = "HOST", default_value = "recorder.suites")]
    pub(crate) host: String,
    /// The `mesh.json` of a mesh that `meshctl up` runs: requests come as from a member of it, with mutual TLS
    #[arg(long, value_name = "FILE", requires_all = ["address", "server"])]
    pub(crate) mesh: Option<PathBuf>,
    /// Whose sidecar it is: its certificate must say so
    #[arg(long, value_name = "NAMESPACE/WORKLOAD", requires = "mesh")]
    pub(crate) server: Option<String>,
    /// The proxy's process: its memory is bounded too
    #[arg(long, value_name = "PID", requires = "address")]
    pub(crate) pid: Option<u32>,
    /// This role only; all where a mesh is started, else `outbound`
    #[arg(long, value_enum)]
    pub(crate) role: Option<Role>,
    /// Only rows whose name begins so; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Vec<String>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// `meshctl`, for a mesh of our own
    #[arg(long, value_name = "FILE", required_unless_present = "address")]
    pub(crate) meshctl: Option<PathBuf>,
}

/// Where in the mesh the proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Before the service: the mesh port
    Inbound,
    /// Beside the client: a destination port and the HTTP proxy port
    Outbound,
    /// At the edge; until there are gateways, their listener is the destination port of a sidecar
    Gateway,
}

/// Which suites.
#[derive(Debug, Args)]
pub(crate) struct Suites {
    /// These only; all when none is named
    #[arg(value_enum, value_name = "SUITE")]
    pub(crate) suites: Vec<Suite>,
    /// Only cases whose name begins so; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Vec<String>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// `meshctl`
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
    /// The program h2spec
    #[arg(long, value_name = "FILE")]
    pub(crate) h2spec: Option<PathBuf>,
    /// The gRPC interop client
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_client: Option<PathBuf>,
    /// The gRPC interop server
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_server: Option<PathBuf>,
    /// The gRPC interop server that says its name
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_named: Option<PathBuf>,
    /// The client on go-spiffe
    #[arg(long, value_name = "FILE")]
    pub(crate) spiffe_go: Option<PathBuf>,
    /// A Python with py-spiffe
    #[arg(long, value_name = "FILE")]
    pub(crate) spiffe_python: Option<PathBuf>,
    /// The client on py-spiffe
    #[arg(long, value_name = "FILE")]
    pub(crate) spiffe_script: Option<PathBuf>,
    /// OPA behind Envoy's external authorization API
    #[arg(long, value_name = "FILE")]
    pub(crate) opa: Option<PathBuf>,
    /// Its policy, in Rego
    #[arg(long, value_name = "FILE")]
    pub(crate) opa_policy: Option<PathBuf>,
    /// Envoy's rate limit service
    #[arg(long, value_name = "FILE")]
    pub(crate) rate_limit: Option<PathBuf>,
    /// The program redis-server
    #[arg(long, value_name = "FILE")]
    pub(crate) redis: Option<PathBuf>,
    /// A collector of OpenTelemetry's
    #[arg(long, value_name = "FILE")]
    pub(crate) collector: Option<PathBuf>,
    /// The program prometheus
    #[arg(long, value_name = "FILE")]
    pub(crate) prometheus: Option<PathBuf>,
    /// Its tool
    #[arg(long, value_name = "FILE")]
    pub(crate) promtool: Option<PathBuf>,
    /// Our rules for it
    #[arg(long, value_name = "FILE")]
    pub(crate) prometheus_rules: Option<PathBuf>,
    /// Go's TLS client
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client: Option<PathBuf>,
    /// The program sslyze
    #[arg(long, value_name = "FILE")]
    pub(crate) sslyze: Option<PathBuf>,
    /// Autobahn's `wstest`, to run its cases through the sidecars too
    #[arg(long, value_name = "FILE")]
    pub(crate) autobahn: Option<PathBuf>,
}

/// A suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// HTTP/2, 145 cases on a port that is HTTP/2 only
    H2spec,
    /// gRPC interop, 17 cases through two sidecars
    Grpc,
    /// WebSocket through two sidecars
    Websocket,
    /// go-spiffe and py-spiffe as clients of a sidecar's Workload API, with certificates of 60 seconds
    Spiffe,
    /// OPA by Envoy's external authorization API
    ExtAuthz,
    /// Envoy's rate limit service with Redis
    RateLimit,
    /// Prometheus scrapes a mesh under load
    Prometheus,
    /// A collector of OpenTelemetry's is sent what a mesh under load tells
    Collector,
    /// What the mesh's TLS agrees on with others' clients
    Tls,
}

/// How long, how much.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Minutes of load
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) minutes: u64,
    /// Changes of the configuration in a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) changes_per_second: u32,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// `meshctl`
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
}

/// How long certificates live, which parts.
#[derive(Debug, Args)]
pub(crate) struct Rotation {
    /// These only; all when none is named
    #[arg(value_enum, value_name = "PART")]
    pub(crate) parts: Vec<Part>,
    /// Seconds that a certificate lives
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=600))]
    pub(crate) svid_ttl_seconds: u64,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// `meshctl`
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
}

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The authority is away for half of a certificate's life
    Outage,
    /// The root is rotated twice, and the authority killed at each
    Rotation,
    /// The same with two replicas of the authority, of which one is killed
    Replicas,
    /// Every certificate ends while the authority is away
    Expiry,
    /// The clock of one process after the other is set, forwards and backwards (needs libfaketime)
    Clock,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON object as the last line but one
    Json,
}
