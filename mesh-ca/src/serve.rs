//! Starts a CA: state, own identity, sockets, tasks. It must not know command lines. Requests enter in `issue` (TLS)
//! and in `admin` (Unix socket).

mod admin;
mod gate;
mod issue;
mod published;
mod rotation;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{ClientAuth, Identity, incoming};
use mesh_lifecycle::admin::{self as http_admin, AdminState};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::unix::{self, Access, SocketError};
use mesh_lifecycle::{CancellationToken, Ready, Shutdown, Tasks};
use mesh_proto::ca::v1::ca_admin_server::CaAdminServer;
use mesh_proto::ca::v1::ca_rotation_server::CaRotationServer;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthorityServer;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::audit::{Audit, AuditError};
use crate::authority::{Authority, KeyStore, Lives, Mint};
use crate::config::{AuditTo, BundleEndpoint, Config, ISSUER_PER_SVID, Issuers, MAX_TTL, MIN_TTL, State};
use crate::federation::{self, EndpointError, Federation, Fetcher, Source};
use crate::jwt::{JwtAuthority, JwtStore};
use crate::keeper::{Keeper, OpenError, Parts};
use crate::kubernetes::{CertManager, FederatedObjects, JwtSecret, Reviewer, Shared};
use crate::metrics::{Metrics, Scraped};
use crate::oidc::{self, InvalidJwks};
use crate::own::{Own, OwnError};
use crate::state::{StateDir, StateError};
use crate::store::{Local, ROOTS, Store, StoreError};
use crate::tokens::JoinTokens;
use crate::upstream::{Given, Plugin, Upstream};
use issue::Jwts;
use published::Published;

/// Largest message of a member: a request is about 4 KiB with a JWT.
const MAX_MESSAGE: usize = 64 * 1024;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 16;
/// A peer that is gone is noticed after interval and timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The API server is waited for at the start as long; then this process ends, and is started again.
const START: Duration = Duration::from_mins(1);
/// Between attempts.
const RETRY: Duration = Duration::from_secs(5);
/// The audit log in a state directory.
const AUDIT: &str = "audit.log";

/// A CA at work.
#[derive(Debug)]
pub struct Running {
    /// Where members ask.
    pub addr: SocketAddr,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
    /// Where our bundle is served for other trust domains, if anywhere.
    pub bundle_endpoint_addr: Option<SocketAddr>,
    /// The administrator's socket, if there is one.
    pub admin_socket: Option<PathBuf>,
    /// The root certificate: what members pin.
    pub root_pem: String,
    /// Everything that runs.
    pub tasks: Tasks,
    /// Not ready while it drains.
    pub ready: Ready,
    /// Cancelled when the keys in the cluster are not ours any more: then this CA must end.
    pub ousted: CancellationToken,
}

impl Running {
    /// Stops accepting, lets running requests end within `deadline`, and removes the socket.
    pub async fn shutdown(self, deadline: Duration) -> Shutdown {
        self.ready.begin_drain();
        let how = self.tasks.shutdown(deadline).await;
        // A socket that stays behind does no harm: the next start removes it.
        if let Some(socket) = &self.admin_socket {
            let _ = std::fs::remove_file(socket);
        }
        how
    }
}

