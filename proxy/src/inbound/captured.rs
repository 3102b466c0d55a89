//! Connections to the application that capture brings here: each is served as if the port that it was meant for had a listener of its
//! own. It must not know what is served.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use mesh_identity::Identity;

use super::Inbound;
use super::app::App;
use crate::ask::Asker;
use crate::config::Original;
use crate::net::{self, Accepted, Namespace, OrLoopback, Toward};
use crate::telemetry::{AppProtocol, Event, Failure};
use crate::tls;
use crate::worker::Worker;

/// Destinations that are kept, with what is known of them. Somebody who looks for open ports leaves one for each; those without a
/// connection make room.
const DESTINATIONS: usize = 1024;

/// One captured port on one worker.
#[derive(Debug)]
pub struct Captured {
    worker: Rc<Worker>,
    tls: tls::Server,
    asker: Rc<Asker>,
    network: Option<Namespace>,
    own: Vec<SocketAddr>,
    destinations: RefCell<HashMap<SocketAddr, Rc<Inbound>>>,
}

impl Captured {
    /// `own` are all addresses that this proxy listens on; the application is in `network` when it is not here.
    pub fn new(
        worker: &Rc<Worker>,
        (identity, asker): (&Identity, &Rc<Asker>),
        network: Option<&Namespace>,
        own: Vec<SocketAddr>,
    ) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(worker),
            tls: tls::Server::new(identity),
            asker: Rc::clone(asker),
            network: network.cloned(),
            own,
            destinations: RefCell::default(),
        })
    }

    /// Serves one connection on a task of its own.
    pub fn serve(self: &Rc<Self>, accepted: Accepted) {
        let how = self.worker.config.capture.how;
        let (stream, peer) = (&accepted.stream, accepted.peer);
        let original = match net::original_destination(stream, peer, how, &self.own, &[Toward::App]) {
            Ok(original) => original,
            Err(error) => return self.worker.no_original(&accepted, &error),
        };
        match self.destination(original, how) {
            Some(inbound) => inbound.serve(accepted),
            None => {
                self.worker.telemetry.count(Event::Overload);
                self.refuse(accepted, Failure::Overload);
            }
        }
    }

    fn refuse(&self, accepted: Accepted, failure: Failure) {
        accepted.stream.abort();
        super::record(&self.worker, AppProtocol::Tcp, None).failure(failure);
    }

    /// `None`: too many destinations have connections open.
    fn destination(&self, original: SocketAddr, how: Original) -> Option<Rc<Inbound>> {
        let mut destinations = self.destinations.borrow_mut();
        if let Some(inbound) = destinations.get(&original) {
            return Some(Rc::clone(inbound));
        }
        if destinations.len() >= DESTINATIONS {
            destinations.retain(|_, inbound| inbound.is_used());
        }
        if destinations.len() >= DESTINATIONS {
            return None;
        }
        let app = App::new(&self.worker, self.network.as_ref(), original);
        // On loopback there is this proxy, whatever a Service declares: its admin port, and one that calls in its name.
        let ours = self.own.iter().any(|own| own.port() == original.port());
        let loopback = if ours { OrLoopback::No } else { OrLoopback::Yes };
        let inbound = Inbound::captured(&self.worker, (self.tls.clone(), &self.asker), app, (how, loopback));
        destinations.insert(original, Rc::clone(&inbound));
        Some(inbound)
    }

    /// Judges what is under way again, if policies have changed.
    pub fn authorize_again(&self) {
        self.destinations.borrow().values().for_each(|inbound| inbound.authorize_again());
    }

    /// Closes connections to the application that have not been used for long.
    pub fn sweep(&self) {
        self.destinations.borrow().values().for_each(|inbound| inbound.sweep());
    }

    /// Closes connections to the application that are not in use.
    pub fn close_idle(&self) {
        self.destinations.borrow().values().for_each(|inbound| inbound.close_idle());
    }
}
