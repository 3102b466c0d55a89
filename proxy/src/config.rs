//! What a proxy is told at its start: plain data with its defaults and their reasons. `cli` builds it from arguments; tests
//! build it by hand. It must not know how any of it is used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Configuration dump and drain; loopback only.
    pub admin: Option<SocketAddr>,
    /// Metrics and readiness.
    pub metrics: Option<SocketAddr>,
    /// A process in whose network namespace the application runs, when it is not ours.
    pub network_of: Option<u32>,
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
            admin: None,
            metrics: None,
            network_of: None,
            workers: 1,
            drain: Duration::from_secs(10),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

/// The environment's one-time join token, if there is one.
pub fn join_token() -> Option<String> {
    std::env::var("MESH_JOIN_TOKEN")
        .ok()
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
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

/// Where identity and configuration come from.
#[derive(Debug, Clone)]
pub struct Control {
    /// The controller's config and report port.
    pub controller: SocketAddr,
    /// The certificate authority.
    pub ca: SocketAddr,
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
    /// For an opaque or upgraded connection on which no byte moves. 1 h: longer than the pings of databases and WebSockets.
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
    /// How long a client may be silent before the upstream is asked too (server speaks first). 20 ms.
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
            quiet: Duration::from_millis(20),
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_endpoint: 1024,
            streams_per_connection: 1024,
            streams_accepted: 1024,
            foreign_hosts: 1024,
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
