//! What a proxy is told at its start: plain data with its defaults and their reasons. `cli` builds it from arguments; tests
//! build it by hand. It must not know how any of it is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_reach::HostPort;

use crate::probes::Probes;

/// Where systems keep the public certificates: Debian and Alpine, Fedora, SUSE, BSD and macOS.
pub const PUBLIC_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where the values of headers for a collector are, unless something else is said.
pub const OTLP_SECRETS: &str = "/etc/amime/otlp";

/// Everything a proxy is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Namespace of the workload; clients' short service names are looked up in it.
    pub namespace: String,
    /// Name of the workload, for reports.
    pub workload: String,
    /// Zone of the workload; empty: that of its own endpoints, if they have one.
    pub zone: String,
    /// Mesh ports: what arrives at `listen` is for the application at `app`.
    pub inbound: Vec<InboundListener>,
    /// The HTTP proxy port of the application (`HTTP_PROXY`).
    pub outbound_proxy: Option<SocketAddr>,
    /// One port per destination, for any protocol.
    pub outbound: Vec<OutboundListener>,
    /// Traffic that comes here without the application's doing.
    pub capture: Capture,
    /// `SO_MARK` of every socket that this proxy opens, so that capture leaves them alone. Needs a privilege.
    pub mark: Option<u32>,
    /// The same for sockets to the application, where capture brings what this proxy opens to its own workload back to it as to any other.
    pub forward_mark: Option<u32>,
    /// Where these come from instead, for a proxy that may not set marks: of each family, if it is there.
    pub forward_sources: Option<(Ipv4Addr, Ipv6Addr)>,
    /// Configuration dump and drain; loopback only.
    pub admin: Option<SocketAddr>,
    /// Metrics, readiness, and the application's probes.
    pub metrics: Option<SocketAddr>,
    /// Probes of the application that are carried out when the metrics port is asked for them.
    pub probes: Probes,
    /// Where the application serves metrics of its own, to be in ours.
    pub application_metrics: Option<ApplicationMetrics>,
    /// A process in whose network namespace the application runs, when it is not ours.
    pub network_of: Option<u32>,
    /// File of the public certificates by which hosts outside the mesh are known, where an object asks for TLS to them; None: the first
    /// of [`PUBLIC_ROOTS`] that is there, else those that this program brings.
    pub outside_roots: Option<PathBuf>,
    /// Folder of files with the values of headers for a collector of telemetry.
    pub otlp_secrets: PathBuf,
    /// Whether the workload is a pod.
    pub is_pod: bool,
    /// Names, for the application and for this proxy's own dialling.
    pub dns: Dns,
    /// Where the last accepted configuration is kept for a restart without a controller; None: nowhere.
    pub keep: Option<Keep>,
    /// The SPIFFE Workload API, for an application that wants an identity of its own; without it there is none.
    pub workload_api: Option<WorkloadApi>,
    /// Whether requests are counted, for Prometheus, the controller and taps: without only to measure what that costs.
    pub counts: Counts,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// How long connections may take to end after SIGTERM.
    pub drain: Duration,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
}

impl Config {
    /// With defaults, and nothing to listen on.
    pub fn new(namespace: &str, workload: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            workload: workload.to_owned(),
            zone: String::new(),
            inbound: Vec::new(),
            outbound_proxy: None,
            outbound: Vec::new(),
            capture: Capture::default(),
            mark: None,
            forward_mark: None,
            forward_sources: None,
            admin: None,
            metrics: None,
            probes: Probes::default(),
            application_metrics: None,
            network_of: None,
            outside_roots: None,
            otlp_secrets: OTLP_SECRETS.into(),
            is_pod: false,
            dns: Dns::default(),
            keep: None,
            workload_api: None,
            counts: Counts::default(),
            workers: 1,
            drain: Duration::from_secs(10),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Whether a connection of ours to our own workload reaches the application, and not our inbound port: there is nobody then who
    /// takes mutual TLS.
    pub fn reaches_itself(&self) -> bool {
        let told_apart = self.forward_mark.is_some() || self.forward_sources.is_some();
        !self.capture.inbound.is_empty() && !told_apart
    }
}

impl Config {
    /// `SO_MARK` of sockets in our own network namespace: none where the application is in another one, which alone is captured.
    pub fn mark_here(&self) -> Option<u32> {
        self.mark.filter(|_| self.network_of.is_none())
    }
}

/// Whether Kubernetes runs this process: it tells each container where its API server is.
pub fn is_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// The environment's one-time join token, if there is one.
pub fn join_token() -> Option<String> {
    std::env::var("MESH_JOIN_TOKEN")
        .ok()
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
}

/// The environment's table of probes, if there is one, and the address of this workload.
pub fn probes() -> (Option<String>, Option<IpAddr>) {
    let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    (text("MESH_PROBES"), text("POD_IP").and_then(|address| address.parse().ok()))
}

/// Where the application serves metrics of its own, as the environment says, and the address of this workload.
pub fn application_metrics() -> (Option<String>, Option<IpAddr>) {
    let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    (text("MESH_APPLICATION_METRICS"), text("POD_IP").and_then(|address| address.parse().ok()))
}

/// A port and a path of the application, in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationMetrics {
    /// Its address; it may listen on loopback alone.
    pub host: IpAddr,
    /// Never 0.
    pub port: u16,
    /// With its query.
    pub path: String,
}

