//! The way out: from the application to services of the mesh, or to hosts outside it.
//!
//! accept → detect → discover → route → filters → ask → backend → balance → connect → forward → record. A request enters by a listener for
//! one destination or by the HTTP proxy port. It must not know certificates or sockets.

mod affinity;
mod answer;
mod aside;
mod asked;
mod attempts;
mod backends;
mod call;
mod compare;
mod destination;
mod dialling;
mod foreign;
mod health;
mod idle;
mod limits;
mod loopback;
mod mirror;
mod opaque;
mod outside;
mod plan;
mod streams;
mod supply;
mod trial;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};

use mesh_identity::Identity;

use self::backends::Backends;
use self::call::Call;
use self::destination::Found;
pub use self::destination::Host;
use crate::ask::Asker;
use crate::config::{LEARNT, LEARNT_LIFE};
use crate::detect::{Learnt, Sniff};
use crate::dns::Dns;
use crate::http::{self, Connector, Fault, Wire};
use crate::net::{self, Accepted, Dial, Namespace, OrLoopback, Stream, Toward};
use crate::tcp::{self, Opening};
use crate::telemetry::{Direction, Event};
use crate::tls::Clients;
use crate::worker::Worker;

/// A connection's place under the bound, shared by what it becomes.
type Permit = Rc<Caller>;

/// Who connected.
#[derive(Debug)]
struct Caller {
    address: IpAddr,
    /// It is not the application: an operator had this proxy send a request as if it were.
    trial: bool,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Caller {
    fn of(peer: SocketAddr, permit: tokio::sync::OwnedSemaphorePermit) -> Self {
        Self { address: peer.ip(), trial: false, _permit: permit }
    }
}

/// The way out of one worker.
#[derive(Debug)]
pub struct Outbound {
    worker: Rc<Worker>,
    backends: Backends,
    /// Resolves hosts outside the mesh.
    dns: Dns,
    mirrors: mirror::UnderWay,
    comparing: compare::Bounds,
    /// Asks others about requests.
    asker: Rc<Asker>,
    /// Who speaks first at which destination.
    learnt: RefCell<Learnt<Host>>,
    /// Our own listeners: a request for one of them would come back to us for ever.
    own: Vec<SocketAddr>,
    /// Where the application is, when it has a network namespace of its own.
    network: Option<Namespace>,
    /// How to connect to the application itself, when it has a network namespace of its own.
    inside: Option<Dial>,
}

impl Outbound {
    /// `own` are all addresses that this proxy listens on for the application.
    pub fn new(
        worker: &Rc<Worker>,
        identity: Identity,
        network: Option<&Namespace>,
        own: Vec<SocketAddr>,
        dns: Dns,
    ) -> Rc<Self> {
        let asking = identity.clone();
        let inside = network.map(|network| worker.dial_app(Some(network)));
        let counter = Rc::clone(worker);
        let counted = move |event| counter.telemetry.count(event);
        let connector = Rc::new(Connector {
            tls: Some(Rc::new(Clients::new(identity, worker.config.outside_roots.clone(), counted))),
            dial: worker.dial(),
            or_loopback: OrLoopback::No.into(),
            timeouts: worker.config.timeouts,
            limits: worker.config.limits,
            tasks: worker.upstreams.clone(),
        });
        let backends = Backends::new(connector, &worker.config);
        let learnt = RefCell::new(Learnt::new(LEARNT, LEARNT_LIFE));
        let (mirrors, comparing) = (mirror::UnderWay::default(), compare::Bounds::default());
        Rc::new_cyclic(|this: &Weak<Self>| {
            let asker = Rc::new(Asker::new(worker, asking, Weak::<Self>::clone(this)));
            let network = network.cloned();
            Self {
                worker: Rc::clone(worker),
                backends,
                dns,
                mirrors,
                comparing,
                asker,
                learnt,
                own,
                network,
                inside,
            }
        })
    }

    /// Asks others about requests, by this way out.
    pub fn asker(&self) -> &Rc<Asker> {
        &self.asker
    }

    /// Serves a connection to a listener that stands for one destination, on a task of its own.
    pub fn serve_destination(self: &Rc<Self>, accepted: Accepted, host: Rc<Host>) {
        let this = Rc::clone(self);
        self.worker.connections.spawn_local(
            "outbound",
            Box::pin(async move {
                let _open = this.worker.open(Direction::Outbound);
                let caller = Caller::of(accepted.peer, accepted.permit);
                this.carry(accepted.stream, host, Rc::new(caller)).await;
            }),
        );
    }

