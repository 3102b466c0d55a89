//! Bytes that are carried and not read: telling whether a connection is that, and its way to an endpoint.

use std::net::SocketAddr;
use std::time::Instant;

use mesh_model::name::ServiceName;
use mesh_model::service::Protocol;
use mesh_traffic::balance::Ask;
use mesh_traffic::outlier::Outcome;
use smallvec::SmallVec;

use super::destination::Found;
use super::{Host, Outbound, attempts};
use crate::config::CONNECT_ATTEMPTS;
use crate::detect::{self, Opener, Room, Sniff};
use crate::http::{Fault, OwnBounds, Place, Unreached, Wire};
use crate::net::Stream;
use crate::tcp::{self, First, Opening};
use crate::telemetry::{AppProtocol, Event, Failure, Reason, SeenIn, Side};
use crate::tls::{self, Hello};
use crate::worker::record::Record;
use crate::worker::wire;

/// How a connection is carried.
pub(super) enum Carry {
    /// By request.
    Http(Wire),
    /// As bytes; the server's side may be open already.
    Opaque(Option<Box<Opened>>),
    /// It ended, or nothing came of it.
    Close,
}

/// An open stream to the server, with the record that goes with it.
pub(super) struct Opened {
    stream: Stream,
    record: Record,
    _place: Place,
}

/// Whether a captured connection leads out of the mesh: it is not ours to read.
fn is_as_is(host: &Host, found: &Result<Found, Fault>) -> bool {
    host.captured && matches!(found, Ok(Found::Foreign))
}

impl Outbound {
    /// Decides how a connection to `host` is carried: what is declared, else what its first bytes say, else who speaks first.
    pub(super) async fn protocol(
        &self,
        stream: &mut Stream,
        host: &Host,
        found: &Result<Found, Fault>,
    ) -> Carry {
        let declared = match found {
            Ok(Found::Foreign) => self.spoken(host),
            Ok(found) => found.declared(&self.worker.snapshot()),
            Err(_) => None,
        };
        let routed = found.as_ref().is_ok_and(|found| found.streams().is_some());
        if routed || matches!(declared, Some(Protocol::Tcp | Protocol::Tls)) {
            return Carry::Opaque(None);
        }
        let timeouts = &self.worker.config.timeouts;
        let patience = self.worker.patience(self.learnt.borrow().opener(host, Instant::now()));
        let opening = match tcp::opening(stream, patience, timeouts.head).await {
            Ok(opening) => opening,
            Err(error) => {
                tracing::debug!(%error, "connection ended before it began");
                return Carry::Close;
            }
        };
        if matches!(opening, Opening::Speaks(_)) {
            self.learn(host, Opener::Client);
        }
        match (declared, opening) {
            // Nobody has said anything about it: whatever it is, it passes as it is, to where it was going.
            (_, Opening::Speaks(_)) if is_as_is(host, found) => Carry::Opaque(None),
            (_, Opening::Speaks(Sniff::Http1)) => Carry::Http(Wire::Http1),
            (_, Opening::Speaks(Sniff::Http2)) => Carry::Http(Wire::Http2),
            (Some(_), Opening::Speaks(_)) if stream.peeked().is_empty() => Carry::Close,
            // What a port that is declared to be HTTP gets is read as HTTP: the codec answers what it cannot read.
            (Some(declared), Opening::Speaks(_)) => Carry::Http(wire::spoken(declared)),
            (None, Opening::Speaks(_)) => self.bytes(stream, host, found, None),
            // Declared to be HTTP, where the client speaks first: there is nothing to find out by dialling.
            (Some(declared), Opening::Silent) => self.first_words(stream, declared).await,
            (None, Opening::Silent) => match self.open(host, found, None).await {
                Some(opened) => self.whoever_speaks(stream, host, found, opened).await,
                None => {
                    stream.abort();
                    Carry::Close
                }
            },
        }
    }

    /// Carries bytes, unless somebody has said what is to be done with requests: that is never passed over in silence.
    fn bytes(
        &self,
        stream: &Stream,
        host: &Host,
        found: &Result<Found, Fault>,
        opened: Option<Box<Opened>>,
    ) -> Carry {
        if !found.as_ref().is_ok_and(Found::needs_http) {
            return Carry::Opaque(opened);
        }
        tracing::warn!(
            %host,
            "refused a connection that does not speak HTTP: routes are attached to the service; if the port is not HTTP, declare it with appProtocol: tcp or tls"
        );
        self.worker.telemetry.count(Event::NotHttp);
        stream.abort();
        let mut record = match opened {
            Some(opened) => opened.record,
            None => self.record(),
        };
        record.because(Reason::NotHttp);
        record.failure(Failure::BadRequest);
        Carry::Close
    }

