//! The command line of the proxy: from arguments to [`Config`], and the control thread's runtime. It must not know how a request is
//! carried.

mod init;
#[cfg(test)]
mod tests;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mesh_capture::CaptureOptions;
use mesh_capture::options::{FORWARD_MARK, FORWARD_SOURCES};
use mesh_identity::Credential;
use mesh_lifecycle::{log, signal};
use mesh_reach::HostPort;

use self::init::OwnCallsTo;
use crate::app::{self, Running, Source, StartError};
use crate::config::{
    self, ApplicationMetrics, Capture, Config, Control, Counts, Dns, InboundListener, Keep, Network,
    OTLP_SECRETS, Original, OutboundListener, WorkloadApi, WorkloadApiPeers,
};
use crate::net;
use crate::probes::{InvalidProbes, Probes};

/// The data plane of the mesh.
#[derive(Debug, Parser)]
#[command(name = "mesh-proxy", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry the traffic of one workload
    Sidecar(Box<Sidecar>),
    /// Bring the traffic of this network namespace to the proxy
    Init(Box<init::Init>),
}

/// Arguments of the sidecar role.
#[derive(Debug, Args)]
pub struct Sidecar {
    /// Namespace of the workload
    #[arg(long)]
    namespace: String,
    /// Name of the workload; its identity has the same name
    #[arg(long)]
    workload: String,
    /// Zone of the workload: endpoints in it are preferred; without it, that of the workload's own endpoints
    #[arg(long, default_value = "", hide_default_value = true)]
    zone: String,
    /// The controller; a name is looked up at each connection
    #[arg(long, value_name = "HOST:PORT")]
    controller: HostPort,
    /// The certificate authority; a name is looked up at each connection
    #[arg(long, value_name = "HOST:PORT")]
    ca: HostPort,
    /// Roots that the authority's own certificate must chain to, PEM
    #[arg(long, value_name = "FILE")]
    ca_roots: PathBuf,
    /// File with a one-time join token; without it and --jwt-file the environment's MESH_JOIN_TOKEN is used
    #[arg(long, value_name = "FILE", conflicts_with = "jwt_file")]
    join_token_file: Option<PathBuf>,
    /// File with a JWT that proves who the workload is
    #[arg(long, value_name = "FILE")]
    jwt_file: Option<PathBuf>,
    /// Mesh port and the application behind it; may be repeated
    #[arg(long, value_name = "LISTEN=APP", value_parser = inbound)]
    inbound: Vec<InboundListener>,
    /// The application's HTTP proxy (HTTP_PROXY)
    #[arg(long, value_name = "LISTEN")]
    outbound_proxy: Option<SocketAddr>,
    /// A local port for one port of a service, for any protocol; may be repeated
    #[arg(long, value_name = "LISTEN=SERVICE[.NS]:PORT", value_parser = outbound)]
    outbound: Vec<OutboundListener>,
    /// Answer names here, over UDP and TCP: those of the mesh, and all others as the machine's resolvers do; may be repeated
    #[arg(long, value_name = "LISTEN")]
    dns: Vec<SocketAddr>,
    /// Where names are asked that the mesh does not know, instead of what /etc/resolv.conf says; may be repeated
    #[arg(long, value_name = "IP[:PORT]", value_parser = resolver)]
    dns_resolver: Vec<SocketAddr>,
    /// Who besides this machine may ask for names; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = network)]
    dns_client: Vec<Network>,
    /// How long applications may keep an answer about the mesh
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(5..=60))]
    dns_ttl: u16,
    /// Port for connections of the application that the network's rules bring here, whatever their destination; may be repeated
    #[arg(long, value_name = "[IP:]PORT", value_parser = captured)]
    capture_outbound: Vec<SocketAddr>,
    /// The same for connections to the application
    #[arg(long, value_name = "[IP:]PORT", value_parser = captured)]
    capture_inbound: Vec<SocketAddr>,
    /// How they are brought here; with tproxy the application sees the address of who called
    #[arg(long, value_enum, default_value = "redirect")]
    capture_mode: CaptureMode,
    /// SO_MARK of every socket that the proxy opens, so that the rules leave them alone
    #[arg(long, value_name = "MARK", value_parser = mark)]
    mark: Option<u32>,
    /// The same for sockets to the application [default: 0x53a with --mark and --own-calls inbound]
    #[arg(long, value_name = "MARK", value_parser = mark)]
    forward_mark: Option<u32>,
    /// Where the rules bring the proxy's connections to its own workload: as --own-calls of `init` says
    #[arg(long, value_enum, default_value_t)]
    own_calls: OwnCallsTo,
    /// Configuration dump and drain, on a loopback address
    #[arg(long, value_name = "LISTEN")]
    admin: Option<SocketAddr>,
    /// Metrics and readiness
    #[arg(long, value_name = "LISTEN")]
    metrics: Option<SocketAddr>,
    /// Where the application serves metrics of its own, which are then in those of this proxy
    #[arg(long, value_name = "PORT[/PATH]", value_parser = ApplicationMetrics::parse)]
    application_metrics: Option<ApplicationMetrics>,
    /// The application runs in the network namespace of this process: listen for it there and connect to it there
    #[arg(long, value_name = "PID")]
    network_of: Option<u32>,
    /// Serve the SPIFFE Workload API on this Unix socket: certificates, bundles and tokens for the application itself
    #[arg(long, value_name = "PATH")]
    workload_api: Option<PathBuf>,
    /// Who may ask there
    #[arg(long, value_enum, default_value_t, value_name = "WHO", requires = "workload_api")]
    workload_api_peers: WorkloadApiPeers,
    /// PEM file of the public certificates by which hosts outside the mesh are known [default: the system's, else those that came with
    /// this program]
    #[arg(long, value_name = "FILE")]
    outside_roots: Option<PathBuf>,
    /// Folder of files with the values of headers for a collector, where the MeshConfig's openTelemetry names files
    #[arg(long, value_name = "DIR", default_value = OTLP_SECRETS)]
    otlp_secrets: PathBuf,
    /// Folder for this proxy alone, where the last accepted configuration is kept: a restart serves from it while the controller is
    /// away. Keys are never in it
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Older than this, what is kept is not served from
    #[arg(long, value_name = "HOURS", default_value_t = 24, requires = "state_dir", value_parser = clap::value_parser!(u16).range(1..=720))]
    state_hours: u16,
    /// Count and tell no request, to measure what that costs: for the bench alone
    #[arg(long, hide = true)]
    without_telemetry: bool,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How long connections may take to end after SIGTERM
    #[arg(long, default_value_t = 10)]
    drain_seconds: u64,
}

