//! The application behind a mesh port, and how it is reached. It must not know what is sent to it.
//!
//! What is captured is dialled where the caller meant it to go: the workload's own address first, as Istio since 1.10 and Linkerd do.
//! A program that listens on loopback only refuses that; it is then tried on loopback, but only at ports that a Service declares
//! for this workload: whoever listens on loopback with anything else (a debug or admin port) has not offered it to the mesh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::http::{Connector, Upstream};
use crate::net::{Dial, Namespace, OrLoopback};
use crate::tls::Hop;
use crate::worker::Worker;

/// Callers whose address the application sees, each with connections of its own; beyond it those of callers that are gone are closed.
const SOURCES: usize = 1024;

/// Its connections for one kind of caller, and how they are made.
#[derive(Debug)]
struct Way {
    upstream: Rc<Upstream>,
    connector: Rc<Connector>,
}

/// One application.
#[derive(Debug)]
pub(super) struct App {
    address: SocketAddr,
    worker: Rc<Worker>,
    /// Where it is, when that is not here.
    network: Option<Namespace>,
    /// For callers whose address is not shown.
    any: Way,
    /// By the caller's address, where that is shown.
    sources: RefCell<HashMap<IpAddr, Way>>,
}

impl App {
    pub(super) fn new(worker: &Rc<Worker>, network: Option<&Namespace>, address: SocketAddr) -> Self {
        Self {
            address,
            worker: Rc::clone(worker),
            network: network.cloned(),
            any: Way::new(worker, network, address, None),
            sources: RefCell::default(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections to it, from `source` if the application is to see who called. `None`: too many callers have connections open.
    pub(super) fn upstream(&self, source: Option<IpAddr>, or_loopback: OrLoopback) -> Option<Rc<Upstream>> {
        let Some(source) = source else { return Some(self.any.upstream(or_loopback)) };
        let mut sources = self.sources.borrow_mut();
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            sources.retain(|_, way| !way.upstream.is_unused());
            if sources.len() >= SOURCES {
                return None;
            }
        }
        let new = || Way::new(&self.worker, self.network.as_ref(), self.address, Some(source));
        Some(sources.entry(source).or_insert_with(new).upstream(or_loopback))
    }

    /// Closes what has not been used for long.
    pub(super) fn sweep(&self) {
        self.any.upstream.sweep();
        self.sources.borrow_mut().retain(|_, way| {
            way.upstream.sweep();
            !way.upstream.is_unused()
        });
    }

    /// Closes what is not in use.
    pub(super) fn close_idle(&self) {
        self.any.upstream.close_idle();
        self.sources.borrow().values().for_each(|way| way.upstream.close_idle());
    }

    /// Whether nothing is open.
    pub(super) fn is_unused(&self) -> bool {
        self.any.upstream.is_unused() && self.sources.borrow().values().all(|way| way.upstream.is_unused())
    }
}

impl Way {
    fn new(
        worker: &Worker,
        network: Option<&Namespace>,
        address: SocketAddr,
        source: Option<IpAddr>,
    ) -> Self {
        let connector = Rc::new(Connector {
            tls: None,
            dial: Dial { source, ..worker.dial_app(network) },
            or_loopback: OrLoopback::default().into(),
            timeouts: worker.config.timeouts,
            limits: worker.config.limits,
            tasks: worker.upstreams.clone(),
        });
        let upstream = Upstream::new(address, Hop::Plain, Rc::clone(&connector));
        Self { upstream, connector }
    }

    fn upstream(&self, or_loopback: OrLoopback) -> Rc<Upstream> {
        self.connector.or_loopback.set(or_loopback);
        Rc::clone(&self.upstream)
    }
}