    fn learn(&self, host: &Host, opener: Opener) {
        if self.learnt.borrow_mut().note(host, opener, Instant::now()) == Room::Made {
            self.worker.telemetry.count(Event::LearntForgotten);
        }
    }

    fn record(&self) -> Record {
        let mut record = Record::new(&self.worker, Side::Outbound, AppProtocol::Tcp);
        record.source(self.worker.own.clone());
        record
    }

    /// Waits for a silent client as long as for an idle one.
    async fn first_words(&self, stream: &mut Stream, declared: Protocol) -> Carry {
        let timeouts = &self.worker.config.timeouts;
        match tcp::opening(stream, timeouts.idle, timeouts.head).await {
            Ok(Opening::Speaks(Sniff::Http1)) => Carry::Http(Wire::Http1),
            Ok(Opening::Speaks(Sniff::Http2)) => Carry::Http(Wire::Http2),
            Ok(Opening::Speaks(_)) if !stream.peeked().is_empty() => Carry::Http(wire::spoken(declared)),
            Ok(Opening::Speaks(_)) | Err(_) => Carry::Close,
            Ok(Opening::Silent) => {
                self.worker.telemetry.count(Event::IdleTimeout);
                Carry::Close
            }
        }
    }

    async fn whoever_speaks(
        &self,
        client: &mut Stream,
        host: &Host,
        found: &Result<Found, Fault>,
        mut opened: Box<Opened>,
    ) -> Carry {
        let timeouts = &self.worker.config.timeouts;
        match tcp::who_speaks_first(client, &mut opened.stream, timeouts.idle).await {
            Ok(First::Server) => {
                self.learn(host, Opener::Server);
                self.bytes(client, host, found, Some(opened))
            }
            Ok(First::Client) => {
                self.learn(host, Opener::Client);
                let sniff = tokio::time::timeout(timeouts.head, tcp::first_bytes(client)).await;
                let wire = match sniff {
                    _ if is_as_is(host, found) => None,
                    Ok(Ok(Sniff::Http1)) => Some(Wire::Http1),
                    Ok(Ok(Sniff::Http2)) => Some(Wire::Http2),
                    _ => None,
                };
                match wire {
                    // It was HTTP after all: the connection that was opened to find out is of no use.
                    Some(wire) => {
                        opened.record.forget();
                        Carry::Http(wire)
                    }
                    None => self.bytes(client, host, found, Some(opened)),
                }
            }
            // Two that are both silent are carried like any other bytes.
            Err(_) => self.bytes(client, host, found, Some(opened)),
        }
    }

    /// Carries the connection as bytes until both sides have ended.
    pub(super) async fn opaque(
        &self,
        mut client: Stream,
        host: &Host,
        found: &Result<Found, Fault>,
        server: Option<Box<Opened>>,
    ) {
        let outside = matches!(found, Ok(Found::Foreign));
        let name = if outside { self.name(&mut client).await } else { (SeenIn::Nothing, None) };
        let asked_for = match (&name, found) {
            ((SeenIn::Sni, name), _) => name.clone(),
            (_, Ok(found)) => self.asked_for(&mut client, found).await,
            (_, Err(_)) => None,
        };
        let opened = match server {
            Some(mut opened) => {
                opened.record.asked_for(asked_for.as_deref());
                Some(opened)
            }
            None => self.open(host, found, asked_for.as_deref()).await,
        };
        // A client that was accepted for want of a way to ask first learns at once that nobody is there.
        let Some(opened) = opened else { return client.abort() };
        let Opened { mut stream, record, _place } = *opened;
        let [to_server, to_client] = record.moved();
        self.worker.carry(record, &mut client, &mut stream, None).await;
        if outside {
            let (seen, name) = name;
            let name = name.as_deref().unwrap_or_default();
            self.worker.telemetry.outside(seen, name, to_server.get(), to_client.get());
        }
    }

    /// What a connection to outside the mesh calls its destination, from the bytes that have come.
    async fn name(&self, client: &mut Stream) -> (SeenIn, Option<Box<str>>) {
        match detect::sniff(client.peeked()) {
            Sniff::Tls => {
                let hello = tokio::time::timeout(self.worker.config.timeouts.handshake, tls::hello(client));
                match hello.await {
                    Ok(Ok(Hello::Foreign(Some(name)))) => (SeenIn::Sni, Some(name)),
                    _ => (SeenIn::Nothing, None),
                }
            }
            Sniff::Http1 => match detect::host(client.peeked()) {
                Some(host) => (SeenIn::Host, Some(host.into())),
                None => (SeenIn::Nothing, None),
            },
            Sniff::Http2 | Sniff::NeedMore | Sniff::Opaque => (SeenIn::Nothing, None),
        }
    }