/// Starts a CA on the current runtime; it serves when this returns.
pub async fn start(config: Config) -> Result<Running, StartError> {
    check(&config)?;
    let tasks = Tasks::new();
    let ready = Ready::new();
    let gate = ready.gate("certificate authority");
    let metrics = Metrics::default();
    let kept = open_state(&config)?;
    let upstream = Arc::new(upstream(&config)?);
    let keeper = open_keys(&config, Arc::clone(&kept.store), Arc::clone(&upstream), metrics.clone()).await?;
    let (authority, live) = (Arc::clone(keeper.authority()), Arc::clone(keeper.live()));
    let tokens_of_members = Arc::new(JwtAuthority::new(kept.jwts));
    let jwts = match (&config.state, &config.oidc) {
        (State::Cluster(cluster), _) => Jwts::Reviewed(Box::new(Reviewer::new(cluster, metrics.clone()))),
        (_, Some(issuer)) => Jwts::Oidc(Box::new(oidc::Verifier::new(issuer)?)),
        (_, None) => Jwts::None,
    };
    let own = Own { authority: Arc::clone(&authority), ttl: config.svid_ttl, metrics: metrics.clone() };
    let identity = own.identity()?;

    let listener = bind::tcp(config.listen, ReusePort::No)?;
    let metrics_listener =
        bind::tcp(config.metrics, ReusePort::No).map_err(|error| error.with_option("--metrics"))?;
    let admin_listener = config.admin_socket.as_deref();
    let admin_listener =
        admin_listener.map(|path| unix::bind(path, Access::Owner, "--admin-socket")).transpose()?;
    let addr = listener.local_addr().map_err(StartError::Listener)?;
    let metrics_addr = metrics_listener.local_addr().map_err(StartError::Listener)?;

    let federation = federation(&config, &authority, kept.dir, &metrics);
    let published = published(&authority, &tokens_of_members, federation, &tasks).await;
    let serves =
        |endpoint| serve_bundle(endpoint, &identity, &published, &tokens_of_members, (&metrics, &tasks));
    let bundle_endpoint_addr = config.bundle_endpoint.as_ref().map(serves).transpose()?;
    let rotations = rotation::Rotations {
        authority: Arc::clone(&authority),
        store: kept.store,
        live: Arc::clone(&live),
        upstream,
    };
    let issue = issue::Issue {
        authority: Arc::clone(&authority),
        tokens: Arc::clone(&kept.tokens),
        jwts,
        tokens_of_members: Arc::clone(&tokens_of_members),
        published,
        ttl: config.svid_ttl,
        live,
        gate: gate::Gate::new(),
        audit: Arc::new(kept.audit),
        metrics: metrics.clone(),
        tasks: tasks.clone(),
    };
    let listener = TcpListener::from_std(listener).map_err(StartError::Listener)?;
    let accepted = serve_members(listener, &identity, issue, rotations.clone(), &config, &tasks);
    let admin = admin::Admin {
        trust_domain: authority.trust_domain().clone(),
        tokens: Arc::clone(&kept.tokens),
        metrics: metrics.clone(),
    };
    if let Some(listener) = admin_listener {
        serve_admin(listener, admin, rotations, &tasks);
    }
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    if let State::Cluster(_) = &config.state {
        metrics.register_cluster(&mut registry);
    }
    let ousted = CancellationToken::new();
    keeper.keep(&tasks, ousted.clone());
    registry.register_collector(Box::new(Scraped { connections: accepted, tokens: kept.tokens }));
    serve_metrics(metrics_listener, AdminState::new(ready.clone(), Arc::new(registry)), &tasks);
    own.keep(identity, &tasks);
    tokens_of_members.keep(&tasks);
    gate.open();
    tracing::info!(%addr, metrics = %metrics_addr, trust_domain = %authority.trust_domain(), "serving certificates");
    let root_pem = authority.bundle_pem();
    let admin_socket = config.admin_socket;
    Ok(Running { addr, metrics_addr, bundle_endpoint_addr, admin_socket, root_pem, tasks, ready, ousted })
}

fn serve_metrics(listener: std::net::TcpListener, state: AdminState, tasks: &Tasks) {
    let set = tasks.clone();
    tasks.spawn("metrics", async move {
        if let Err(error) = http_admin::serve(listener, state, set).await {
            tracing::error!(%error, "metrics are not served any more");
        }
    });
}

/// What members are told to trust.
async fn published(
    authority: &Authority,
    tokens: &JwtAuthority,
    federation: Federation,
    tasks: &Tasks,
) -> Published {
    // The first members get the keys of tokens with their certificates, unless these cannot be had now.
    if let Err(error) = tokens.look().await {
        tracing::error!(reason = mesh_identity::reasons(&error), "no keys of tokens yet: none is signed");
    }
    let federated = federation.watch();
    federation.keep(tasks).await;
    Published { roots: authority.watch_bundle(), jwks: tokens.watch(), federated }
}

fn federation(
    config: &Config,
    authority: &Authority,
    dir: Option<Arc<StateDir>>,
    metrics: &Metrics,
) -> Federation {
    let source = match (&config.state, &config.objects) {
        (State::Cluster(cluster), _) => Source::Cluster(Box::new(FederatedObjects::new(cluster))),
        (_, Some(folder)) => Source::Folder(folder.clone()),
        (_, None) => Source::Nowhere,
    };
    let (loopback, web_roots) = (config.federation_loopback, config.federation_web_roots.clone());
    Federation::new(source, Fetcher { loopback, web_roots }, authority.watch_bundle(), dir, metrics.clone())
}

/// Serves our bundle for other trust domains.
fn serve_bundle(
    endpoint: &BundleEndpoint,
    identity: &Identity,
    published: &Published,
    tokens: &Arc<JwtAuthority>,
    (metrics, tasks): (&Metrics, &Tasks),
) -> Result<SocketAddr, StartError> {
    let tls = match &endpoint.web {
        Some((cert, key)) => federation::web_config(cert, key)?,
        None => identity.server_config(ClientAuth::Optional, &[b"http/1.1"]),
    };
    let listener =
        bind::tcp(endpoint.listen, ReusePort::No).map_err(|error| error.with_option("--bundle-endpoint"))?;
    let listener = TcpListener::from_std(listener).map_err(StartError::Listener)?;
    let addr = listener.local_addr().map_err(StartError::Listener)?;
    let (roots, jwks, tokens) = (published.roots.clone(), published.jwks.clone(), Arc::clone(tokens));
    let document = move || federation::own_document(&roots.borrow(), &jwks.borrow(), tokens.changed());
    federation::serve_endpoint(listener, tls, document, metrics.clone(), tasks);
    tracing::info!(%addr, "serving the trust bundle for other trust domains");
    Ok(addr)
}

