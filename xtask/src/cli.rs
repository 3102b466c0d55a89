//! The command line of `cargo xtask`. Only names and help; no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::generate;

/// Where `meshctl install` takes images from.
const HUB: &str = "ghcr.io/amime-mesh";
const CLUSTER: &str = "amime";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The developer entry of Amime", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything a change must pass: set-up, checks, tests, documents, and the mesh run with real programs.
    Ci(CiArgs),
    /// Write what is generated: protobuf code, CRDs, the reference of the command line.
    Gen(GenArgs),
    /// Check what no compiler checks: module arrows, doors, file lengths, manifests, pages.
    Tidy,
    /// Check every link between the pages.
    Links,
    /// Run every command of the getting-started page against the release build.
    BookTest,
    /// Put nginx and a Python gRPC server on a mesh and call them with curl, h2load and a grpcio client.
    RealSoftware,
    /// Run the demo's own check with the release build.
    Demo,
    /// Measure our proxy beside Envoy, nginx and `HAProxy`: CPU a request, latency, memory.
    Bench(BenchArgs),
    /// Use the dashboard in Chromium, on the live traffic of a mesh of its own, and look for what is not accessible.
    Browser(BrowserArgs),
    /// Send hostile input to a running proxy, or to a mesh of our own: what must be refused reaches no upstream.
    Hostile(HostileArgs),
    /// Run h2spec, the gRPC interop cases and the WebSocket cases through sidecars, and look at their TLS from outside.
    Suites(SuitesArgs),
    /// Run programs that know of no mesh, and the faults of networks, through captured sidecars in network namespaces.
    LabTest(LabTestArgs),
    /// Build our programs as static binaries and write an image of each, without a container engine.
    Images(ImagesArgs),
    /// Hold the chart's objects, as meshctl makes them, against those of Helm's own engine.
    Helm,
    /// Change the code of policy and of paths and hosts, an expression at a time, and ask whether a test notices: nine of ten must be.
    Mutants(crate::mutants::Args),
    /// Build with the cryptography that FIPS 140-3 has validated, and ask what it offers; takes Go and CMake, and minutes.
    Fips,
    /// A Kubernetes to test on: `up`, `down`, `status`, `load`, `kubectl`, `run`; `cluster help` says more.
    #[command(disable_help_flag = true)]
    Cluster(ClusterArgs),
    /// Install the mesh on a cluster of its own, live with it, and take it away: every scenario of a user's.
    E2e(E2eArgs),
    /// Run Gateway API's conformance suite, and our own cases for what it leaves unchecked, against the installed mesh.
    Conformance(ConformanceArgs),
    /// Put mixed load on a mesh for long and change its configuration all the time.
    Soak(SoakArgs),
    /// Take the authority away, kill it, and rotate its root, under load.
    Rotation(RotationArgs),
    /// Flood the controller in every way that is bounded: offenders are ended, others are told in time, memory stays in its bound.
    ControlFlood(ControlFloodArgs),
    /// Very many proxies and a few controllers in virtual time: `simulate control --proxies 100000`.
    #[command(disable_help_flag = true)]
    Simulate(SimulateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// What `mesh-simulate` takes: `control --help` says it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ControlFloodArgs {
    /// `text`, or `json` for one JSON object as the last line but one.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CiArgs {
    /// Run these steps only (comma separated).
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    pub(crate) only: Vec<String>,
    /// Leave these steps out (comma separated).
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    pub(crate) skip: Vec<String>,
    /// Name the steps and stop.
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenArgs {
    /// What to generate; everything when nothing is named.
    #[arg(value_enum, value_name = "PART")]
    pub(crate) parts: Vec<generate::Part>,
    /// Write nothing; fail when a generated file is not what would be written.
    #[arg(long)]
    pub(crate) check: bool,
    /// Use `mesh-controller` and `meshctl` from this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    /// Fewer and shorter rounds: under three minutes after building, more noise.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run these rows only (comma separated): memory, h1, h2, grpc, body64k, mtls, mtlsh2, tcp1, tcp8, detect, latency, features.
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub(crate) rows: Vec<String>,
    /// `table`, or `json` for one JSON object as the last line.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// Write charts (SVG) into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) charts: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure the control plane: a controller with very many objects under very many simulated proxies.
    Control(ControlBenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ControlBenchArgs {
    /// Where the objects are: `folder`, or `cluster` for etcd and an API server of our own (needs root).
    #[arg(long, value_parser = ["folder", "cluster"], default_value = "folder")]
    pub(crate) source: String,
    /// Services, over fifty namespaces.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) services: u32,
    /// Endpoints of each.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) endpoints: u32,
    /// Whether endpoints are pods that are there too; of a cluster only.
    #[arg(long)]
    pub(crate) pods: bool,
    /// Simulated proxies.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) streams: u32,
    /// Shorter phases.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Fail when a goal for storms (reconnects, a restart) is not met.
    #[arg(long)]
    pub(crate) check: bool,
    /// `table`, or `json` for one JSON object after the table.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct BrowserArgs {
    /// Make the pictures of the book anew.
    #[arg(long)]
    pub(crate) screenshots: bool,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct HostileArgs {
    /// A running proxy; without it a mesh is started on loopback.
    #[arg(long, value_name = "IP:PORT", requires = "recorder")]
    pub(crate) address: Option<String>,
    /// Where the suite listens as the service behind that proxy.
    #[arg(long, value_name = "IP:PORT", requires = "address")]
    pub(crate) recorder: Option<String>,
    /// What requests call that service (Host).
    #[arg(long, value_name = "HOST", requires = "address")]
    pub(crate) host: Option<String>,
    /// The `mesh.json` of a mesh that `meshctl up` runs: requests come as from a member of it, with mutual TLS.
    #[arg(long, value_name = "FILE", requires_all = ["address", "server"])]
    pub(crate) mesh: Option<PathBuf>,
    /// Whose sidecar it is: its certificate must say so.
    #[arg(long, value_name = "NAMESPACE/WORKLOAD", requires = "mesh")]
    pub(crate) server: Option<String>,
    /// The proxy's process: its memory is bounded too.
    #[arg(long, value_name = "PID", requires = "address")]
    pub(crate) pid: Option<u32>,
    /// `inbound`, `outbound` or `gateway` only.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Only rows whose name begins so; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Vec<String>,
    /// `text`, or `json` for one JSON object as the last line but one.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct SuitesArgs {
    /// `h2spec`, `grpc`, `websocket`, `spiffe`, `ext-authz`, `rate-limit`, `tls`; all when none is named.
    #[arg(value_name = "SUITE", value_parser = ["h2spec", "grpc", "websocket", "spiffe", "ext-authz", "rate-limit", "prometheus", "collector", "tls"])]
    pub(crate) suites: Vec<String>,
    /// Only cases whose name begins so; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Vec<String>,
    /// `text`, or `json` for one JSON object as the last line but one.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// Autobahn's `wstest` (needs Python 2.7): its cases too.
    #[arg(long, value_name = "FILE")]
    pub(crate) autobahn: Option<PathBuf>,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct LabTestArgs {
    /// Only tests whose name begins so; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Name the tests and stop.
    #[arg(long)]
    pub(crate) list: bool,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// `release` as published, or `ci`, which builds in a fraction of the time and is slower.
    #[arg(long, value_parser = ["release", "ci"], default_value = "release")]
    pub(crate) profile: String,
    /// Write the archives here instead of the target folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where the images are said to be from.
    #[arg(long, value_name = "HUB", default_value = HUB)]
    pub(crate) hub: String,
    /// Their tag; the version when nothing is said.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// These images only; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Those that only tests need, too.
    #[arg(long)]
    pub(crate) tests: bool,
    /// Load them into a running cluster of `cargo xtask cluster`.
    #[arg(long)]
    pub(crate) load: bool,
    /// The cluster to load them into.
    #[arg(long, value_name = "NAME", default_value = CLUSTER)]
    pub(crate) name: String,
}

impl Default for ImagesArgs {
    fn default() -> Self {
        Self {
            profile: "release".to_owned(),
            out: None,
            hub: HUB.to_owned(),
            tag: None,
            only: Vec::new(),
            tests: false,
            load: false,
            name: CLUSTER.to_owned(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// A command of `mesh-cluster` and its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) words: Vec<std::ffi::OsString>,
}

/// What both tests on a cluster ask for.
#[derive(Debug, Args)]
pub(crate) struct OnClusterArgs {
    /// `node`, a real node in namespaces of this machine, or `kind`.
    #[arg(long, value_parser = ["node", "kind"], default_value = "node")]
    pub(crate) backend: String,
    /// What the images are built with: `release` as published, or `ci`.
    #[arg(long, value_parser = ["release", "ci"], default_value = "release")]
    pub(crate) images: String,
    /// Leave the cluster up, with everything on it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// `text`, or `json` for one JSON object as the last line.
    #[arg(short, long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub(crate) output: String,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct E2eArgs {
    #[command(flatten)]
    pub(crate) on: OnClusterArgs,
    /// Requests a second of each protocol while pods come and go.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) rate: u32,
    /// Run these scenarios only, and what they need; may be repeated.
    #[arg(long = "only", value_name = "NAME")]
    pub(crate) only: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    #[command(flatten)]
    pub(crate) on: OnClusterArgs,
    /// `mesh`: MESH-HTTP, MESH-GRPC and the tests that belong to no profile; `own`: our cases; `all`: both.
    #[arg(long, value_parser = ["mesh", "own", "all"], default_value = "all")]
    pub(crate) profile: String,
    /// Run these tests or cases only; may be repeated. There is no report then.
    #[arg(long = "only", value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Write the suite's report here instead of docs/conformance.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct SoakArgs {
    /// Minutes of load.
    #[arg(long, default_value_t = 30)]
    pub(crate) minutes: u64,
    /// Changes of the configuration in a second.
    #[arg(long, default_value_t = 10)]
    pub(crate) changes_per_second: u32,
    /// `text`, or `json` for one JSON object as the last line but one.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct RotationArgs {
    /// `outage`, `rotation`, `replicas`, `expiry`, `clock`; all when none is named.
    #[arg(value_name = "PART", value_parser = ["outage", "rotation", "replicas", "expiry", "clock"])]
    pub(crate) parts: Vec<String>,
    /// Seconds that a certificate lives.
    #[arg(long, default_value_t = 60)]
    pub(crate) svid_ttl_seconds: u64,
    /// `text`, or `json` for one JSON object as the last line but one.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// This `meshctl` instead of the release build.
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: Option<PathBuf>,
}

impl From<GenArgs> for generate::Request {
    fn from(args: GenArgs) -> Self {
        Self {
            mode: if args.check { generate::Mode::Check } else { generate::Mode::Write },
            parts: args.parts,
            bin_dir: args.bin_dir,
        }
    }
}
