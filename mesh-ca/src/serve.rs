//! Starts a CA: state, own identity, sockets, tasks. It must not know command lines. Requests enter in `issue` (TLS)
//! and in `admin` (Unix socket).

mod admin;
mod issue;
mod published;
pub(crate) mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_identity::{ClientAuth, Identity, incoming};
use mesh_lifecycle::admin::{self as http_admin, AdminState};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::{CancellationToken, Ready, Shutdown, Tasks};
use mesh_proto::ca::v1::ca_admin_server::CaAdminServer;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthorityServer;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::authority::{Authority, AuthorityError, ROOT_CERT};
use crate::config::{Config, MAX_TTL, MIN_TTL, State};
use crate::jwt::{JwtAuthority, JwtStore};
use crate::kubernetes::{self, JwtSecret, Keeper, Reviewer, StoreError};
use crate::metrics::{Metrics, Scraped};
use crate::oidc::{self, InvalidJwks};
use crate::own::{Own, OwnError};
use crate::state::{Secrecy, StateDir, StateError, write_whole};
use crate::tokens::JoinTokens;
use issue::Jwts;
use published::Published;
use socket::SocketError;

/// Largest message of a member: a request is about 4 KiB with a JWT.
const MAX_MESSAGE: usize = 64 * 1024;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 16;
/// A peer that is gone is noticed after interval and timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A CA at work.
#[derive(Debug)]
pub struct Running {
    /// Where members ask.
    pub addr: SocketAddr,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
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
    if !(MIN_TTL..=MAX_TTL).contains(&config.svid_ttl) {
        return Err(StartError::Ttl(config.svid_ttl));
    }
    let tasks = Tasks::new();
    let ready = Ready::new();
    let gate = ready.gate("certificate authority");
    let metrics = Metrics::default();
    let (authority, tokens, jwt_store) = open_state(&config).await?;
    let tokens_of_members = Arc::new(JwtAuthority::new(jwt_store));
    let jwts = match (&config.state, &config.oidc) {
        (State::Cluster(cluster), _) => Jwts::Reviewed(Reviewer::new(cluster, metrics.clone())),
        (_, Some(issuer)) => Jwts::Oidc(oidc::Verifier::new(issuer)?),
        (_, None) => Jwts::None,
    };
    let own = Own { authority: Arc::clone(&authority), ttl: config.svid_ttl, metrics: metrics.clone() };
    let identity = own.identity()?;

    let listener = bind::tcp(config.listen, ReusePort::No)?;
    let metrics_listener =
        bind::tcp(config.metrics, ReusePort::No).map_err(|error| error.with_option("--metrics"))?;
    let admin_listener = config.admin_socket.as_deref().map(socket::bind).transpose()?;
    let addr = listener.local_addr().map_err(StartError::Listener)?;
    let metrics_addr = metrics_listener.local_addr().map_err(StartError::Listener)?;

    // The first members get the keys of tokens with their certificates, unless these cannot be had now.
    if let Err(error) = tokens_of_members.look().await {
        tracing::error!(reason = mesh_identity::reasons(&error), "no keys of tokens yet: none is signed");
    }
    // Nobody is federated with yet: the sender is gone, the value stays.
    let federated = watch::channel(Arc::default()).1;
    let published = Published { roots: authority.watch_bundle(), jwks: tokens_of_members.watch(), federated };
    let issue = issue::Issue {
        authority: Arc::clone(&authority),
        tokens: Arc::clone(&tokens),
        jwts,
        tokens_of_members: Arc::clone(&tokens_of_members),
        published,
        ttl: config.svid_ttl,
        metrics: metrics.clone(),
        tasks: tasks.clone(),
    };
    let listener = TcpListener::from_std(listener).map_err(StartError::Listener)?;
    let accepted = serve_members(listener, &identity, issue, &config, &tasks);
    let admin = admin::Admin {
        trust_domain: authority.trust_domain().clone(),
        tokens: Arc::clone(&tokens),
        metrics: metrics.clone(),
    };
    if let Some(listener) = admin_listener {
        serve_admin(listener, admin, &tasks);
    }
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let ousted = CancellationToken::new();
    if let State::Cluster(cluster) = &config.state {
        metrics.register_cluster(&mut registry);
        Keeper::new(cluster, Arc::clone(&authority), metrics.clone()).keep(&tasks, ousted.clone());
    }
    registry.register_collector(Box::new(Scraped { connections: accepted, tokens }));
    let state = AdminState::new(ready.clone(), Arc::new(registry));
    let set = tasks.clone();
    tasks.spawn("metrics", async move {
        if let Err(error) = http_admin::serve(metrics_listener, state, set).await {
            tracing::error!(%error, "metrics are not served any more");
        }
    });
    own.keep(identity, &tasks);
    tokens_of_members.keep(&tasks);
    gate.open();
    tracing::info!(%addr, metrics = %metrics_addr, trust_domain = %authority.trust_domain(), "serving certificates");
    let root_pem = authority.root_pem().to_owned();
    Ok(Running { addr, metrics_addr, admin_socket: config.admin_socket, root_pem, tasks, ready, ousted })
}

