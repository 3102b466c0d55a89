//! The backends of one worker: for each port of a service its balancer, breaker, retry budget and probes; and one upstream per address
//! and identity, whichever services lead there. It must not know requests.

mod backend;

pub(super) use backend::{Backend, Picked, bound};

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use mesh_model::endpoint::Endpoint;
use mesh_model::name::ServiceName;
use mesh_traffic::balance::Counts;
use smallvec::SmallVec;

use super::health;
use crate::config::Config;
use crate::http::{Connector, Fault, Upstream};
use crate::state::{Noted, Snapshot};
use crate::telemetry::Failure;
use crate::tls::Hop;

/// The backends of a service, by port.
type Ports = SmallVec<[(u16, Rc<Backend>); 1]>;

/// All of them.
#[derive(Debug)]
pub(super) struct Backends {
    connector: Rc<Connector>,
    /// Where this proxy is; empty: what the controller says of the workload's own endpoints.
    zone: String,
    backends: RefCell<HashMap<ServiceName, Ports, foldhash::fast::RandomState>>,
    /// One per address and identity, whichever services lead there.
    upstreams: RefCell<HashMap<(SocketAddr, Hop), Weak<Upstream>>>,
    /// Hosts outside the mesh and endpoints by their own address, kept for their connections.
    foreign: RefCell<HashMap<(SocketAddr, Hop), Rc<Upstream>>>,
    foreign_bound: usize,
    /// Whether endpoints that are this workload itself are reached past our own inbound port.
    reaches_itself: bool,
    probes: Rc<health::Places>,
}

impl Backends {
    pub(super) fn new(connector: Rc<Connector>, config: &Config) -> Self {
        Self {
            connector,
            zone: config.zone.clone(),
            backends: RefCell::default(),
            upstreams: RefCell::default(),
            foreign: RefCell::default(),
            foreign_bound: config.limits.foreign_hosts,
            reaches_itself: config.reaches_itself(),
            probes: health::Places::new(),
        }
    }

    /// That port of a service, with the endpoints and the policy of the snapshot. `None`: nothing is known about the service's
    /// endpoints. Take it once a request; it stays what it is through changes of the configuration.
    pub(super) fn backend(
        &self,
        snapshot: &Arc<Snapshot>,
        service: &ServiceName,
        port: u16,
    ) -> Option<Rc<Backend>> {
        let found = self.backends.borrow().get(service).and_then(|ports| {
            ports.iter().find(|(of, _)| *of == port).map(|(_, backend)| Rc::clone(backend))
        });
        let backend = match found {
            Some(backend) => backend,
            None => {
                snapshot.endpoints(service)?;
                let backend = Backend::new(service, port, fastrand::u64(..));
                let mut backends = self.backends.borrow_mut();
                backends.entry(service.clone()).or_default().push((port, Rc::clone(&backend)));
                backend
            }
        };
        if !backend.is_of(snapshot) {
            snapshot.endpoints(service)?;
            let zone = self.own_zone(snapshot);
            backend.follow(snapshot, zone, |endpoint| self.upstream(endpoint, snapshot));
        }
        if backend.wants_probes() {
            health::start(&backend, &self.connector.tasks, &self.probes);
        }
        Some(backend)
    }

    /// The zone of the workload's own endpoints, unless this proxy was told where it is.
    fn own_zone<'a>(&'a self, snapshot: &'a Snapshot) -> &'a str {
        if !self.zone.is_empty() {
            return &self.zone;
        }
        let zones = snapshot.own().ports.iter().filter_map(|own| {
            let endpoints = snapshot.endpoints(&own.service)?.port(own.port);
            let endpoint = endpoints.iter().find(|endpoint| endpoint.address == own.address)?;
            Some(endpoint.zone.as_str())
        });
        zones.into_iter().find(|zone| !zone.is_empty()).unwrap_or_default()
    }