fn check(config: &Config) -> Result<(), StartError> {
    if !(MIN_TTL..=MAX_TTL).contains(&config.svid_ttl) {
        return Err(StartError::Ttl(config.svid_ttl));
    }
    let least = config.svid_ttl * ISSUER_PER_SVID;
    if config.issuer_life < least {
        return Err(StartError::IssuerLife { asked: config.issuer_life, least });
    }
    if config.root_life < config.issuer_life * ISSUER_PER_SVID {
        let least = config.issuer_life * ISSUER_PER_SVID;
        return Err(StartError::RootLife { asked: config.root_life, least });
    }
    Ok(())
}

/// What must survive this process.
struct Kept {
    store: Arc<Store>,
    tokens: Arc<JoinTokens>,
    jwts: JwtStore,
    audit: Audit,
    /// The state directory, if there is one.
    dir: Option<Arc<StateDir>>,
}

fn open_state(config: &Config) -> Result<Kept, StartError> {
    let limit = config.max_join_tokens;
    let dir = match &config.state {
        State::Dir(path) => Some(Arc::new(StateDir::open(path)?)),
        State::InMemory | State::Cluster(_) => None,
    };
    let tokens = match dir.as_deref() {
        Some(dir) => JoinTokens::in_dir(dir.subdir("tokens")?, limit).map_err(StartError::Tokens)?,
        None => JoinTokens::in_memory(limit),
    };
    let audit = match (&config.audit, dir.as_deref()) {
        (AuditTo::File(path), _) => Audit::file(path)?,
        (AuditTo::Stdout, _) => Audit::stdout(),
        (AuditTo::State, Some(dir)) => Audit::file(&dir.path().join(AUDIT))?,
        (AuditTo::State, None) => Audit::nowhere(),
    };
    let jwts = match (&config.state, &dir) {
        (State::Cluster(cluster), _) => JwtStore::Cluster(Box::new(JwtSecret::new(cluster))),
        (_, Some(dir)) => JwtStore::Dir(Arc::clone(dir)),
        (_, None) => JwtStore::in_memory(),
    };
    let store = match &config.state {
        State::Cluster(cluster) => Store::Cluster(Box::new(Shared::new(cluster))),
        State::Dir(_) | State::InMemory => Store::Local(Local::open(dir.clone(), config.root_file.clone())?),
    };
    Ok(Kept { store: Arc::new(store), tokens: Arc::new(tokens), jwts, audit, dir })
}

#[cfg(not(feature = "pkcs11"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature `pkcs11` a token may not open")]
fn key_store(_config: &Config) -> Result<KeyStore, StartError> {
    Ok(KeyStore::Text)
}

#[cfg(feature = "pkcs11")]
fn key_store(config: &Config) -> Result<KeyStore, StartError> {
    let Some(token) = &config.token else { return Ok(KeyStore::Text) };
    let failed = |why| StartError::Token { label: token.label.clone(), why };
    let pin = std::fs::read_to_string(&token.pin_file).map_err(|error| failed(error.to_string()))?;
    let opened = crate::authority::Token::open(&token.module, &token.label, pin.trim()).map_err(failed)?;
    Ok(KeyStore::Token(Arc::new(opened)))
}

fn upstream(config: &Config) -> Result<Upstream, StartError> {
    Ok(match (&config.issuers, &config.state) {
        (Issuers::Own, _) => Upstream::Own,
        (Issuers::Folder(folder), _) => Upstream::Given(Given::new(folder.clone())),
        (Issuers::Program(socket), _) => Upstream::Plugin(Plugin::new(socket.clone())),
        (Issuers::CertManager(issuer), State::Cluster(cluster)) => {
            Upstream::CertManager(Box::new(CertManager::new(cluster, issuer.clone())))
        }
        (Issuers::CertManager(_), State::Dir(_) | State::InMemory) => return Err(StartError::NoCluster),
    })
}