async fn open_state(config: &Config) -> Result<(Arc<Authority>, Arc<JoinTokens>, JwtStore), StartError> {
    let limit = config.max_join_tokens;
    let (dir, tokens) = match &config.state {
        State::InMemory => (None, JoinTokens::in_memory(limit)),
        State::Cluster(cluster) => {
            let authority = kubernetes::open(cluster, &config.trust_domain).await?;
            let store = JwtStore::Cluster(Box::new(JwtSecret::new(cluster)));
            return Ok((Arc::new(authority), Arc::new(JoinTokens::in_memory(limit)), store));
        }
        State::Dir(path) => {
            let dir = Arc::new(StateDir::open(path)?);
            let tokens = JoinTokens::in_dir(dir.subdir("tokens")?, limit);
            (Some(dir), tokens.map_err(StartError::Tokens)?)
        }
    };
    let jwt_store = dir.as_ref().map_or_else(JwtStore::in_memory, |dir| JwtStore::Dir(Arc::clone(dir)));
    let authority = Authority::open(config.trust_domain.clone(), dir, unix_now())?;
    if let Some(path) = &config.root_file {
        let written = write_whole(path, authority.root_pem().as_bytes(), Secrecy::Public);
        written.map_err(|source| StateError::Io { what: "write", path: path.clone(), source })?;
    }
    if let State::Dir(path) = &config.state {
        tracing::info!(root = %path.join(ROOT_CERT).display(), "members pin this root with --ca-roots");
    }
    Ok((Arc::new(authority), Arc::new(tokens), jwt_store))
}

fn serve_members(
    listener: TcpListener,
    identity: &Identity,
    issue: issue::Issue,
    config: &Config,
    tasks: &Tasks,
) -> Arc<incoming::IncomingCounters> {
    // Optional: who asks for the first certificate has none.
    let tls = identity.server_config(ClientAuth::Optional, &[b"h2"]);
    let accepted = incoming::mtls(listener, tls, tasks, config.max_connections);
    let counters = accepted.counters();
    let stop = tasks.token();
    let service = CertificateAuthorityServer::new(issue).max_decoding_message_size(MAX_MESSAGE);
    tasks.spawn("serve members", async move {
        let served = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_service(service)
            .serve_with_incoming_shutdown(accepted, stop.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "members are not served any more");
        }
    });
    counters
}

fn serve_admin(listener: UnixListener, admin: admin::Admin, tasks: &Tasks) {
    let stop = tasks.token();
    let service = CaAdminServer::new(admin).max_decoding_message_size(MAX_MESSAGE);
    tasks.spawn("serve admin", async move {
        let served = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .add_service(service)
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the administrator is not served any more");
        }
    });
}

/// Now, in Unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
    /// The keys in the cluster.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Root or issuer.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The tokens in the state directory.
    #[error("the join tokens in the state directory cannot be read")]
    Tokens(#[source] io::Error),
    /// The own certificate.
    #[error("the CA cannot certify itself")]
    Own(#[from] OwnError),
    /// The keys of the OIDC issuer.
    #[error(transparent)]
    Jwks(#[from] InvalidJwks),
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