    /// Serves a connection that capture brought here, whatever its destination, on a task of its own.
    pub fn serve_captured(self: &Rc<Self>, accepted: Accepted) {
        let how = self.worker.config.capture.how;
        let loops = [Toward::Others, Toward::App];
        match net::original_destination(&accepted.stream, accepted.peer, how, &self.own, &loops) {
            Ok(original) => {
                if let Some(inside) = self.inside.as_ref().filter(|_| original.ip().is_loopback()) {
                    return self.serve_loopback(accepted, original, inside.clone());
                }
                // An address that only stands for a name, which this proxy has answered, leads where the name does.
                let host = match self.dns.host_of(original.ip()) {
                    Some(name) => Host::new(name.to_string(), original.port()),
                    None => Host::captured(original),
                };
                self.serve_destination(accepted, Rc::new(host));
            }
            Err(error) => self.worker.no_original(&accepted, &error),
        }
    }

    /// Serves a connection to the HTTP proxy port, on a task of its own.
    pub fn serve_proxy(self: &Rc<Self>, accepted: Accepted) {
        let this = Rc::clone(self);
        self.worker.connections.spawn_local(
            "outbound proxy",
            Box::pin(async move {
                let _open = this.worker.open(Direction::Outbound);
                let Accepted { mut stream, peer, permit } = accepted;
                let permit = Caller::of(peer, permit);
                let timeouts = &this.worker.config.timeouts;
                // Clients may connect ahead of need, so the first byte has as long as an idle connection.
                match Box::pin(tcp::opening(&mut stream, timeouts.idle, timeouts.head)).await {
                    Ok(Opening::Speaks(Sniff::Http1)) => {
                        this.http(stream, Wire::Http1, None, Rc::new(permit)).await;
                    }
                    Ok(Opening::Speaks(Sniff::Http2)) => {
                        this.http(stream, Wire::Http2, None, Rc::new(permit)).await;
                    }
                    Ok(Opening::Speaks(_)) if stream.peeked().is_empty() => {}
                    Ok(Opening::Speaks(_)) => {
                        this.worker.telemetry.count(Event::ProtocolError);
                        tracing::debug!("the HTTP proxy port got bytes that are not HTTP; closed");
                    }
                    Ok(Opening::Silent) => this.worker.telemetry.count(Event::IdleTimeout),
                    Err(error) => tracing::debug!(%error, "connection ended before it began"),
                }
            }),
        );
    }

    /// Carries a stream whose destination is known: HTTP by request, anything else as bytes. Its stages are boxed, so that a
    /// connection that waits for its next request keeps none of them in memory.
    async fn carry(self: &Rc<Self>, stream: Stream, host: Rc<Host>, permit: Permit) {
        let found = Box::pin(self.discover(&host)).await;
        self.carry_found(stream, host, found, permit).await;
    }

    async fn carry_found(
        self: &Rc<Self>,
        mut stream: Stream,
        host: Rc<Host>,
        found: Result<Found, Fault>,
        permit: Permit,
    ) {
        match Box::pin(self.protocol(&mut stream, &host, &found)).await {
            opaque::Carry::Http(wire) => self.http(stream, wire, Some(host), permit).await,
            opaque::Carry::Opaque(server) => Box::pin(self.opaque(stream, &host, &found, server)).await,
            opaque::Carry::Close => {}
        }
    }

    async fn http(self: &Rc<Self>, stream: Stream, wire: Wire, host: Option<Rc<Host>>, permit: Permit) {
        let call = Rc::new(Call::new(self, host, permit));
        let options = self.worker.server_options();
        let end = http::serve(stream, wire, call, &options).await;
        self.worker.served(&end);
    }

    /// Closes connections that have not been used for long and forgets what is gone.
    pub fn sweep(&self) {
        let telemetry = &self.worker.telemetry;
        self.backends.sweep(&self.worker.snapshot(), |decided| {
            let events = [
                (decided.ejected(), Event::EndpointEjected),
                (decided.returned, Event::EndpointReturned),
                (decided.unhealthy, Event::EndpointUnhealthy),
                (decided.recovered, Event::EndpointRecovered),
                (decided.panicked, Event::HealthDisregarded),
            ];
            for (times, event) in events {
                telemetry.count_many(event, times);
            }
        });
        self.worker.standings.write(self.backends.noted());
    }

    /// Closes connections that are not in use.
    pub fn close_idle(&self) {
        self.backends.close_idle();
    }
}