/// The keys: those that are kept, or new ones. In a cluster the API server is waited for.
async fn open_keys(
    config: &Config,
    store: Arc<Store>,
    upstream: Arc<Upstream>,
    metrics: Metrics,
) -> Result<Keeper, StartError> {
    let replica = match &config.state {
        State::Cluster(cluster) => cluster.replica.clone(),
        State::Dir(_) | State::InMemory => "this".to_owned(),
    };
    let lives = Lives { root: config.root_life, issuer: config.issuer_life };
    let parts = Parts {
        store,
        upstream,
        mint: Mint {
            trust_domain: config.trust_domain.clone(),
            keys: key_store(config)?,
            lives,
            least_issuer: config.svid_ttl * ISSUER_PER_SVID,
        },
        replica,
        leaf_life: config.svid_ttl.as_secs(),
        metrics,
        accepts_clock: config.accepts_clock,
    };
    let until = tokio::time::Instant::now() + START;
    let mut said = None;
    let keeper = loop {
        let reason = match Keeper::open(&parts).await {
            Ok(keeper) => break keeper,
            // Even a right that is missing may come: roles are often created a moment after what they are for.
            Err(OpenError::Store(StoreError::Api(failure))) if tokio::time::Instant::now() < until => {
                failure.to_string()
            }
            Err(error) => return Err(error.into()),
        };
        if said.as_ref() != Some(&reason) {
            tracing::warn!(reason, "the API server gives no keys yet, trying again");
            said = Some(reason);
        }
        tokio::time::sleep(RETRY).await;
    };
    if let State::Dir(path) = &config.state {
        tracing::info!(roots = %path.join(ROOTS).display(), "members pin these roots with --ca-roots");
    }
    Ok(keeper)
}

fn serve_members(
    listener: TcpListener,
    identity: &Identity,
    issue: issue::Issue,
    rotations: rotation::Rotations,
    config: &Config,
    tasks: &Tasks,
) -> Arc<incoming::IncomingCounters> {
    // Optional: who asks for the first certificate has none.
    let tls = identity.server_config(ClientAuth::Optional, &[b"h2"]);
    let accepted = incoming::mtls(listener, tls, tasks, config.max_connections);
    let counters = accepted.counters();
    let stop = tasks.token();
    let service = CertificateAuthorityServer::new(issue).max_decoding_message_size(MAX_MESSAGE);
    let rotations = CaRotationServer::new(rotations).max_decoding_message_size(MAX_MESSAGE);
    tasks.spawn("serve members", async move {
        let served = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_service(service)
            .add_service(rotations)
            .serve_with_incoming_shutdown(accepted, stop.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "members are not served any more");
        }
    });
    counters
}

fn serve_admin(listener: UnixListener, admin: admin::Admin, rotations: rotation::Rotations, tasks: &Tasks) {
    let stop = tasks.token();
    let service = CaAdminServer::new(admin).max_decoding_message_size(MAX_MESSAGE);
    let rotations = CaRotationServer::new(rotations).max_decoding_message_size(MAX_MESSAGE);
    tasks.spawn("serve admin", async move {
        let served = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .add_service(service)
            .add_service(rotations)
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the administrator is not served any more");
        }
    });
}

/// Why a CA does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Lifetime out of range.
    #[error("certificates cannot live {}; choose 10s to 24h with --svid-ttl", mesh_model::duration::format(*.0))]
    Ttl(Duration),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// Lifetime too short.
    #[error(
        "an issuer cannot live {}; with this --svid-ttl choose {} at least with --issuer-ttl",
        mesh_model::duration::format(*asked), mesh_model::duration::format(*least)
    )]
    IssuerLife {
        /// As configured.
        asked: Duration,
        /// As it must be.
        least: Duration,
    },
    /// Lifetime too short.
    #[error(
        "a root cannot live {}; with this --issuer-ttl choose {} at least with --root-ttl",
        mesh_model::duration::format(*asked), mesh_model::duration::format(*least)
    )]
    RootLife {
        /// As configured.
        asked: Duration,
        /// As it must be.
        least: Duration,
    },
    /// The PKCS #11 token.
    #[error("the PKCS #11 token `{label}` cannot be used: {why}")]
    Token {
        /// Which.
        label: String,
        /// What is wrong.
        why: String,
    },
    /// cert-manager is in a cluster.
    #[error("an issuer of cert-manager can sign only where --kubernetes keeps the keys")]
    NoCluster,
    /// Where keys are kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Root or issuer.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The tokens in the state directory.
    #[error("the join tokens in the state directory cannot be read")]
    Tokens(#[source] io::Error),
    /// The own certificate.
    #[error("the CA cannot certify itself")]
    Own(#[from] OwnError),
    /// The keys of the OIDC issuer.
    #[error(transparent)]
    Jwks(#[from] InvalidJwks),
    /// What the bundle endpoint shows.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A TCP port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener that cannot be used.
    #[error("a listening socket cannot be used")]
    Listener(#[source] io::Error),
    /// The administrator's socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

#[cfg(test)]
mod tests;