/// How the network's rules bring connections to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CaptureMode {
    /// Their destination is changed, and the system remembers it
    Redirect,
    /// They are handed over as they are
    Tproxy,
}

/// What is captured, from the flags of `init` that say so: a CNI plugin gets them from a pod. The error is for people.
pub fn capture_options(flags: impl IntoIterator<Item = String>) -> Result<CaptureOptions, String> {
    let words = ["mesh-proxy", "init"].map(str::to_owned).into_iter().chain(flags);
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Init(init)) => init.only_options(),
        Ok(Command::Sidecar(_)) => Err("is no list of flags".to_owned()),
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// Runs until a signal ends it. Logs to stderr.
pub fn run(cli: Cli) -> ExitCode {
    log::init("info", log::Format::Text);
    let sidecar = match cli.command {
        Command::Sidecar(sidecar) => sidecar,
        Command::Init(init) => {
            return init.run().map_or_else(|error| failed(error.as_ref()), |()| ExitCode::SUCCESS);
        }
    };
    // Before there is any thread.
    if let Some(Err(error)) = sidecar.network_of.map(net::join_user_namespace) {
        return failed(&error);
    }
    // No worker may wait for whoever reads this process's log.
    let _log = match log::detach() {
        Ok(detached) => detached,
        Err(error) => return failed(&error),
    };
    let runtime =
        match tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error),
        };
    let result = runtime.block_on(async {
        let (config, control) = sidecar.into_config()?;
        Ok::<_, anyhow::Error>(until_signal(app::start(config, Source::Live(control))?).await?)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

async fn until_signal(mut running: Running) -> Result<(), StartError> {
    tokio::select! {
        ended = running.ended() => return ended,
        () = signal::shutdown() => running.drain(),
    }
    tokio::select! {
        ended = running.ended() => ended,
        // The second signal means: at once.
        () = signal::shutdown() => Ok(()),
    }
}

/// Says what failed and why, each level on its own line.
fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    tracing::error!("{text}");
    ExitCode::FAILURE
}

impl Sidecar {
    fn into_config(self) -> anyhow::Result<(Config, Control)> {
        let credential = match (self.join_token_file, self.jwt_file, config::join_token()) {
            (Some(file), ..) => Credential::JoinTokenFile(file),
            (None, Some(file), _) => Credential::JwtFile(file),
            (None, None, Some(token)) => Credential::JoinToken(token),
            (None, None, None) => anyhow::bail!(
                "nothing proves to the CA who this is: give --join-token-file, --jwt-file or the environment's MESH_JOIN_TOKEN"
            ),
        };
        let capture = Capture {
            outbound: self.capture_outbound,
            inbound: self.capture_inbound,
            how: match self.capture_mode {
                CaptureMode::Redirect => Original::Redirect,
                CaptureMode::Tproxy => Original::Transparent,
            },
        };
        let listens = !self.inbound.is_empty() || !self.outbound.is_empty() || self.outbound_proxy.is_some();
        if !listens && !capture.is_on() {
            anyhow::bail!(
                "there is nothing to carry: give --inbound, --outbound, --outbound-proxy, --capture-outbound or --capture-inbound"
            );
        }
        // Sockets to the application are told from those to this workload as an endpoint: by their mark, else by where they come from.
        let told_apart = self.own_calls == OwnCallsTo::Inbound && !capture.inbound.is_empty();
        let forward_mark = self.forward_mark.or(self.mark.filter(|_| told_apart).map(|_| FORWARD_MARK));
        let dns = Dns {
            listen: self.dns,
            resolvers: self.dns_resolver,
            clients: self.dns_client,
            ttl: Duration::from_secs(self.dns_ttl.into()),
            ..Dns::default()
        };
        let defaults = Config::new(&self.namespace, &self.workload);
        let config = Config {
            zone: self.zone,
            inbound: self.inbound,
            outbound_proxy: self.outbound_proxy,
            outbound: self.outbound,
            capture,
            mark: self.mark,
            forward_mark,
            forward_sources: (told_apart && forward_mark.is_none()).then_some(FORWARD_SOURCES),
            admin: self.admin,
            metrics: self.metrics,
            probes: probes()?,
            application_metrics: self
                .application_metrics
                .map_or_else(application_metrics, |told| Ok(Some(told)))?,
            network_of: self.network_of,
            outside_roots: self.outside_roots,
            otlp_secrets: self.otlp_secrets,
            is_pod: config::is_pod(),
            dns,
            keep: self
                .state_dir
                .map(|dir| Keep { dir, expires: Duration::from_hours(self.state_hours.into()) }),
            workload_api: self.workload_api.map(|path| WorkloadApi::new(path, self.workload_api_peers)),
            counts: if self.without_telemetry { Counts::Nothing } else { Counts::Requests },
            workers: usize::from(self.workers),
            drain: Duration::from_secs(self.drain_seconds),
            ..defaults
        };
        Ok((
            config,
            Control { controller: self.controller, ca: self.ca, ca_roots: self.ca_roots, credential },
        ))
    }
}

fn probes() -> Result<Probes, InvalidProbes> {
    let (table, address) = config::probes();
    table.map_or_else(|| Ok(Probes::default()), |table| Probes::read(&table, address))
}

/// As the environment says.
fn application_metrics() -> anyhow::Result<Option<ApplicationMetrics>> {
    let (text, address) = config::application_metrics();
    let Some(text) = text else { return Ok(None) };
    let told = ApplicationMetrics::parse(&text)
        .map_err(|error| anyhow::anyhow!("the environment's MESH_APPLICATION_METRICS: {error}"))?;
    Ok(Some(ApplicationMetrics { host: address.unwrap_or(told.host), ..told }))
}

fn inbound(text: &str) -> Result<InboundListener, String> {
    let (listen, app) =
        text.split_once('=').ok_or("expected LISTEN=APP, as 127.0.0.1:15006=127.0.0.1:8080")?;
    Ok(InboundListener { listen: address(listen)?, app: address(app)? })
}

fn outbound(text: &str) -> Result<OutboundListener, String> {
    let (listen, service) =
        text.split_once('=').ok_or("expected LISTEN=SERVICE[.NS]:PORT, as 127.0.0.1:9001=cart:80")?;
    let (host, port) = service
        .rsplit_once(':')
        .ok_or_else(|| format!("`{service}` has no port: expected SERVICE[.NS]:PORT"))?;
    let port =
        port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("`{port}` is not a port"))?;
    if host.is_empty() {
        return Err("the service has no name".into());
    }
    Ok(OutboundListener { listen: address(listen)?, host: host.to_owned(), port })
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse().map(|ip: std::net::IpAddr| SocketAddr::from((ip, 53)));
    bare.or_else(|_| text.parse()).map_err(|_| format!("`{text}` is not IP or IP:PORT"))
}

fn network(text: &str) -> Result<Network, String> {
    Network::parse(text).ok_or_else(|| format!("`{text}` is not IP or IP/BITS, as 10.0.0.0/8"))
}

/// `PORT` is that port on all addresses of both families.
fn captured(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok((Ipv6Addr::UNSPECIFIED, port).into()),
        Err(_) => text.parse().map_err(|_| format!("`{text}` is neither PORT nor IP:PORT")),
    }
}

/// Decimal or hexadecimal. 0 is the mark of sockets that have none.
fn mark(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed
        .ok()
        .filter(|mark| *mark != 0)
        .ok_or_else(|| format!("`{text}` is not a mark: a number from 1, as 0x1f2e"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not IP:PORT"))
}
