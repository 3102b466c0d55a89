//! The composition root: binds, obtains an identity, follows the configuration, runs the workers, and takes it all down in order.
//!
//! Down: not ready → stop accepting → `Connection: close` and GOAWAY → deadline → force → flush telemetry.

mod listeners;
mod thread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{Identity, ObtainConfig, ObtainError, obtain};
use mesh_lifecycle::bind::BindError;
use mesh_lifecycle::clock::Clock;
use mesh_lifecycle::dial;
use mesh_lifecycle::ready::{Gate, Ready};
use mesh_lifecycle::tasks::Tasks;
use mesh_lifecycle::unix::SocketError;
use mesh_proto::config::v1::ProxyId;
use mesh_reach::Resolver;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use self::listeners::Bound;
use crate::admin::{self, Admin, AdminError, Application};
use crate::config::{Config, Control, Counts};
use crate::dns::Dns;
use crate::export::Exporter;
use crate::net::{Dial, Namespace, NamespaceError, Toward};
use crate::state::Standings;
use crate::telemetry::otlp::{Resource, app_of_pod};
use crate::telemetry::{AlsoAs, Hub, ReportConfig, Telemetry};
use crate::workload_api::WorkloadApi;
use crate::xds::{self, ClientConfig, Discovery};

/// Roots and credential may come so long after the proxy: a pod's volumes, or whoever starts a sidecar on a machine.
const FILES: Duration = Duration::from_mins(1);

/// Where identity and configuration come from.
#[derive(Debug)]
pub enum Source {
    /// From the CA and the controller.
    Live(Control),
    /// At hand already: for tests, which need neither.
    Fixed {
        /// Who this proxy is.
        identity: Identity,
        /// What it knows.
        discovery: Discovery,
    },
}