impl ApplicationMetrics {
    /// `PORT` or `PORT/PATH`; without a path `/metrics`. The error says what is meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| format!("`{text}`: expected PORT or PORT/PATH, as 9090/metrics"))?;
        let path = if path.is_empty() { "/metrics" } else { path };
        Ok(Self { host: Ipv4Addr::LOCALHOST.into(), port, path: path.to_owned() })
    }
}

/// Where the last accepted configuration is kept, and for how long it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The folder, for this proxy alone.
    pub dir: PathBuf,
    /// A state older than this is not served from. 24 h: longer than a controller is away, shorter than addresses of endpoints last.
    pub expires: Duration,
}

/// Whether requests are counted and told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counts {
    /// As users have it.
    #[default]
    Requests,
    /// Not at all, to measure what it costs.
    Nothing,
}

/// A mesh port and the application behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboundListener {
    /// Where the mesh connects.
    pub listen: SocketAddr,
    /// Where the application listens.
    pub app: SocketAddr,
}

/// A local port that stands for one port of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundListener {
    /// Where the application connects.
    pub listen: SocketAddr,
    /// `SERVICE`, `SERVICE.NAMESPACE` or a longer DNS form, without port.
    pub host: String,
    /// Port of the service.
    pub port: u16,
}

/// How names are answered and resolved.
#[derive(Debug, Clone)]
pub struct Dns {
    /// Where the application asks, over UDP and TCP; none: it asks somebody else.
    pub listen: Vec<SocketAddr>,
    /// Where what the mesh does not know is asked; empty: what `resolv_conf` says, and follows its changes.
    pub resolvers: Vec<SocketAddr>,
    /// Who besides this machine is answered.
    pub clients: Vec<Network>,
    /// Lifetime of answers about the mesh. 30 s: what an application keeps is soon right again.
    pub ttl: Duration,
    /// The machine's resolvers and search list.
    pub resolv_conf: PathBuf,
    /// The machine's own names.
    pub hosts: PathBuf,
    /// What is kept of replies.
    pub cache: mesh_dns::cache::Limits,
    /// Queries to resolvers in flight. 512; one more gets an old answer, or a failure.
    pub exchanges: usize,
    /// Queries over UDP that are being answered. 1024; one more is dropped, and its client asks again.
    pub datagrams: usize,
    /// Connections with queries. 128; more wait in the kernel.
    pub connections: usize,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            resolvers: Vec::new(),
            clients: Vec::new(),
            ttl: Duration::from_secs(30),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            cache: mesh_dns::cache::Limits::default(),
            exchanges: 512,
            datagrams: 1024,
            connections: 128,
        }
    }
}

/// The SPIFFE Workload API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadApi {
    /// The Unix socket.
    pub path: PathBuf,
    /// Who may connect.
    pub peers: WorkloadApiPeers,
    /// Connections at once; more wait in the kernel. 64: an application has one.
    pub connections: usize,
    /// Streams, and callers that wait for the CA, at once; one more is refused. 128.
    pub streams: usize,
}

impl WorkloadApi {
    /// With the bounds that are usual.
    pub fn new(path: PathBuf, peers: WorkloadApiPeers) -> Self {
        Self { path, peers, connections: 64, streams: 128 }
    }
}

