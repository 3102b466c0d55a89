//! The way in: from the mesh port to the application. Who calls is known from the certificate alone, never from a header. It must
//! not know backends: those are the caller's side; of routes and policies it keeps what protects the workload.
//!
//! accept → peek → mutual TLS and peer identity → serve by ALPN → rate limits → turn → forward to the application → record.

mod call;
mod gate;
mod limit;
mod own;

use std::net::SocketAddr;
use std::rc::Rc;

use mesh_identity::Identity;
use mesh_model::endpoint::Transport;
use mesh_model::settings::MtlsMode;
use mesh_model::spiffe::SpiffeId;

use self::call::Call;
use self::limit::Buckets;
use self::own::{Own, Served};
use crate::config::InboundListener;
use crate::detect::Sniff;
use crate::http::{self, Connector, OwnBounds, RequestHead, Upstream, Wire};
use crate::net::{Accepted, Namespace, Stream};
use crate::tcp::{self, First, Opening};
use crate::telemetry::{AppProtocol, Direction, Event, Failure, Security, Side};
use crate::tls::{self, Alpn, Hello};
use crate::worker::Worker;
use crate::worker::record::Record;

/// One mesh port on one worker.
#[derive(Debug)]
pub struct Inbound {
    worker: Rc<Worker>,
    tls: tls::Server,
    app: Rc<Upstream>,
    listen: SocketAddr,
    own: Own,
    buckets: Buckets,
}

/// What the first bytes allow.
enum Entry {
    Mesh,
    Plain(Sniff),
    Silent,
    Refused,
}

impl Inbound {
    /// In front of the application at `listener.app`, in `network` when it is not here.
    pub fn new(
        worker: &Rc<Worker>,
        identity: &Identity,
        network: Option<&Namespace>,
        listener: InboundListener,
    ) -> Rc<Self> {
        let connector = Rc::new(Connector {
            tls: None,
            network: network.cloned(),
            timeouts: worker.config.timeouts,
            limits: worker.config.limits,
            tasks: worker.upstreams.clone(),
        });
        Rc::new(Self {
            worker: Rc::clone(worker),
            tls: tls::Server::new(identity),
            app: Upstream::new(listener.app, Transport::Plain, connector),
            listen: listener.listen,
            own: Own::default(),
            buckets: Buckets::default(),
        })
    }

    /// Serves one connection on a task of its own. The stages before the first request are boxed, so that a connection that waits
    /// for the next one keeps none of them in memory.
    pub fn serve(self: &Rc<Self>, accepted: Accepted) {
        let this = Rc::clone(self);
        self.worker.connections.spawn_local(
            "inbound",
            Box::pin(async move {
                let _open = this.worker.open(Direction::Inbound);
                let Accepted { mut stream, peer, permit } = accepted;
                let permit = Rc::new(permit);
                match Box::pin(this.enter(&mut stream)).await {
                    Ok(Entry::Mesh) => this.mesh(stream, permit).await,
                    Ok(Entry::Plain(sniff)) => this.plain(stream, sniff, permit).await,
                    Ok(Entry::Silent) => Box::pin(this.silent(stream, permit)).await,
                    Ok(Entry::Refused) => {
                        tracing::debug!(%peer, "refused plaintext on the mesh port: mTLS is strict");
                        this.worker.telemetry.count(Event::PlaintextRefused);
                        this.record(AppProtocol::Tcp, None).failure(Failure::PlaintextRefused);
                    }
                    Err(error) => tracing::debug!(%peer, %error, "connection ended before it began"),
                }
            }),
        );
    }

    /// Closes connections to the application that have not been used for long.
    pub fn sweep(&self) {
        self.app.sweep();
    }

    /// Closes connections to the application that are not in use.
    pub fn close_idle(&self) {
        self.app.close_idle();
    }

    /// Until configuration is there, only mTLS gets in: fail closed (INV-7).
    fn mode(&self) -> MtlsMode {
        self.worker.snapshot().settings().map_or(MtlsMode::Strict, |settings| settings.mtls_mode)
    }

    async fn enter(&self, stream: &mut Stream) -> std::io::Result<Entry> {
        let timeouts = &self.worker.config.timeouts;
        let strict = self.mode() == MtlsMode::Strict;
        // A client of the mesh speaks first; only plaintext may wait for the application.
        let quiet = if strict { timeouts.head } else { timeouts.quiet };
        match tcp::opening(stream, quiet, timeouts.head).await? {
            Opening::Speaks(Sniff::Tls) => {
                match tokio::time::timeout(timeouts.handshake, tls::hello(stream)).await?? {
                    Hello::Mesh => Ok(Entry::Mesh),
                    Hello::Foreign if strict => Ok(Entry::Refused),
                    Hello::Foreign => Ok(Entry::Plain(Sniff::Tls)),
                }
            }
            Opening::Speaks(_) if stream.peeked().is_empty() => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ if strict => Ok(Entry::Refused),
            Opening::Speaks(sniff) => Ok(Entry::Plain(sniff)),
            Opening::Silent => Ok(Entry::Silent),
        }
    }

