//! Names: what the application asks, answered from the mesh or by the machine's resolvers, and what this proxy itself looks up. What
//! is decided is in `mesh-dns`; here are the sockets, the clock and the way to the configuration. It must not know what is done with
//! an address.
//!
//! A query enters in `server`, is answered in `answer` from what `mesh` knows, or goes out in `forward`.
//!
//! Shared by all threads; every lock is held for a look into a table and never across an await.

mod answer;
mod clients;
mod counters;
mod forward;
mod lookup;
mod machine;
mod mesh;
mod outside;
mod server;

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mesh_dns::budget::Budget;
use mesh_dns::cache::Cache;
use mesh_dns::upstreams::Upstreams;
use mesh_dns::virtual_addresses::{Pair, VirtualAddresses};
use mesh_lifecycle::tasks::Tasks;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use self::clients::Clients;
use self::counters::{Collected, Counters};
pub use self::lookup::Unresolved;
use self::machine::Machine;
use crate::config::{self, Config};
use crate::net::Namespace;
use crate::xds::Discovery;

/// Names that turn out to be nobody's in the mesh and may be asked of the controller at once, and the time for one more. Each stays a
/// question there for minutes, and the table that they fill is the one of the workload's own services.
const STRANGERS: u32 = 256;
const STRANGER: Duration = Duration::from_secs(1);

/// A handle; clones are of the same.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    config: config::Dns,
    /// Of the sockets on which resolvers are asked.
    mark: Option<u32>,
    namespace: String,
    /// Whether connections of the application come here without its doing: only then does an address of our own lead anywhere.
    captures: bool,
    listen: Vec<SocketAddr>,
    discovery: Discovery,
    network: Option<Namespace>,
    clients: Clients,
    machine: Mutex<Machine>,
    cache: Mutex<Cache>,
    upstreams: Mutex<Upstreams>,
    addresses: Mutex<VirtualAddresses>,
    strangers: Mutex<Budget>,
    /// Which of a headless service's addresses comes first.
    turn: AtomicUsize,
    exchanges: Arc<Semaphore>,
    /// Refreshes of what an old answer was given for.
    tasks: Tasks,
    counters: Counters,
}

/// What is shown to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Where names are answered.
    pub listen: Vec<SocketAddr>,
    /// Who is asked what the mesh does not know, and how many times in a row each has failed.
    pub resolvers: Vec<(SocketAddr, u32)>,
    /// The machine's search list.
    pub search: Vec<String>,
    /// Lifetime of answers about the mesh.
    pub ttl: Duration,
    /// Hosts with an address of this proxy's own.
    pub virtual_addresses: Vec<(Arc<str>, Pair)>,
    /// Replies that are kept.
    pub cached: usize,
    /// What they take.
    pub cached_bytes: usize,
}

impl Dns {
    /// Reads the machine's configuration. `listen`: where it is going to be served; it is never forwarded to.
    pub fn new(
        config: &Config,
        listen: &[SocketAddr],
        discovery: Discovery,
        network: Option<Namespace>,
    ) -> Self {
        let shared = Shared {
            clients: Clients::new(config.dns.clients.clone()),
            config: config.dns.clone(),
            mark: config.mark_here(),
            namespace: config.namespace.clone(),
            captures: !config.capture.outbound.is_empty(),
            listen: listen.to_vec(),
            discovery,
            network,
            machine: Mutex::default(),
            cache: Mutex::new(Cache::new(config.dns.cache)),
            upstreams: Mutex::default(),
            addresses: Mutex::default(),
            strangers: Mutex::new(Budget::new(STRANGERS, STRANGER, Instant::now())),
            turn: AtomicUsize::default(),
            exchanges: Arc::new(Semaphore::new(config.dns.exchanges)),
            tasks: Tasks::new(),
            counters: Counters::default(),
        };
        let this = Self { shared: Arc::new(shared) };
        this.read_machine();
        this
    }

    /// Serves, and follows the machine's configuration, on `tasks`.
    pub fn spawn(&self, sockets: Vec<(UdpSocket, TcpListener)>, tasks: &Tasks) {
        let this = self.clone();
        tasks.keep("dns machine", this, |this, _| Box::pin(this.follow_machine()));
        for (datagrams, listener) in sockets {
            self.serve(datagrams, listener, tasks);
        }
    }

    /// The host that one of this proxy's virtual addresses stands for: `reviews.shop.svc.cluster.local`, or a host outside.
    pub fn host_of(&self, address: IpAddr) -> Option<Arc<str>> {
        if !VirtualAddresses::is_virtual(address) {
            return None;
        }
        lock(&self.shared.addresses).host_of(address, Instant::now())
    }

    /// Registers `mesh_dns_*`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Collected(self.clone())));
    }

    /// What an operator is shown.
    pub fn picture(&self) -> Picture {
        let shared = &self.shared;
        let (cached, cached_bytes) = {
            let cache = lock(&shared.cache);
            (cache.len(), cache.bytes())
        };
        Picture {
            listen: shared.listen.clone(),
            resolvers: lock(&shared.upstreams).all().collect(),
            search: lock(&shared.machine).conf.search.clone(),
            ttl: shared.config.ttl,
            virtual_addresses: lock(&shared.addresses).all(),
            cached,
            cached_bytes,
        }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("listen", &self.shared.listen).finish_non_exhaustive()
    }
}

/// A look into a table. What a panic left behind is still a table.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