/// Who may have the application's identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkloadApiPeers {
    /// Processes of the proxy's own user, and of root
    #[default]
    Owner,
    /// Whoever reaches the socket: for a volume of one pod
    Anybody,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS/BITS`, or an address alone.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { address, bits })
    }

    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let others = width - u32::from(self.bits);
        (ours ^ theirs).checked_shr(others).is_none_or(|differ| differ == 0)
    }
}

/// Listeners that rules of the network bring connections to, whatever their destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// What the application opens.
    pub outbound: Vec<SocketAddr>,
    /// What others open to the application.
    pub inbound: Vec<SocketAddr>,
    /// How they come here.
    pub how: Original,
}

impl Capture {
    /// Whether anything is captured.
    pub fn is_on(&self) -> bool {
        !self.outbound.is_empty() || !self.inbound.is_empty()
    }
}

/// How it is known where a captured connection was going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Original {
    /// Its destination was changed (REDIRECT, DNAT); the system remembers the former one (`SO_ORIGINAL_DST`).
    #[default]
    Redirect,
    /// It was handed over with its destination (TPROXY), and the application sees the address of who called.
    Transparent,
    /// All that comes was going there: for tests, which may not change the rules of the network.
    Always(SocketAddr),
}

/// Where identity and configuration come from.
#[derive(Debug, Clone)]
pub struct Control {
    /// The controller's config and report port.
    pub controller: HostPort,
    /// The certificate authority.
    pub ca: HostPort,
    /// PEM file with the roots that the CA's own certificate must chain to.
    pub ca_roots: PathBuf,
    /// What proves to the CA who this is.
    pub credential: mesh_identity::Credential,
}

/// Deadlines; each await on a peer has one of them.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect to an endpoint or to the application. 5 s: a SYN may be lost twice (1 s + 2 s).
    pub connect: Duration,
    /// For a TLS handshake, on either side. 5 s.
    pub handshake: Duration,
    /// From the first to the last byte of a request head, and for the first bytes on a mesh port. 10 s.
    pub head: Duration,
    /// For a connection of HTTP on which no request is in flight. 5 min.
    pub idle: Duration,
    /// For an upgraded connection on which no byte moves. 1 h: longer than the pings of WebSockets. Other bytes have no such limit.
    pub tunnel_idle: Duration,
    /// For an unused upstream connection in the pool. 60 s: well below `idle` of the peer, so that it is we who close.
    pub pool_idle: Duration,
    /// Silence on an HTTP/2 connection to an endpoint after which it is asked whether it is still there, with [`Timeouts::connect`] to
    /// answer. 10 s: requests on a connection whose other end is gone fail within 15 s, and a request may go elsewhere.
    pub keepalive: Duration,
    /// How long a client may take nothing of an answer that is ready for it. 5 min: longer than somebody who consumes a stream in
    /// batches pauses, much shorter than what we hold for it is worth.
    pub stall: Duration,
    /// How long a request waits for configuration it needs. 5 s.
    pub discovery: Duration,
    /// How long a client may be silent before the upstream is dialled to see whether the server speaks first. It decides only when that
    /// happens, never what the bytes are: a client that is slower costs a connection. 4 ms.
    pub quiet: Duration,
    /// For a host outside the mesh to be resolved. 5 s.
    pub dns: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            handshake: seconds(5),
            head: seconds(10),
            idle: seconds(300),
            tunnel_idle: seconds(3600),
            pool_idle: seconds(60),
            keepalive: seconds(10),
            stall: seconds(300),
            discovery: seconds(5),
            quiet: Duration::from_millis(4),
            dns: seconds(5),
        }
    }
}

/// Bounds; what goes beyond is refused or waits in the kernel, and is counted.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections taken by one worker on one listener; more wait in the accept queue. Apart for each listener, so that a flood on
    /// one does not close the others.
    pub connections: usize,
    /// HTTP/1 connections of one worker to one endpoint; a request that needs one more gets `overload`.
    pub connections_per_endpoint: usize,
    /// Requests in flight on one HTTP/2 connection to an endpoint; one more gets `overload`.
    pub streams_per_connection: usize,
    /// Streams a peer may have open on one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams_accepted: u32,
    /// Destinations outside the mesh for which a worker keeps connections.
    pub foreign_hosts: usize,
    /// Questions to services about requests that are under way, per worker.
    pub questions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_endpoint: 1024,
            streams_per_connection: 1024,
            streams_accepted: 1024,
            foreign_hosts: 1024,
            questions: 1024,
        }
    }
}

/// Bytes of the trailers of one message.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Bytes of a request head; more is answered 431. With [`HEADERS`] the bound on what one peer may make us hold.
pub const HEAD_BYTES: usize = 60 * 1024;

/// Header lines of a request; more is answered 431.
pub const HEADERS: usize = 100;

/// Connect attempts a request makes, each at another endpoint while there is one.
pub const CONNECT_ATTEMPTS: usize = 3;

/// Destinations of which it is remembered who speaks first.
pub const LEARNT: usize = 1024;

/// For how long, after it was last seen.
pub const LEARNT_LIFE: Duration = Duration::from_mins(10);