    /// How an endpoint is talked to: plainly where it is this workload itself and nobody stands before it.
    fn hop(&self, endpoint: &Endpoint, snapshot: &Snapshot) -> Hop {
        let is_own = || snapshot.own().ports.iter().any(|own| own.address == endpoint.address);
        if self.reaches_itself && is_own() { Hop::Plain } else { endpoint.transport.clone().into() }
    }

    fn upstream(&self, endpoint: &Endpoint, snapshot: &Snapshot) -> Rc<Upstream> {
        let mut upstreams = self.upstreams.borrow_mut();
        let hop = self.hop(endpoint, snapshot);
        let key = (endpoint.address, hop.clone());
        if let Some(upstream) = upstreams.get(&key).and_then(Weak::upgrade) {
            return upstream;
        }
        let upstream = Upstream::new(endpoint.address, hop, Rc::clone(&self.connector));
        upstreams.insert(key, Rc::downgrade(&upstream));
        upstream
    }

    /// A host outside the mesh. Bounded: beyond it `overload`.
    pub(super) fn foreign(&self, address: SocketAddr, hop: &Hop) -> Result<Rc<Upstream>, Fault> {
        self.kept(address, hop.clone())
    }

    /// An endpoint by its own address, under the same bound.
    pub(super) fn direct(&self, endpoint: &Endpoint, snapshot: &Snapshot) -> Result<Rc<Upstream>, Fault> {
        self.kept(endpoint.address, self.hop(endpoint, snapshot))
    }

    fn kept(&self, address: SocketAddr, hop: Hop) -> Result<Rc<Upstream>, Fault> {
        let mut foreign = self.foreign.borrow_mut();
        let key = (address, hop);
        if let Some(upstream) = foreign.get(&key) {
            return Ok(Rc::clone(upstream));
        }
        if foreign.len() >= self.foreign_bound {
            foreign.retain(|_, upstream| !upstream.is_unused());
        }
        if foreign.len() >= self.foreign_bound {
            let text = format!(
                "connections to {} addresses outside of services are open already",
                self.foreign_bound
            );
            return Err(Fault::new(Failure::Overload, text));
        }
        let upstream = Upstream::new(address, key.1.clone(), Rc::clone(&self.connector));
        foreign.insert(key, Rc::clone(&upstream));
        Ok(upstream)
    }

    /// The upstream of an address outside the mesh, if there is one.
    pub(super) fn known_foreign(&self, address: SocketAddr, hop: &Hop) -> Option<Rc<Upstream>> {
        self.foreign.borrow().get(&(address, hop.clone())).cloned()
    }

    /// Closes what has not been used for long and forgets services that the snapshot has no more. `decided` gets what balancing decided
    /// since the last sweep.
    pub(super) fn sweep(&self, snapshot: &Snapshot, mut decided: impl FnMut(&Counts)) {
        let now = Instant::now();
        self.backends.borrow_mut().retain(|service, ports| {
            for (_, backend) in ports.iter() {
                decided(&backend.sweep(now));
            }
            snapshot.endpoints(service).is_some()
        });
        self.upstreams.borrow_mut().retain(|_, upstream| {
            upstream.upgrade().is_some_and(|up| {
                up.sweep();
                true
            })
        });
        self.foreign.borrow_mut().retain(|_, upstream| {
            upstream.sweep();
            !upstream.is_unused()
        });
    }

    /// The endpoints that are not used as any other.
    pub(super) fn noted(&self) -> Vec<Noted> {
        let (now, mut noted) = (Instant::now(), Vec::new());
        for (service, ports) in self.backends.borrow().iter() {
            for (port, backend) in ports {
                backend.standings(now, |address, standing| {
                    noted.push(Noted { service: service.clone(), port: *port, address, standing });
                });
            }
        }
        noted
    }

    /// Closes what is not in use.
    pub(super) fn close_idle(&self) {
        self.upstreams.borrow().values().filter_map(Weak::upgrade).for_each(|upstream| upstream.close_idle());
        self.foreign.borrow().values().for_each(|upstream| upstream.close_idle());
    }
}
