//! The command line of the controller. It must not know how anything works.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use mesh_fetch::Loopback;
use mesh_identity::{Credential, ObtainConfig, obtain};
use mesh_lifecycle::{Ready, Tasks, log, signal};
use mesh_reach::HostPort;

use crate::announce::Place;
use crate::api::crds::crds;
use crate::app::metrics::Metrics;
use crate::app::{self, Config, ObjectsFrom, Parts, Sockets, WebhookConfig};
use crate::canary::AskConfig;
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::keys::KeysConfig;

/// What is logged. The client of the API server reports every attempt of every watcher; the controller says it once.
const FILTER: &str = "info,kube_client=off";
/// For streams to end when the controller stops.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Roots and credential may come so long after the controller.
const FILES: Duration = Duration::from_mins(1);

/// Control plane of the Amime service mesh.
#[derive(Debug, Parser)]
#[command(name = "mesh-controller", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the objects of a folder or of a cluster, and serve proxies.
    Serve(Box<ServeArgs>),
    /// Write the CRDs of the kinds of group amime.io.
    #[command(hide = true)]
    Crds {
        /// The folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write the reference page of a pod's annotations.
    #[command(hide = true)]
    Annotations {
        /// The folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    objects: ObjectsArgs,
    /// Where proxies and meshctl connect (gRPC over mTLS).
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:15010")]
    listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15014")]
    metrics: SocketAddr,
    /// The certificate authority; a name is looked up at each connection.
    #[arg(long, value_name = "HOST:PORT")]
    ca: HostPort,
    /// PEM file with the roots that the certificate authority must show.
    #[arg(long, value_name = "FILE")]
    ca_roots: PathBuf,
    #[command(flatten)]
    credential: CredentialArgs,
    /// Most proxies at once.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_proxies: usize,
    /// Where API servers ask about pods and objects (admission webhooks over TLS); needs --kubernetes.
    #[arg(long, value_name = "ADDR", requires = "kubernetes")]
    webhook: Option<SocketAddr>,
    /// YAML file with the settings of injection; read again whenever a pod asks.
    #[arg(long, value_name = "FILE", requires = "webhook")]
    injection_values: Option<PathBuf>,
    /// PEM file with the roots that issuers of tokens must show where keys are fetched (`jwksUri`); the public ones without.
    #[arg(long, value_name = "FILE")]
    jwks_roots: Option<PathBuf>,
    /// File in which the states of releases (Canary) outlive the controller, with --config-dir; in a cluster they are in the objects.
    #[arg(long, value_name = "FILE", conflicts_with = "kubernetes")]
    releases: Option<PathBuf>,
    /// Whether keys may be fetched from this machine itself: for meshes on one machine.
    #[arg(long)]
    jwks_loopback: bool,
    /// Whether hooks and queries of releases (Canary) may be asked on this machine itself: for meshes on one machine.
    #[arg(long)]
    canary_loopback: bool,
    /// A host that hooks and queries of releases may ask over http://, as prometheus.monitoring; may be repeated. Others need https://.
    #[arg(long, value_name = "HOST")]
    canary_plaintext: Vec<String>,
    /// PEM file with the roots that hooks and queries of releases must show; the system's without.
    #[arg(long, value_name = "FILE")]
    canary_roots: Option<PathBuf>,
    /// Where the dashboard is served: a loopback address, which a browser reaches on this machine or through a forwarded port.
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    dashboard: Option<SocketAddr>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// The dashboard speaks plain HTTP, so nobody but this machine may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an address with a port, as 127.0.0.1:15080".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("a loopback address, as 127.0.0.1:15080: the dashboard is reached through a forwarded port"
        .to_owned())
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ObjectsArgs {
    /// Folder with YAML files, read with all that is below it and watched.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Objects of the cluster: of the pod that this runs in, else the one that KUBECONFIG says.
    #[arg(long)]
    kubernetes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct CredentialArgs {
    /// File with a one-time join token.
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// File with an OIDC token.
    #[arg(long, value_name = "FILE")]
    jwt_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs what the command line says, until it is done or told to stop.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(args) => serve(*args),
        Command::Crds { out } => write_crds(&out),
        Command::Annotations { out } => write_annotations(&out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may be filtered; why nothing runs may not.
            log::init(FILTER, log::Format::Text);
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let format = match args.log_format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    log::init(FILTER, format);
    // One thread: the work is small, and a second one would cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(Box::pin(serve_until_stopped(args)))
}

async fn serve_until_stopped(args: ServeArgs) -> anyhow::Result<()> {
    let credential = match (args.credential.join_token_file, args.credential.jwt_file) {
        (Some(file), _) => Credential::JoinTokenFile(file),
        (None, Some(file)) => Credential::JwtFile(file),
        (None, None) => anyhow::bail!("--join-token-file or --jwt-file is needed"),
    };
    let objects = match args.objects.config_dir {
        Some(folder) => ObjectsFrom::Folder(folder),
        None => ObjectsFrom::Cluster(Cluster::infer().await.context("--kubernetes")?, place()),
    };
    let values = args.injection_values;
    let webhook = args.webhook.map(|listen| WebhookConfig { listen, namespace: mesh_namespace(), values });
    let loopback = |is_allowed| if is_allowed { Loopback::Allowed } else { Loopback::Refused };
    let asks = AskConfig {
        loopback: loopback(args.canary_loopback),
        plaintext: args.canary_plaintext.into_iter().collect(),
        roots: args.canary_roots,
    };
    let config = Config {
        objects,
        listen: args.listen,
        metrics: args.metrics,
        max_proxies: args.max_proxies,
        webhook,
        keys: KeysConfig::new(loopback(args.jwks_loopback), args.jwks_roots),
        dashboard: args.dashboard,
        releases: args.releases,
        asks,
    };
    let sockets = Sockets::bind(&config)?;
    let (tasks, ready, metrics) = (Tasks::new(), Ready::new(), Metrics::default());
    let identity_gate = ready.gate("waiting for a certificate from the certificate authority");
    app::start_admin(&sockets, &metrics, &ready, &tasks)?;
    let wanted = ObtainConfig { patience: FILES, ..ObtainConfig::new(args.ca, args.ca_roots, credential) };
    let identity = tokio::select! {
        identity = Box::pin(obtain(wanted, &tasks)) => identity.context("no certificate from the certificate authority")?,
        () = signal::shutdown() => return Ok(()),
    };
    identity_gate.open();
    let parts = Parts { metrics, ready: ready.clone(), tasks: tasks.clone() };
    let running = tokio::select! {
        running = Box::pin(app::start_on(config, sockets, identity, parts)) => running?,
        () = signal::shutdown() => return Ok(()),
    };
    tracing::info!(listen = %running.addr, metrics = %running.metrics_addr, "the controller serves");
    signal::shutdown().await;
    tracing::info!("stopping");
    ready.begin_drain();
    tasks.shutdown(SHUTDOWN).await;
    Ok(())
}

/// The namespace of the mesh is that of this pod.
fn mesh_namespace() -> String {
    variable("POD_NAMESPACE").unwrap_or_else(|| "amime-system".to_owned())
}

/// Who this is in the cluster, as the pod's environment says (downward API); outside of one, a name that nobody else has.
fn place() -> Place {
    let pod = variable("POD_NAME").unwrap_or_else(|| format!("process-{}-{}", std::process::id(), now_ms()));
    Place { namespace: mesh_namespace(), pod }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn write_annotations(out: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = out.join("annotations.md");
    std::fs::write(&path, mesh_inject::annotations::page())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write_crds(out: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for (name, yaml) in crds()? {
        let path = out.join(name);
        std::fs::write(&path, yaml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
