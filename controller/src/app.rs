//! The composition root: puts the parts together, serves, and follows the source. It must not know the command line.

pub mod control;
pub mod metrics;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::incoming::{self, Accepted};
use mesh_identity::{ClientAuth, Identity};
use mesh_lifecycle::admin::{self, AdminState};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::{CancellationToken, Clock, Gate, Ready, Tasks};
use mesh_proto::inspect::v1::inspect_service_server::InspectServiceServer;
use mesh_proto::report::v1::report_service_server::ReportServiceServer;
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::sync::watch;
use tonic::transport::Server;

use crate::access::Access;
use crate::access::sessions::Desk;
use crate::admit::{self, Webhook};
use crate::announce::{self, Place};
use crate::canary::{AskConfig, Canaries, Keeper, States};
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::dashboard::{self, Dashboard};
use crate::inspect::canary::Orders;
use crate::inspect::others::Others;
use crate::inspect::{Inspector, spans};
use crate::keys::{self, KeysConfig};
use crate::observe::Observatory;
use crate::observe::receive::Receiver;
use crate::serve::stream::Context;
use crate::serve::{ConfigServer, Registry};
use crate::sources::Source;
use crate::sources::dir::DirSource;
use crate::sources::freshness::Freshness;
use crate::sources::kube::KubeSource;
use crate::sources::kube::ledger::Ledger;
use control::Control;
use metrics::Metrics;

/// gRPC between parts of the mesh.
const ALPN: &[&[u8]] = &[b"h2"];
/// A proxy has two connections at most (configuration and reports may share one).
const CONNECTIONS_A_PROXY: usize = 2;
/// Streams of one connection.
const STREAMS_A_CONNECTION: u32 = 32;
/// Bytes of a stream that wait to be read; a connection has four times as many. Proxies say little but their Hello.
const WINDOW: u32 = 64 << 10;
/// Between looks for finished traces.
const OBSERVE_TICK: Duration = Duration::from_millis(250);

/// Where objects come from.
#[derive(Debug, Clone)]
pub enum ObjectsFrom {
    /// A folder of YAML.
    Folder(PathBuf),
    /// A cluster, and who this controller is in it.
    Cluster(Cluster, Place),
}

/// What the controller is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where objects come from.
    pub objects: ObjectsFrom,
    /// Where proxies and `meshctl` connect.
    pub listen: SocketAddr,
    /// Where `/readyz` and `/metrics` are.
    pub metrics: SocketAddr,
    /// Most proxies.
    pub max_proxies: usize,
    /// Admission webhooks; needs a cluster.
    pub webhook: Option<WebhookConfig>,
    /// How keys of issuers are fetched.
    pub keys: KeysConfig,
    /// Where the dashboard is, on loopback.
    pub dashboard: Option<SocketAddr>,
    /// Where states of releases outlive the controller, of a folder.
    pub releases: Option<PathBuf>,
    /// Whom a release may ask.
    pub asks: AskConfig,
}

/// Where and how admission webhooks are served.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where API servers connect.
    pub listen: SocketAddr,
    /// The namespace of the mesh, where the certificate is kept.
    pub namespace: String,
    /// The file with the settings of injection.
    pub values: Option<PathBuf>,
}

/// A controller that runs. It stops with its tasks.
#[derive(Debug)]
pub struct Running {
    /// Where proxies and `meshctl` connect.
    pub addr: SocketAddr,
    /// Where `/readyz` and `/metrics` are.
    pub metrics_addr: SocketAddr,
    /// Everything that runs.
    pub tasks: Tasks,
    /// Readiness.
    pub ready: Ready,
}

/// Why the controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is not free.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket fails.
    #[error("the listening socket of {what} fails")]
    Socket {
        /// Which one.
        what: &'static str,
        /// How.
        #[source]
        source: std::io::Error,
    },
}

/// The listening sockets, bound before anything else so that a port in use is said at once.
#[derive(Debug)]
pub struct Sockets {
    grpc: std::net::TcpListener,
    metrics: std::net::TcpListener,
    webhook: Option<std::net::TcpListener>,
    dashboard: Option<std::net::TcpListener>,
}

impl Sockets {
    /// Binds all.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let grpc = bind::tcp(config.listen, ReusePort::No).map_err(|error| error.with_option("--listen"))?;
        let metrics =
            bind::tcp(config.metrics, ReusePort::No).map_err(|error| error.with_option("--metrics"))?;
        let webhook = config.webhook.as_ref().map(|webhook| bind::tcp(webhook.listen, ReusePort::No));
        let webhook = webhook.transpose().map_err(|error| error.with_option("--webhook"))?;
        let dashboard = config.dashboard.map(|listen| bind::tcp(listen, ReusePort::No)).transpose();
        let dashboard = dashboard.map_err(|error| error.with_option("--dashboard"))?;
        Ok(Self { grpc, metrics, webhook, dashboard })
    }

    /// Where they are.
    pub fn addrs(&self) -> Result<(SocketAddr, SocketAddr), StartError> {
        let socket = |what| move |source| StartError::Socket { what, source };
        Ok((
            self.grpc.local_addr().map_err(socket("--listen"))?,
            self.metrics.local_addr().map_err(socket("--metrics"))?,
        ))
    }
}