    /// Opens a stream to `host`: mutual TLS to an endpoint of a service, plain to a host outside. `None`: it failed, and that is
    /// on record.
    async fn open(
        &self,
        host: &Host,
        found: &Result<Found, Fault>,
        asked_for: Option<&str>,
    ) -> Option<Box<Opened>> {
        let mut record = self.record();
        record.asked_for(asked_for);
        match self.reach(host, found, asked_for, &mut record).await {
            Ok((stream, place)) => Some(Box::new(Opened { stream, record, _place: place })),
            Err(failure) => {
                tracing::debug!(%host, failure = failure.code(), "closed a connection whose destination cannot be reached");
                record.failure(failure);
                None
            }
        }
    }

    async fn reach(
        &self,
        host: &Host,
        found: &Result<Found, Fault>,
        asked_for: Option<&str>,
        record: &mut Record,
    ) -> Result<(Stream, Place), Failure> {
        let found = found.as_ref().inspect_err(|fault| record.fault(fault)).map_err(|fault| fault.failure)?;
        match found {
            Found::Direct(direct) => {
                let upstream = self
                    .backends
                    .direct(&direct.endpoint, &self.worker.snapshot())
                    .map_err(|fault| fault.failure)?;
                if let Some((service, port)) = &direct.service {
                    record.service(service.clone(), *port);
                }
                record.goes_to(&direct.endpoint, upstream.security());
                upstream.stream(&OwnBounds).await.map_err(|why| {
                    self.unreached(&why);
                    record.unreached(&why);
                    why.failure()
                })
            }
            Found::Foreign => {
                let hop = self.hop(host).map_err(|fault| fault.failure)?;
                record.security(hop.security());
                let addresses = self.resolve(host).await.map_err(|fault| {
                    record.fault(&fault);
                    fault.failure
                })?;
                let dial = async |address| {
                    let upstream = self.backends.foreign(address, &hop).map_err(|_| Unreached::Bound)?;
                    upstream.stream(&OwnBounds).await
                };
                match self.first_reached(addresses, dial).await {
                    Ok((_, open)) => Ok(open),
                    Err(Some(why)) => {
                        record.unreached(&why);
                        Err(why.failure())
                    }
                    Err(None) => Err(Failure::ConnectFailed),
                }
            }
            Found::Service { destination, port } => {
                record.service(destination.service.name.clone(), *port);
                let (service, port) = self.stream_backend(destination, *port, asked_for, record)?;
                let snapshot = self.worker.snapshot();
                let mut tried = SmallVec::<[SocketAddr; CONNECT_ATTEMPTS]>::new();
                let mut last = Failure::NoEndpoints;
                let Some(backend) = self.backends.backend(&snapshot, &service, port) else {
                    return Err(last);
                };
                while tried.len() < CONNECT_ATTEMPTS {
                    let ask = Ask::new(Instant::now(), &tried);
                    let Ok(slot) = backend.pick(&ask, |n| self.worker.random_below(n)) else { break };
                    record.goes_to(&slot.endpoint, slot.payload.security());
                    let began = Instant::now();
                    match slot.payload.stream(&*backend).await {
                        Ok(open) => {
                            let now = Instant::now();
                            slot.load.connected();
                            // All that is known of bytes is that somebody takes them; connects that fail are errors.
                            slot.load.record(Outcome::Success, now.saturating_duration_since(began), now);
                            record.busy(slot.load.begin(now));
                            return Ok(open);
                        }
                        Err(why) => {
                            self.unreached(&why);
                            if why.is_about_the_upstream() {
                                let ejected = slot.load.connect_failed(Instant::now());
                                record.ejected(ejected.then(slot.endpoint.address));
                            }
                            record.unreached(&why);
                            last = why.failure();
                            tried.push(slot.endpoint.address);
                        }
                    }
                }
                self.doubt(&service, last);
                Err(last)
            }
        }
    }

    /// Where nobody was reached, what is known of the service may be old.
    pub(super) fn doubt(&self, service: &ServiceName, failure: Failure) {
        if attempts::is_unreached(failure) {
            self.worker.discovery.unreachable(service);
        }
    }

    /// Counts a failed attempt to connect.
    pub(super) fn unreached(&self, why: &Unreached) {
        match why {
            Unreached::Tls(_, failure) => self.worker.refused_server(failure),
            Unreached::Refused(..) | Unreached::Timeout(_) | Unreached::Protocol(_) => {
                self.worker.telemetry.count(Event::ConnectFailed);
            }
            Unreached::Exceeded(_) | Unreached::Crowded(_) => {
                self.worker.telemetry.count(Event::CircuitOpen);
            }
            Unreached::Bound => {}
        }
        tracing::debug!(error = %why, "no connection to an endpoint");
    }
}