/// Why a proxy does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The application is in a network namespace that cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The CA refused.
    #[error("cannot obtain an identity for this proxy")]
    Identity(#[from] ObtainError),
    /// Its sockets cannot be told from the application's, which capture would bring back to it.
    #[error("cannot mark sockets (--mark)")]
    Mark(#[source] std::io::Error),
    /// The socket of the Workload API.
    #[error(transparent)]
    WorkloadApi(#[from] SocketError),
    /// No thread or runtime for a worker.
    #[error("cannot start a worker thread")]
    Thread(#[source] std::io::Error),
}

/// What a proxy listens on, with real ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// In the order of the configuration.
    pub inbound: Vec<SocketAddr>,
    /// In the order of the configuration.
    pub outbound: Vec<SocketAddr>,
    /// The HTTP proxy port.
    pub outbound_proxy: Option<SocketAddr>,
    /// Where names are answered, in the order of the configuration.
    pub dns: Vec<SocketAddr>,
    /// What captures the application's connections, in the order of the configuration.
    pub captured_outbound: Vec<SocketAddr>,
    /// What captures connections to the application, in the order of the configuration.
    pub captured_inbound: Vec<SocketAddr>,
    /// Metrics and readiness.
    pub metrics: Option<SocketAddr>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    /// What a connection of the application, or a captured one, must not go to: it would come back for ever, or act as this machine.
    fn own(&self) -> Vec<SocketAddr> {
        let named = self.outbound.iter().chain(&self.outbound_proxy);
        // The admin port takes commands of this machine, and this proxy asks for nobody.
        named
            .chain(&self.captured_outbound)
            .chain(&self.captured_inbound)
            .chain(&self.admin)
            .copied()
            .collect()
    }
}

/// A proxy that is bound and starts to serve as soon as it can.
#[derive(Debug)]
pub struct Running {
    /// What it listens on.
    pub addrs: Addresses,
    /// Whether it serves.
    pub ready: Ready,
    /// Its sums, for tests.
    pub hub: Hub,
    drain: CancellationToken,
    ended: tokio::sync::oneshot::Receiver<Result<(), StartError>>,
}

impl Running {
    /// Begins the drain, as SIGTERM does.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits until it has ended, after a drain or because it cannot go on.
    pub async fn ended(&mut self) -> Result<(), StartError> {
        // A dropped sender is a panic of the root task, which has been logged.
        (&mut self.ended).await.unwrap_or(Ok(()))
    }
}

/// What is left for the control tasks at the end.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// What is left for the last lines of the access log; a sink that takes nothing costs no more.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Binds all ports, then goes on in the background of the current runtime. To be called on a runtime of its own, which then is the
/// control thread: scrapes and certificates never delay a request.
pub fn start(config: Config, source: Source) -> Result<Running, StartError> {
    let network = config.network_of.map(Namespace::enter).transpose()?;
    if let Some(mark) = config.mark {
        may_mark(mark, network.as_ref()).map_err(StartError::Mark)?;
    }
    let (bound, addrs) = Bound::bind(&config, network.as_ref())?;
    let ready = Ready::new();
    let telemetry = Telemetry::of(config.counts);
    let drain = CancellationToken::new();
    let (report, ended) = tokio::sync::oneshot::channel();
    let running = Running {
        addrs: addrs.clone(),
        ready: ready.clone(),
        hub: telemetry.hub.clone(),
        drain: drain.clone(),
        ended,
    };
    let gates = Gates {
        identity: ready.gate("identity"),
        configuration: ready.gate("configuration"),
        workers: ready.gate("workers"),
    };
    let (standings, tasks) = (Standings::default(), Tasks::new());
    let root = Root { config: Arc::new(config), network, addrs, ready, telemetry, standings, drain, tasks };
    // The root task owns all others; its own set has nothing else in it and ends when it does.
    Tasks::new().spawn("proxy", async move {
        let result = root.run(source, bound, gates).await;
        // Nobody may be listening any more.
        let _ = report.send(result);
    });
    Ok(running)
}

fn may_mark(mark: u32, network: Option<&Namespace>) -> std::io::Result<()> {
    let ask = move || dial::may_mark(mark);
    match network {
        None => ask(),
        Some(network) => network.within(ask).unwrap_or_else(|| Err(std::io::ErrorKind::BrokenPipe.into())),
    }
}

struct Gates {
    identity: Gate,
    configuration: Gate,
    workers: Gate,
}

struct Root {
    config: Arc<Config>,
    network: Option<Namespace>,
    addrs: Addresses,
    ready: Ready,
    telemetry: Telemetry,
    standings: Standings,
    drain: CancellationToken,
    tasks: Tasks,
}

impl Root {
    async fn run(self, source: Source, mut bound: Bound, gates: Gates) -> Result<(), StartError> {
        let early = self.early_metrics(&mut bound);
        let obtained = tokio::select! {
            obtained = self.obtain(&source) => obtained?,
            // Told to end before it began.
            () = self.drain.cancelled() => return Ok(()),
        };
        gates.identity.open();
        let workload_api = self.workload_api(&source, &mut bound, &obtained);
        let discovery = self.follow(source, &obtained, gates.configuration);
        self.telemetry.hub.spawn(&self.tasks);
        self.name_metrics(&discovery);
        self.log_access(&discovery);
        self.export(&discovery);
        early.shutdown(Duration::from_millis(100)).await;
        let dns = Dns::new(&self.config, &self.addrs.dns, discovery.clone(), self.network.clone());
        dns.spawn(std::mem::take(&mut bound.dns), &self.tasks);
        self.serve_admin(&mut bound, &obtained, &discovery, (&dns, workload_api.as_ref()));
        let workers = self.start_workers(bound, &obtained, &discovery, &dns, gates.workers)?;
        tracing::info!(addrs = ?self.addrs, "listening");
        self.drain.cancelled().await;
        self.ready.begin_drain();
        tracing::info!(seconds = self.config.drain.as_secs(), "draining");
        workers.ended().await;
        self.telemetry.hub.finish_access_log(LAST_LINES).await;
        self.tasks.shutdown(LAST_REPORTS).await;
        Ok(())
    }

    /// `/readyz` answers from the first moment on, though there is little to tell.
    fn early_metrics(&self, bound: &mut Bound) -> Tasks {
        let early = Tasks::new();
        if let Some(listener) = bound.metrics.as_ref().and_then(|listener| listener.try_clone().ok()) {
            let (ready, registry) = (self.ready.clone(), Arc::new(Registry::default()));
            admin::spawn_metrics(listener, (ready, registry), self.config.probes.clone(), None, &early);
        }
        early
    }

    /// Metrics are named as the MeshConfig of the hour says.
    fn name_metrics(&self, discovery: &Discovery) {
        let (hub, mut snapshots) = (self.telemetry.hub.clone(), discovery.subscribe());
        let stop = self.tasks.token();
        self.tasks.spawn("names of metrics", async move {
            let mut known = AlsoAs::default();
            loop {
                let wanted = snapshots.borrow_and_update().settings().map(|settings| settings.metrics);
                let wanted =
                    wanted.map_or(known, |names| AlsoAs { istio: names.istio, linkerd: names.linkerd });
                if wanted != known {
                    hub.set_names(wanted);
                    known = wanted;
                }
                // Both arms may be dropped: a change that is missed is seen by the next look.
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    /// Requests are written as the MeshConfig of the hour says.
    fn log_access(&self, discovery: &Discovery) {
        let (hub, config) = (self.telemetry.hub.clone(), Arc::clone(&self.config));
        let (mut snapshots, stop) = (discovery.subscribe(), self.tasks.token());
        self.tasks.spawn("access log", async move {
            let workload = config.workload.as_str();
            let names = [workload, if config.is_pod { app_of_pod(workload) } else { workload }];
            let mut known = None;
            loop {
                // Without settings those that were there stay.
                let wanted = snapshots
                    .borrow_and_update()
                    .settings()
                    .map(|settings| settings.access_log_of(&config.namespace, &names).cloned());
                if let Some(wanted) = wanted.filter(|wanted| *wanted != known) {
                    hub.set_access_log(wanted.as_ref(), (&config.namespace, &config.workload));
                    known = wanted;
                }
                // Both arms may be dropped: a change that is missed is seen by the next look.
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    /// Telemetry goes to a collector where the MeshConfig of the hour says so.
    fn export(&self, discovery: &Discovery) {
        let config = &self.config;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let service = if config.is_pod { app_of_pod(&config.workload) } else { &config.workload };
        let resource = Resource {
            service: service.to_owned(),
            namespace: config.namespace.clone(),
            workload: config.workload.clone(),
            instance: format!("{}/{}-{:08x}", config.namespace, config.workload, fastrand::u32(..)),
            host: host.trim().to_owned(),
            is_pod: config.is_pod,
        };
        let exporter = Exporter {
            resolver: Resolver::marked(config.mark_here()),
            secrets: config.otlp_secrets.clone(),
            roots: config.outside_roots.clone(),
            ..Exporter::new(self.telemetry.hub.outlet(), resource)
        };
        exporter.spawn(discovery, &self.tasks);
    }

    async fn obtain(&self, source: &Source) -> Result<Identity, StartError> {
        match source {
            Source::Fixed { identity, .. } => Ok(identity.clone()),
            Source::Live(control) => {
                tracing::info!(ca = %control.ca, "obtaining an identity");
                let (roots, credential) = (control.ca_roots.clone(), control.credential.clone());
                let config = ObtainConfig {
                    mark: self.config.mark_here(),
                    patience: FILES,
                    ..ObtainConfig::new(control.ca.clone(), roots, credential)
                };
                Ok(obtain(config, &self.tasks).await?)
            }
        }
    }

    fn follow(&self, source: Source, identity: &Identity, gate: Gate) -> Discovery {
        match source {
            Source::Fixed { discovery, .. } => {
                let mut snapshots = discovery.subscribe();
                self.tasks.spawn("configuration gate", async move {
                    // An error means that the test has dropped its end: nothing will come.
                    drop(snapshots.wait_for(|snapshot| snapshot.settings().is_some()).await);
                    gate.open();
                });
                discovery
            }
            Source::Live(control) => {
                let node = ProxyId {
                    namespace: self.config.namespace.clone(),
                    workload: self.config.workload.clone(),
                    instance: format!("{:08x}-{:08x}", std::process::id(), fastrand::u32(..)),
                };
                let reports = ReportConfig::new(
                    identity.clone(),
                    control.controller.clone(),
                    node.clone(),
                    self.ready.clone(),
                );
                if self.config.counts == Counts::Requests {
                    self.telemetry.hub.spawn_reports(reports, &self.tasks);
                }
                tracing::info!(controller = %control.controller, "waiting for configuration");
                let client = ClientConfig {
                    identity: identity.clone(),
                    controller: control.controller.into(),
                    node,
                    keep: self.config.keep.clone(),
                    clock: Clock::default(),
                };
                xds::spawn(client, gate, &self.tasks)
            }
        }
    }

    /// An identity at hand has nobody who would sign for the application.
    fn workload_api(&self, source: &Source, bound: &mut Bound, identity: &Identity) -> Option<WorkloadApi> {
        let (config, listener) = (self.config.workload_api.clone()?, bound.workload_api.take()?);
        let Source::Live(control) = source else { return None };
        let api = WorkloadApi::new(config, identity, control.ca.clone(), &self.tasks);
        api.spawn(listener);
        Some(api)
    }

    /// The application's own metrics, asked for as its traffic is carried to it.
    fn application(&self) -> Option<Application> {
        let metrics = self.config.application_metrics.clone()?;
        let here = self.network.is_none();
        let dial = Dial {
            network: self.network.clone(),
            mark: self.config.forward_mark.or(self.config.mark),
            own_sources: self.config.forward_sources.filter(|_| here),
            toward: Toward::App,
            captured: here && self.config.capture.is_on(),
            ..Dial::default()
        };
        Some(Application::new(metrics, dial))
    }

    fn serve_admin(
        &self,
        bound: &mut Bound,
        identity: &Identity,
        discovery: &Discovery,
        (dns, workload_api): (&Dns, Option<&WorkloadApi>),
    ) {
        let application = self.application();
        let others = (dns, workload_api);
        let registry =
            admin::registry(&self.telemetry.hub, discovery, identity, others, application.as_ref());
        if let Some(listener) = bound.metrics.take() {
            let (ready, probes) = (self.ready.clone(), self.config.probes.clone());
            let own = (ready, Arc::clone(&registry));
            admin::spawn_metrics(listener, own, probes, application, &self.tasks);
        }
        if let Some(listener) = bound.admin.take() {
            let drain = self.drain.clone();
            let admin = Admin {
                ready: self.ready.clone(),
                registry,
                discovery: discovery.clone(),
                standings: self.standings.clone(),
                identity: identity.clone(),
                dns: dns.clone(),
                drain: Box::new(move || drain.cancel()),
            };
            admin::spawn(listener, admin, &self.tasks);
        }
    }

    fn start_workers(
        &self,
        mut bound: Bound,
        identity: &Identity,
        discovery: &Discovery,
        dns: &Dns,
        gate: Gate,
    ) -> Result<Workers, StartError> {
        let mut ends = Vec::new();
        for number in 0..self.config.workers.max(1) {
            let (ended, end) = tokio::sync::oneshot::channel();
            let seed = thread::Seed {
                config: Arc::clone(&self.config),
                identity: identity.clone(),
                discovery: discovery.clone(),
                dns: dns.clone(),
                telemetry: self.telemetry.worker.clone(),
                standings: self.standings.page(),
                sockets: bound.take(),
                network: self.network.clone(),
                own: self.addrs.own(),
                trials: self.telemetry.hub.trials(),
                stop: self.drain.clone(),
                ended,
            };
            thread::spawn(number, seed)?;
            ends.push(end);
        }
        gate.open();
        Ok(Workers { ends })
    }
}

struct Workers {
    ends: Vec<tokio::sync::oneshot::Receiver<()>>,
}

impl Workers {
    async fn ended(self) {
        for end in self.ends {
            // A dropped sender is a worker that panicked: it has ended as well.
            drop(end.await);
        }
    }
}