/// Starts with an identity that is there already. Serves proxies once the folder was read for the first time.
pub async fn start(config: Config, identity: Identity, tasks: Tasks) -> Result<Running, StartError> {
    let sockets = Sockets::bind(&config)?;
    let ready = Ready::new();
    let metrics = Metrics::default();
    start_admin(&sockets, &metrics, &ready, &tasks)?;
    start_on(config, sockets, identity, Parts { metrics, ready, tasks }).await
}

/// What exists before there is an identity.
#[derive(Debug)]
pub struct Parts {
    /// Filled in by what starts.
    pub metrics: Metrics,
    /// Readiness.
    pub ready: Ready,
    /// Owns everything that runs.
    pub tasks: Tasks,
}

/// Serves `/readyz` and `/metrics`.
pub fn start_admin(
    sockets: &Sockets,
    metrics: &Metrics,
    ready: &Ready,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let listener =
        sockets.metrics.try_clone().map_err(|source| StartError::Socket { what: "--metrics", source })?;
    let mut registry = MetricsRegistry::default();
    metrics.register(&mut registry);
    let state = AdminState::new(ready.clone(), Arc::new(registry));
    let (owner, stop) = (tasks.clone(), tasks.token());
    tasks.spawn("admin", async move {
        tokio::select! {
            () = stop.cancelled() => {}
            served = admin::serve(listener, state, owner.clone()) => {
                if let Err(error) = served {
                    tracing::error!(%error, "the admin server ended");
                }
            }
        }
    });
    Ok(())
}

/// Starts on sockets that are bound, with an identity.
pub async fn start_on(
    config: Config,
    sockets: Sockets,
    identity: Identity,
    parts: Parts,
) -> Result<Running, StartError> {
    let Parts { metrics, ready, tasks } = parts;
    let (addr, metrics_addr) = sockets.addrs()?;
    let socket = |source| StartError::Socket { what: "--listen", source };
    let listener = tokio::net::TcpListener::from_std(sockets.grpc).map_err(socket)?;
    let trust_domain = identity.svid().spiffe_id.trust_domain().clone();
    let Opened { source, gate: source_gate, freshness, cluster } = open(config.objects, &ready, &tasks);
    let keys = keys::keep(config.keys, metrics.keys(), &tasks);
    let registry = Registry::new(config.max_proxies);
    let observatory = Observatory::default();
    let (keeper, releases) = keeper(cluster.as_ref(), config.releases, &metrics);
    let mut control =
        Control::new(source, trust_domain.clone(), metrics.clone(), keys, registry.clone(), releases)
            .counting_in(observatory.clone());
    control.first().await;
    source_gate.open();
    if let (Some(listener), Some(webhook), Some(of)) = (sockets.webhook, config.webhook, &cluster) {
        let webhook = self::webhook(listener, webhook, of.cluster.clone(), &control)?;
        admit::start(webhook, ready.gate("publishing the webhook's certificate"), &tasks);
    }

    let access = Access::new(trust_domain, control.accounts());
    let context = Context {
        snapshots: control.snapshots(),
        registry: registry.clone(),
        access: access.clone(),
        freshness: freshness.clone(),
        clock: Clock::default(),
        counters: metrics.counters(),
        token: tasks.token(),
    };
    let others = others(cluster.as_ref(), &identity, &control);
    let dashboard = sockets.dashboard.map(desk).transpose()?;
    let (orders, obey) = Orders::new();
    let inspector = Inspector {
        access: access.clone(),
        observatory: observatory.clone(),
        registry: registry.clone(),
        snapshots: control.snapshots(),
        freshness: freshness.clone(),
        barrier: control.barrier(),
        objects: control.objects(),
        others: others.clone(),
        tasks: tasks.clone(),
        orders,
        desk: dashboard.as_ref().map(|(desk, _)| desk.clone()),
    };
    if let Some((desk, listener)) = dashboard {
        let cluster = cluster.as_ref().map(|of| of.cluster.clone());
        let (inspector, counters) = (inspector.clone(), metrics.dashboard());
        let parts = Dashboard { listener, desk, inspector, cluster, counters };
        dashboard::start(parts, &tasks).map_err(no_dashboard)?;
    }
    let canaries = Canaries::new(inspector.clone(), keeper, obey, config.asks, metrics.releases());
    tasks.keep_until("canaries", canaries, |canaries, _| Box::pin(canaries.run()));
    if let Some(of) = cluster {
        announce(of, &control, identity.clone(), registry.clone(), &tasks);
    }
    let receiver = Receiver::new(observatory.clone(), access, tasks.clone());
    let tls = identity.server_config(ClientAuth::Required, ALPN);
    let accepted =
        incoming::mtls(listener, tls, &tasks, config.max_proxies.saturating_mul(CONNECTIONS_A_PROXY));
    metrics.observe(metrics::Parts {
        registry: registry.clone(),
        observatory: observatory.clone(),
        incoming: accepted.counters(),
        freshness: freshness.clone(),
        snapshots: control.snapshots(),
    });
    let services = Services { config: ConfigServer::new(context, tasks.clone()), receiver, inspector };
    tasks.spawn("grpc server", Box::pin(serve(services, accepted, tasks.token())));
    tasks.keep_until("control loop", control, |control, beginning| Box::pin(control.run(beginning)));
    tasks.keep_until("gather spans", (observatory.clone(), others), |(observatory, others), _| {
        Box::pin(spans::gather(observatory.clone(), others.clone()))
    });
    tasks.keep_until("observe", observatory, |observatory, _| Box::pin(tick(observatory)));
    Ok(Running { addr, metrics_addr, tasks, ready })
}

