//! The proxies under test: how each is configured and started. Peers get what their own guides call sensible for a
//! reverse proxy with kept upstream connections; ours gets nothing but its defaults.

pub(crate) mod amime;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod nginx;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use crate::process::Process;

/// The name of our own proxy in every table.
pub(crate) const OURS: &str = "amime";

/// A proxy, or a pair of them, that takes load.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What clients call the service.
    pub(crate) host: String,
    /// Where HTTP/1.1 is taken.
    pub(crate) h1: Option<SocketAddr>,
    /// Where HTTP/2 is taken.
    pub(crate) h2: Option<SocketAddr>,
    /// Where gRPC is taken.
    pub(crate) grpc: Option<SocketAddr>,
    /// Where the server's side of a pair takes mutual TLS.
    pub(crate) mesh: Option<SocketAddr>,
    /// The last one is the server's side of a pair.
    pub(crate) processes: Vec<Rc<Process>>,
}

impl Target {
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid()).collect()
    }
}

/// A pair of proxies that carries bytes, mutual TLS between.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) name: &'static str,
    /// Where clients connect, in plaintext.
    pub(crate) to: SocketAddr,
    pub(crate) processes: Vec<Process>,
}

impl Pipe {
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }
}

/// Where the programs of the peers are; None when one is not installed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Programs {
    pub(crate) envoy: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) haproxy: Option<PathBuf>,
}