    async fn mesh(self: &Rc<Self>, stream: Stream, permit: call::Permit) {
        match Box::pin(self.tls.accept(stream, self.worker.config.timeouts.handshake)).await {
            Err(kind) => self.worker.telemetry.count(Event::HandshakeFailed(kind)),
            Ok(tls::Peer { identity, alpn, stream }) => match alpn {
                Alpn::Http1 => self.http(stream, Wire::Http1, Some(identity), permit).await,
                Alpn::Http2 => self.http(stream, Wire::Http2, Some(identity), permit).await,
                Alpn::Tcp => Box::pin(self.bytes(stream, identity, permit)).await,
            },
        }
    }

    /// A member calls it bytes. For a port that is declared to be HTTP that is no way round what is decided by request: they are read
    /// as HTTP, and refused and on record if they are not.
    async fn bytes(self: &Rc<Self>, mut stream: Stream, peer: SpiffeId, permit: call::Permit) {
        let Some(declared) = own::spoken(&self.worker.snapshot(), self.listen) else {
            return self.opaque(stream, Some(peer)).await;
        };
        let timeouts = &self.worker.config.timeouts;
        let wire = match tcp::opening(&mut stream, timeouts.head, timeouts.head).await {
            Ok(Opening::Speaks(Sniff::Http1)) => Wire::Http1,
            Ok(Opening::Speaks(Sniff::Http2)) => Wire::Http2,
            Ok(Opening::Speaks(Sniff::Tls | Sniff::Opaque | Sniff::NeedMore)) => declared,
            Ok(Opening::Silent) => return self.worker.telemetry.count(Event::IdleTimeout),
            Err(error) => return tracing::debug!(%error, "connection ended before it began"),
        };
        self.http(stream, wire, Some(peer), permit).await;
    }

    async fn plain(self: &Rc<Self>, stream: Stream, sniff: Sniff, permit: call::Permit) {
        self.worker.telemetry.count(Event::PlaintextAccepted);
        match sniff {
            Sniff::Http1 => self.http(stream, Wire::Http1, None, permit).await,
            Sniff::Http2 => self.http(stream, Wire::Http2, None, permit).await,
            Sniff::Tls | Sniff::Opaque | Sniff::NeedMore => {
                match own::spoken(&self.worker.snapshot(), self.listen) {
                    // Read as what is declared, so that the codec refuses it: never passed on unread.
                    Some(wire) => self.http(stream, wire, None, permit).await,
                    None => Box::pin(self.opaque(stream, None)).await,
                }
            }
        }
    }

    /// The client says nothing: perhaps the application is to speak first. Whoever speaks decides.
    async fn silent(self: &Rc<Self>, mut client: Stream, permit: call::Permit) {
        let timeouts = &self.worker.config.timeouts;
        let Ok((mut server, _place)) = self.app.stream(&OwnBounds).await else {
            self.record(AppProtocol::Tcp, None).failure(Failure::ConnectFailed);
            return;
        };
        match tcp::who_speaks_first(&mut client, &mut server, timeouts.idle).await {
            Ok(First::Server) => {
                self.worker.telemetry.count(Event::PlaintextAccepted);
                let record = self.record(AppProtocol::Tcp, None);
                self.worker.carry(record, &mut client, &mut server).await;
            }
            Ok(First::Client) => {
                drop(server);
                // Now that it speaks it is asked again, from the beginning: it may well be a client of the mesh.
                match self.enter(&mut client).await {
                    Ok(Entry::Mesh) => self.mesh(client, permit).await,
                    Ok(Entry::Plain(sniff)) => self.plain(client, sniff, permit).await,
                    Ok(Entry::Silent | Entry::Refused) | Err(_) => {}
                }
            }
            Err(_) => self.worker.telemetry.count(Event::IdleTimeout),
        }
    }

    async fn http(self: &Rc<Self>, stream: Stream, wire: Wire, peer: Option<SpiffeId>, permit: call::Permit) {
        let call = Rc::new(Call::new(Rc::clone(self), peer, wire, permit));
        let options = self.worker.server_options();
        let end = http::serve(stream, wire, call, &options).await;
        self.worker.served(&end);
    }

    async fn opaque(&self, mut client: Stream, peer: Option<SpiffeId>) {
        let mut record = self.record(AppProtocol::Tcp, peer.as_ref());
        match self.app.stream(&OwnBounds).await {
            Ok((mut server, _place)) => self.worker.carry(record, &mut client, &mut server).await,
            Err(unreached) => {
                tracing::debug!(error = %unreached, "the application takes no connection");
                record.failure(unreached.failure());
            }
        }
    }

    /// The own service that a request is for, if anything is configured for it here.
    fn served(&self, head: &RequestHead) -> Option<Rc<Served>> {
        let namespace = &self.worker.config.namespace;
        self.own.served(&self.worker.snapshot(), self.listen, namespace, &head.authority)
    }

    fn record(&self, protocol: AppProtocol, peer: Option<&SpiffeId>) -> Record {
        let mut record = Record::new(&self.worker, Side::Inbound, protocol);
        record.source(peer.and_then(call::workload));
        let security = if peer.is_some() { Security::Mtls } else { Security::Plaintext };
        record.destination(self.worker.own.clone(), security);
        record
    }
}