/// The other replicas.
fn others(cluster: Option<&InCluster>, identity: &Identity, control: &Control) -> Others {
    match cluster {
        None => Others::none(identity.clone()),
        Some(InCluster { place, .. }) => {
            let own = (place.namespace.clone(), place.pod.clone());
            Others::of(identity.clone(), control.objects(), own)
        }
    }
}

/// Writes to the cluster what is to be known there.
fn announce(of: InCluster, control: &Control, identity: Identity, registry: Registry, tasks: &Tasks) {
    let InCluster { cluster, place, ledger } = of;
    let (objects, snapshots, counters) =
        (control.objects(), control.snapshots(), control.metrics().announce());
    announce::spawn(
        announce::Parts { cluster, place, identity, objects, snapshots, registry, ledger, counters },
        tasks,
    );
}

/// Where states of releases are kept.
fn keeper(
    cluster: Option<&InCluster>,
    file: Option<PathBuf>,
    metrics: &Metrics,
) -> (Keeper, Option<watch::Receiver<Arc<States>>>) {
    match cluster {
        None => {
            let (keeper, states) = Keeper::here(file);
            (keeper, Some(states))
        }
        Some(InCluster { cluster, .. }) => {
            (Keeper::cluster(cluster.clone(), metrics.announce(), metrics.releases()), None)
        }
    }
}

/// Admission webhooks on a socket that is bound.
fn webhook(
    listener: std::net::TcpListener,
    config: WebhookConfig,
    cluster: Cluster,
    control: &Control,
) -> Result<Webhook, StartError> {
    let socket = |source| StartError::Socket { what: "--webhook", source };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(socket)?;
    let WebhookConfig { namespace, values, .. } = config;
    let (labels, otlp_secret) = (control.namespaces(), control.otlp_secret());
    Ok(Webhook { listener, cluster, namespace, values, labels, otlp_secret })
}

fn no_dashboard(source: std::io::Error) -> StartError {
    StartError::Socket { what: "--dashboard", source }
}

/// Who signs in there.
fn desk(listener: std::net::TcpListener) -> Result<(Desk, std::net::TcpListener), StartError> {
    Ok((Desk::new(listener.local_addr().map_err(no_dashboard)?), listener))
}

/// Where objects come from, once it is followed.
struct Opened {
    source: Source,
    gate: Gate,
    freshness: Freshness,
    cluster: Option<InCluster>,
}

/// What is needed to write to the cluster that objects come from.
struct InCluster {
    cluster: Cluster,
    place: Place,
    ledger: Ledger,
}

fn open(objects: ObjectsFrom, ready: &Ready, tasks: &Tasks) -> Opened {
    match objects {
        ObjectsFrom::Folder(folder) => Opened {
            source: Source::Dir(Box::new(DirSource::new(folder))),
            gate: ready.gate("reading the configuration folder"),
            freshness: Freshness::default(),
            cluster: None,
        },
        ObjectsFrom::Cluster(cluster, place) => {
            let source = Box::new(KubeSource::new(&cluster, tasks));
            let (ledger, freshness) = (source.ledger(), source.freshness());
            let gate = ready.gate("reading the objects of the cluster");
            let cluster = Some(InCluster { cluster, place, ledger });
            Opened { source: Source::Kube(source), gate, freshness, cluster }
        }
    }
}

struct Services {
    config: ConfigServer,
    receiver: Receiver,
    inspector: Inspector,
}

/// What is asked of every connection: signs of life, and few streams.
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(STREAMS_A_CONNECTION)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
}

async fn serve(services: Services, accepted: Accepted, token: CancellationToken) {
    let served = server()
        .add_service(services.config)
        .add_service(ReportServiceServer::new(services.receiver))
        .add_service(InspectServiceServer::new(services.inspector))
        .serve_with_incoming_shutdown(accepted, token.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the gRPC server ended");
    }
}

async fn tick(observatory: &Observatory) {
    let mut tick = tokio::time::interval(OBSERVE_TICK);
    loop {
        tick.tick().await;
        observatory.tick(now_ms());
    }
}
