//! Bytes that are carried and not read: telling whether a connection is that, and its way to an endpoint.

use std::net::SocketAddr;

use mesh_model::service::Protocol;
use mesh_traffic::balance::Ask;
use mesh_traffic::outlier::Outcome;
use smallvec::SmallVec;

use super::destination::Found;
use super::{Host, Outbound};
use crate::config::CONNECT_ATTEMPTS;
use crate::detect::Sniff;
use crate::http::{OwnBounds, Place, Unreached, Wire};
use crate::net::Stream;
use crate::tcp::{self, First, Opening};
use crate::telemetry::{AppProtocol, Event, Failure, Security, Side};
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

impl Outbound {
    /// Decides how a connection to `host` is carried: what is declared, else what its first bytes say, else who speaks first.
    pub(super) async fn protocol(&self, stream: &mut Stream, host: &Host, opening: Opening) -> Carry {
        let found = self.discover(host).await;
        let snapshot = self.worker.snapshot();
        let declared = found.as_ref().ok().and_then(|found| found.declared(&snapshot));
        match (declared, opening) {
            (Some(Protocol::Tcp | Protocol::Tls), _) => Carry::Opaque(None),
            (_, Opening::Speaks(Sniff::Http1)) => Carry::Http(Wire::Http1),
            (_, Opening::Speaks(Sniff::Http2)) => Carry::Http(Wire::Http2),
            // What a port that is declared to be HTTP gets is read as HTTP: the codec answers what it cannot read.
            (Some(declared), Opening::Speaks(_)) => Carry::Http(wire::spoken(declared)),
            (None, Opening::Speaks(Sniff::Tls | Sniff::Opaque | Sniff::NeedMore)) => Carry::Opaque(None),
            // Declared to be HTTP, where the client speaks first: there is nothing to find out by dialling.
            (Some(declared), Opening::Silent) => self.first_words(stream, declared).await,
            (None, Opening::Silent) => match self.open(host).await {
                Some(opened) => self.whoever_speaks(stream, opened).await,
                None => Carry::Close,
            },
        }
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

    async fn whoever_speaks(&self, client: &mut Stream, mut opened: Box<Opened>) -> Carry {
        let timeouts = &self.worker.config.timeouts;
        match tcp::who_speaks_first(client, &mut opened.stream, timeouts.idle).await {
            Ok(First::Server) => Carry::Opaque(Some(opened)),
            Ok(First::Client) if client.peeked().is_empty() => {
                opened.record.forget();
                Carry::Close
            }
            Ok(First::Client) => match tokio::time::timeout(timeouts.head, tcp::first_bytes(client)).await {
                // It was HTTP after all: the connection that was opened to find out is of no use.
                Ok(Ok(Sniff::Http1)) => {
                    opened.record.forget();
                    Carry::Http(Wire::Http1)
                }
                Ok(Ok(Sniff::Http2)) => {
                    opened.record.forget();
                    Carry::Http(Wire::Http2)
                }
                _ => Carry::Opaque(Some(opened)),
            },
            Err(_) => {
                self.worker.telemetry.count(Event::IdleTimeout);
                Carry::Close
            }
        }
    }

    /// Carries the connection as bytes until both sides have ended.
    pub(super) async fn opaque(&self, mut client: Stream, host: &Host, server: Option<Box<Opened>>) {
        let opened = match server {
            Some(opened) => Some(opened),
            None => self.open(host).await,
        };
        if let Some(opened) = opened {
            let Opened { mut stream, record, _place } = *opened;
            self.worker.carry(record, &mut client, &mut stream).await;
        }
    }

    /// Opens a stream to `host`: mutual TLS to an endpoint of a service, plain to a host outside. `None`: it failed, and that is
    /// on record.
    async fn open(&self, host: &Host) -> Option<Box<Opened>> {
        let mut record = Record::new(&self.worker, Side::Outbound, AppProtocol::Tcp);
        record.source(self.worker.own.clone());
        match self.reach(host, &mut record).await {
            Ok((stream, place)) => Some(Box::new(Opened { stream, record, _place: place })),
            Err(failure) => {
                tracing::debug!(%host, failure = failure.code(), "closed a connection whose destination cannot be reached");
                record.failure(failure);
                None
            }
        }
    }

    async fn reach(&self, host: &Host, record: &mut Record) -> Result<(Stream, Place), Failure> {
        match self.discover(host).await.map_err(|fault| fault.failure)? {
            Found::Foreign => {
                record.security(Security::Plaintext);
                let addresses = self.resolve(host).await.map_err(|fault| fault.failure)?;
                let dial = async |address| {
                    let upstream = self.backends.foreign(address).map_err(|_| Unreached::Bound)?;
                    upstream.stream(&OwnBounds).await
                };
                match self.first_reached(addresses, dial).await {
                    Ok((_, open)) => Ok(open),
                    Err(why) => Err(why.map_or(Failure::ConnectFailed, |why| why.failure())),
                }
            }
            Found::Service { destination, port } => {
                let service = &destination.service.name;
                record.service(service.clone(), port);
                let snapshot = self.worker.snapshot();
                let mut tried = SmallVec::<[SocketAddr; CONNECT_ATTEMPTS]>::new();
                let mut last = Failure::NoEndpoints;
                let Some(backend) = self.backends.backend(&snapshot, service, port) else { return Err(last) };
                while tried.len() < CONNECT_ATTEMPTS {
                    let ask = Ask::new(std::time::Instant::now(), &tried);
                    let Ok(slot) = backend.pick(&ask, |n| self.worker.random_below(n)) else { break };
                    record.destination(slot.endpoint.workload.clone(), slot.payload.security());
                    let began = std::time::Instant::now();
                    match slot.payload.stream(&*backend).await {
                        Ok(open) => {
                            let now = std::time::Instant::now();
                            slot.load.connected();
                            // All that is known of bytes is that somebody takes them; connects that fail are errors.
                            slot.load.record(Outcome::Success, now.saturating_duration_since(began), now);
                            record.busy(slot.load.begin(now));
                            return Ok(open);
                        }
                        Err(why) => {
                            self.unreached(&why);
                            if why.is_about_the_upstream() {
                                slot.load.connect_failed(std::time::Instant::now());
                            }
                            last = why.failure();
                            tried.push(slot.endpoint.address);
                        }
                    }
                }
                Err(last)
            }
        }
    }

    /// Counts a failed attempt to connect.
    pub(super) fn unreached(&self, why: &Unreached) {
        match why {
            Unreached::Tls(_, failure) => self.worker.refused_server(failure),
            Unreached::Refused(_) | Unreached::Timeout(_) | Unreached::Protocol(_) => {
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
