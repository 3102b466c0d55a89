//! The balancers and connections of one worker, one balancer per service port, one upstream per address and identity.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use mesh_model::endpoint::{Endpoint, Endpoints, Transport};
use mesh_model::name::ServiceName;

use crate::balance::{Balancer, Slot};
use crate::http::{Connector, Fault, Upstream};
use crate::state::Snapshot;
use crate::telemetry::Failure;

/// All of them.
#[derive(Debug)]
pub(super) struct Backends {
    connector: Rc<Connector>,
    balancers: RefCell<HashMap<(ServiceName, u16), Entry>>,
    /// One per address and identity, whichever services lead there.
    upstreams: RefCell<HashMap<(SocketAddr, Transport), Weak<Upstream>>>,
    /// Hosts outside the mesh, kept for their connections.
    foreign: RefCell<HashMap<SocketAddr, Rc<Upstream>>>,
    foreign_bound: usize,
}

#[derive(Debug)]
struct Entry {
    source: Arc<Endpoints>,
    balancer: Balancer<Rc<Upstream>>,
}

/// An endpoint with its connections.
pub(super) type Picked = Rc<Slot<Rc<Upstream>>>;

impl Backends {
    pub(super) fn new(connector: Rc<Connector>, foreign_bound: usize) -> Self {
        Self {
            connector,
            balancers: RefCell::default(),
            upstreams: RefCell::default(),
            foreign: RefCell::default(),
            foreign_bound,
        }
    }

    /// Picks an endpoint of the service's port that is not among `tried`.
    pub(super) fn pick(
        &self,
        snapshot: &Snapshot,
        service: &ServiceName,
        port: u16,
        tried: &[SocketAddr],
        random: impl FnMut(usize) -> usize,
    ) -> Option<Picked> {
        let endpoints = snapshot.endpoints(service)?;
        let now = Instant::now();
        let mut balancers = self.balancers.borrow_mut();
        let entry = balancers.entry((service.clone(), port)).or_insert_with(|| {
            let mut balancer = Balancer::default();
            balancer.update(endpoints.port(port), now, |endpoint| self.upstream(endpoint));
            Entry { source: Arc::clone(endpoints), balancer }
        });
        if !Arc::ptr_eq(&entry.source, endpoints) {
            entry.balancer.update(endpoints.port(port), now, |endpoint| self.upstream(endpoint));
            entry.source = Arc::clone(endpoints);
        }
        entry.balancer.pick(now, tried, random)
    }

    fn upstream(&self, endpoint: &Endpoint) -> Rc<Upstream> {
        let mut upstreams = self.upstreams.borrow_mut();
        let key = (endpoint.address, endpoint.transport.clone());
        if let Some(upstream) = upstreams.get(&key).and_then(Weak::upgrade) {
            return upstream;
        }
        let upstream =
            Upstream::new(endpoint.address, endpoint.transport.clone(), Rc::clone(&self.connector));
        upstreams.insert(key, Rc::downgrade(&upstream));
        upstream
    }

    /// A host outside the mesh. Bounded: beyond it `overload`.
    pub(super) fn foreign(&self, address: SocketAddr) -> Result<Rc<Upstream>, Fault> {
        let mut foreign = self.foreign.borrow_mut();
        if let Some(upstream) = foreign.get(&address) {
            return Ok(Rc::clone(upstream));
        }
        if foreign.len() >= self.foreign_bound {
            foreign.retain(|_, upstream| !upstream.is_unused());
        }
        if foreign.len() >= self.foreign_bound {
            let text =
                format!("connections to {} hosts outside the mesh are open already", self.foreign_bound);
            return Err(Fault::new(Failure::Overload, text));
        }
        let upstream = Upstream::new(address, Transport::Plain, Rc::clone(&self.connector));
        foreign.insert(address, Rc::clone(&upstream));
        Ok(upstream)
    }

    /// Closes what has not been used for long and forgets services that the snapshot has no more.
    pub(super) fn sweep(&self, snapshot: &Snapshot) {
        self.balancers.borrow_mut().retain(|(service, _), _| snapshot.endpoints(service).is_some());
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

    /// Closes what is not in use.
    pub(super) fn close_idle(&self) {
        self.upstreams.borrow().values().filter_map(Weak::upgrade).for_each(|upstream| upstream.close_idle());
        self.foreign.borrow().values().for_each(|upstream| upstream.close_idle());
    }
}
