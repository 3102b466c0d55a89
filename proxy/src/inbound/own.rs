//! What of the workload's own services is in force here: rate limits and the bound on what it works on at once. It follows the
//! snapshot, and costs one comparison where nothing is configured. It must not know connections.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::authority::{CLUSTER_DOMAIN, service_of, split};
use mesh_model::name::ServiceName;
use mesh_model::route::table::RouteTable;
use mesh_model::service::Protocol;
use mesh_model::traffic::effective::RequestPolicy;

use super::gate::Gate;
use crate::http::Wire;
use crate::state::{Lookup, Snapshot};
use crate::worker::wire;

/// A service that this listener stands for.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) service: ServiceName,
    port: u16,
    /// Its routes and policies, if any of them limits requests.
    pub(super) limits: Option<Arc<RouteTable>>,
    /// The bound on what is worked on at once.
    pub(super) gate: Option<Rc<Gate>>,
}

impl Served {
    /// Whether a service counts requests.
    pub(super) fn is_counted(&self) -> bool {
        self.limits.as_deref().is_some_and(|table| policies(table).any(|policy| policy.global_rate.is_some()))
    }
}

/// The settings of every request that goes by that table.
fn policies(table: &RouteTable) -> impl Iterator<Item = &RequestPolicy> {
    std::iter::once(&**table.default_policy()).chain(table.rules().map(|rule| &**rule.policy()))
}

/// The services of one listener.
#[derive(Debug, Default)]
pub(super) struct Own {
    view: RefCell<View>,
}

#[derive(Debug, Default)]
struct View {
    seen: Option<Arc<Snapshot>>,
    /// Empty if nothing is configured.
    served: Vec<Rc<Served>>,
}

impl Own {
    /// The service that a request to `authority` at `listener` is for, if anything is configured for it here. Of several the one that the
    /// authority names, else the first.
    pub(super) fn served(
        &self,
        snapshot: &Arc<Snapshot>,
        listener: SocketAddr,
        namespace: &str,
        authority: &str,
    ) -> Option<Rc<Served>> {
        let mut view = self.view.borrow_mut();
        if !view.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, snapshot)) {
            view.follow(snapshot, listener);
        }
        match view.served.as_slice() {
            [] => None,
            [one] => Some(Rc::clone(one)),
            several => {
                let candidates = service_of(split(authority).0, namespace, CLUSTER_DOMAIN);
                let named = several.iter().find(|one| candidates.service() == Some(&one.service));
                named.or(several.first()).map(Rc::clone)
            }
        }
    }
}

/// Whether a Service says that the workload serves there.
pub(super) fn is_declared(snapshot: &Snapshot, listener: SocketAddr) -> bool {
    snapshot.own().ports.iter().any(|own| stands_for(listener, own.address))
}

/// What is declared to be spoken at a listener, if that is HTTP: all the services that it stands for say so, and say the same.
pub(super) fn spoken(snapshot: &Snapshot, listener: SocketAddr) -> Option<Wire> {
    let mut ports = snapshot.own().ports.iter().filter(|own| stands_for(listener, own.address)).map(|own| {
        let policy = snapshot.backend_policy(&own.service, own.port);
        match wire::declared(&policy, snapshot, &own.service, own.port)? {
            Protocol::Tcp | Protocol::Tls => None,
            declared => Some(wire::spoken(declared)),
        }
    });
    let first = ports.next()??;
    ports.all(|other| other == Some(first)).then_some(first)
}

impl View {
    fn follow(&mut self, snapshot: &Arc<Snapshot>, listener: SocketAddr) {
        let before = std::mem::take(&mut self.served);
        let ports = snapshot.own().ports.iter().filter(|own| stands_for(listener, own.address));
        self.served = ports
            .map(|own| {
                let gate = before.iter().find(|old| old.service == own.service && old.port == own.port);
                let gate = gate.and_then(|old| old.gate.clone());
                Rc::new(Served {
                    limits: limits(snapshot, &own.service, own.port),
                    gate: self::gate(snapshot, &own.service, own.port, gate),
                    service: own.service.clone(),
                    port: own.port,
                })
            })
            .collect();
        if self.served.iter().all(|one| one.limits.is_none() && one.gate.is_none()) {
            self.served.clear();
        }
        self.seen = Some(Arc::clone(snapshot));
    }
}

/// Whether the address that the mesh knows is this listener. One on all addresses is known by its port.
fn stands_for(listener: SocketAddr, known: SocketAddr) -> bool {
    listener.port() == known.port() && (listener.ip().is_unspecified() || listener.ip() == known.ip())
}

fn limits(snapshot: &Snapshot, service: &ServiceName, port: u16) -> Option<Arc<RouteTable>> {
    let Lookup::Known(destination) = snapshot.destination(service) else { return None };
    let table = destination.table(port)?;
    let limited = policies(table).any(|policy| policy.rate_limits.is_some() || policy.global_rate.is_some());
    limited.then(|| Arc::clone(table))
}

fn gate(snapshot: &Snapshot, service: &ServiceName, port: u16, old: Option<Rc<Gate>>) -> Option<Rc<Gate>> {
    let policy = snapshot.backend_policy(service, port);
    let bound = policy.concurrency.as_ref()?.value;
    match old {
        Some(gate) => {
            gate.set_policy(bound);
            Some(gate)
        }
        None => Some(Gate::new(bound)),
    }
}
