//! The way in: from the mesh port to the application. Who calls is known from the certificate alone, never from a header. It must
//! not know backends: those are the caller's side; of routes and policies it keeps what protects the workload.
//!
//! accept → peek → mutual TLS and peer identity → serve by ALPN → authenticate → authorize → ask → rate limits → turn → forward to the application
//! → record.

mod app;
mod asked;
mod call;
mod captured;
mod gate;
mod guard;
mod limit;
mod own;
mod tokens;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mesh_identity::Identity;
use mesh_model::authentication::jwt::JwtRules;
use mesh_model::settings::MtlsMode;
use mesh_model::spiffe::SpiffeId;

use self::app::App;
use self::call::Call;
pub use self::captured::Captured;
use self::guard::{Caller, Guard, Passed, Refusal};
use self::limit::Buckets;
use self::own::{Own, Served};
use self::tokens::Tokens;
use crate::ask::Asker;
use crate::config::{InboundListener, LEARNT_LIFE, Original};
use crate::detect::{Learnt, Opener, Sniff};
use crate::http::{self, OwnBounds, RequestHead, Upstream, Wire};
use crate::net::{Accepted, Namespace, OrLoopback, Stream};
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
    app: App,
    /// The address by which the mesh knows it: the listener's, or what a captured connection was meant for.
    listen: SocketAddr,
    /// Whether the application sees the address of who called.
    shows_source: bool,
    /// Whether the application may be on loopback at all, where a Service declares the port.
    loopback: OrLoopback,
    /// Who speaks first to this application.
    learnt: RefCell<Learnt<()>>,
    own: Own,
    buckets: Buckets,
    guard: Rc<Guard>,
    tokens: Tokens,
    asker: Rc<Asker>,
}

/// What each stage of a connection needs of it.
#[derive(Debug, Clone)]
struct Connection {
    app: Rc<Upstream>,
    permit: call::Permit,
    /// Where it comes from.
    source: IpAddr,
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
        (identity, asker): (&Identity, &Rc<Asker>),
        network: Option<&Namespace>,
        listener: InboundListener,
    ) -> Rc<Self> {
        let tls = tls::Server::new(identity);
        let app = App::new(worker, network, listener.app);
        Rc::new(Self::at(worker, (tls, asker), listener.listen, app))
    }

    /// For captured connections that were meant for the application at its address.
    fn captured(
        worker: &Rc<Worker>,
        (tls, asker): (tls::Server, &Rc<Asker>),
        app: App,
        (how, loopback): (Original, OrLoopback),
    ) -> Rc<Self> {
        let inbound = Self::at(worker, (tls, asker), app.address(), app);
        Rc::new(Self { shows_source: how == Original::Transparent, loopback, ..inbound })
    }

    fn at(
        worker: &Rc<Worker>,
        (tls, asker): (tls::Server, &Rc<Asker>),
        listen: SocketAddr,
        app: App,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            tls,
            guard: Rc::new(Guard::new(app.address().port())),
            app,
            listen,
            shows_source: false,
            loopback: OrLoopback::Yes,
            learnt: RefCell::new(Learnt::new(1, LEARNT_LIFE)),
            own: Own::default(),
            buckets: Buckets::default(),
            tokens: Tokens::default(),
            asker: Rc::clone(asker),
        }
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
                let Some(app) = this.app_for(peer) else {
                    stream.abort();
                    this.worker.telemetry.count(Event::Overload);
                    return this.record(AppProtocol::Tcp, None).failure(Failure::Overload);
                };
                let connection =
                    Connection { app, permit: Rc::new(permit), source: peer.ip().to_canonical() };
                match Box::pin(this.enter(&mut stream)).await {
                    Ok(Entry::Mesh) => this.mesh(stream, connection).await,
                    Ok(Entry::Plain(sniff)) => this.plain(stream, sniff, connection).await,
                    Ok(Entry::Silent) => Box::pin(this.silent(stream, connection)).await,
                    Ok(Entry::Refused) => {
                        tracing::debug!(%peer, "refused plaintext on the mesh port: mTLS is strict");
                        stream.abort();
                        this.worker.telemetry.count(Event::PlaintextRefused);
                        this.record(AppProtocol::Tcp, None).failure(Failure::PlaintextRefused);
                    }
                    Err(error) => tracing::debug!(%peer, %error, "connection ended before it began"),
                }
            }),
        );
    }

    /// Judges what is under way again, if policies have changed.
    pub fn authorize_again(&self) {
        self.guard.again(&self.worker.snapshot(), &self.worker.telemetry);
    }

    /// Closes connections to the application that have not been used for long.
    pub fn sweep(&self) {
        self.app.sweep();
    }

    /// Closes connections to the application that are not in use.
    pub fn close_idle(&self) {
        self.app.close_idle();
    }

    /// Whether a connection to the application is open.
    fn is_used(&self) -> bool {
        !self.app.is_unused()
    }

    /// Connections to the application for a caller.
    fn app_for(&self, peer: SocketAddr) -> Option<Rc<Upstream>> {
        let source = self.shows_source.then(|| peer.ip());
        let declared = own::is_declared(&self.worker.snapshot(), self.listen);
        self.app.upstream(source, if declared { self.loopback } else { OrLoopback::No })
    }

    fn opener(&self) -> Option<Opener> {
        self.learnt.borrow().opener(&(), Instant::now())
    }

    fn learn(&self, opener: Opener) {
        // One entry always has room.
        self.learnt.borrow_mut().note(&(), opener, Instant::now());
    }

    /// Whether only mTLS gets in here.
    fn mode(&self) -> MtlsMode {
        self.worker.snapshot().mtls_mode(self.listen.port())
    }

    /// What is asked of tokens here.
    fn jwt(&self) -> Option<Arc<JwtRules>> {
        let snapshot = self.worker.snapshot();
        snapshot.authentication().and_then(|said| said.jwt_at(self.listen.port())).cloned()
    }

    /// Whether nothing passes here that has no token: bytes have none.
    fn requires_token(&self) -> bool {
        self.jwt().is_some_and(|rules| rules.required)
    }

    /// Waits until only mTLS gets in here. What is open without it is then not allowed any more, and its next request would not be either.
    async fn closed_to_plaintext(&self) {
        let port = self.listen.port();
        self.worker.until(|snapshot| snapshot.mtls_mode(port) == MtlsMode::Strict).await;
        self.worker.telemetry.count(Event::PlaintextCut);
    }

    /// Carries plaintext for as long as it is allowed.
    async fn while_allowed(&self, carried: impl Future<Output = ()>) {
        tokio::select! {
            // First, so that not a byte passes that is not allowed.
            biased;
            () = self.closed_to_plaintext() => {}
            () = carried => {}
        }
    }

    async fn enter(&self, stream: &mut Stream) -> std::io::Result<Entry> {
        let timeouts = &self.worker.config.timeouts;
        let strict = self.mode() == MtlsMode::Strict;
        // A client of the mesh speaks first; only plaintext may wait for the application.
        let quiet = if strict { timeouts.head } else { self.worker.patience(self.opener()) };
        let opening = tcp::opening(stream, quiet, timeouts.head).await?;
        if matches!(opening, Opening::Speaks(_)) {
            self.learn(Opener::Client);
        }
        match opening {
            Opening::Speaks(Sniff::Tls) => {
                match tokio::time::timeout(timeouts.handshake, tls::hello(stream)).await?? {
                    Hello::Mesh => Ok(Entry::Mesh),
                    Hello::Foreign(_) if strict => Ok(Entry::Refused),
                    Hello::Foreign(_) => Ok(Entry::Plain(Sniff::Tls)),
                }
            }
            Opening::Speaks(_) if stream.peeked().is_empty() => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ if strict => Ok(Entry::Refused),
            Opening::Speaks(sniff) => Ok(Entry::Plain(sniff)),
            Opening::Silent => Ok(Entry::Silent),
        }
    }

    async fn mesh(self: &Rc<Self>, stream: Stream, connection: Connection) {
        match Box::pin(self.tls.accept(stream, self.worker.config.timeouts.handshake)).await {
            Err(kind) => self.worker.telemetry.count(Event::HandshakeFailed(kind)),
            Ok(tls::Peer { identity, alpn, stream, agreed }) => {
                for event in agreed {
                    self.worker.telemetry.count(event);
                }
                self.member(stream, identity, alpn, connection).await;
            }
        }
    }

    async fn member(self: &Rc<Self>, stream: Stream, identity: SpiffeId, alpn: Alpn, connection: Connection) {
        match alpn {
            Alpn::Http1 => self.http(stream, Wire::Http1, Some(identity), connection).await,
            Alpn::Http1Shared => {
                self.answer(stream, (Wire::Http2, Wire::Http1), Some(identity), connection).await;
            }
            Alpn::Http2 => self.http(stream, Wire::Http2, Some(identity), connection).await,
            Alpn::Tcp => Box::pin(self.bytes(stream, identity, connection)).await,
        }
    }

    /// A member calls it bytes. For a port that is declared to be HTTP, or whose policies ask for requests or tokens, that is no way round
    /// what is decided by request: they are read as HTTP; if they are not, they are refused and on record.
    async fn bytes(self: &Rc<Self>, mut stream: Stream, peer: SpiffeId, connection: Connection) {
        let snapshot = self.worker.snapshot();
        let declared = own::spoken(&snapshot, self.listen);
        let asked = self.guard.applied(&snapshot).needs_request() || self.jwt().is_some();
        if declared.is_none() && !asked {
            return self.opaque(stream, Some(peer), connection).await;
        }
        let timeouts = &self.worker.config.timeouts;
        let wire = match tcp::opening(&mut stream, timeouts.head, timeouts.head).await {
            Ok(Opening::Speaks(Sniff::Http1)) => Wire::Http1,
            Ok(Opening::Speaks(Sniff::Http2)) => Wire::Http2,
            Ok(Opening::Speaks(Sniff::Tls | Sniff::Opaque | Sniff::NeedMore)) => match declared {
                Some(declared) => declared,
                None => return self.opaque(stream, Some(peer), connection).await,
            },
            Ok(Opening::Silent) if declared.is_none() => {
                return self.opaque(stream, Some(peer), connection).await;
            }
            Ok(Opening::Silent) => return self.worker.telemetry.count(Event::IdleTimeout),
            Err(error) => return tracing::debug!(%error, "connection ended before it began"),
        };
        self.http(stream, wire, Some(peer), connection).await;
    }

    async fn plain(self: &Rc<Self>, stream: Stream, sniff: Sniff, connection: Connection) {
        self.worker.telemetry.count(Event::PlaintextAccepted);
        self.while_allowed(self.read_plain(stream, sniff, connection)).await;
    }

    async fn read_plain(self: &Rc<Self>, stream: Stream, sniff: Sniff, connection: Connection) {
        match sniff {
            Sniff::Http1 => self.http(stream, Wire::Http1, None, connection).await,
            Sniff::Http2 => self.http(stream, Wire::Http2, None, connection).await,
            Sniff::Tls | Sniff::Opaque | Sniff::NeedMore => {
                match own::spoken(&self.worker.snapshot(), self.listen) {
                    // Read as what is declared, so that the codec refuses it: never passed on unread.
                    Some(wire) => self.http(stream, wire, None, connection).await,
                    None => Box::pin(self.opaque(stream, None, connection)).await,
                }
            }
        }
    }

    /// The client says nothing: perhaps the application is to speak first. Whoever speaks decides.
    async fn silent(self: &Rc<Self>, mut client: Stream, connection: Connection) {
        let timeouts = &self.worker.config.timeouts;
        let caller = Caller { peer: None, source: connection.source, claims: None };
        let snapshot = self.worker.snapshot();
        if let Err(refusal) = self.guard.early(&snapshot, &caller, &self.worker.telemetry) {
            return refuse(&client, self.record(AppProtocol::Tcp, None), refusal);
        }
        let Ok((mut server, _place)) = connection.app.stream(&OwnBounds).await else {
            client.abort();
            self.record(AppProtocol::Tcp, None).failure(Failure::ConnectFailed);
            return;
        };
        match tcp::who_speaks_first(&mut client, &mut server, timeouts.idle).await {
            // Two that are both silent are bytes as well, of which none has come.
            Ok(First::Server) | Err(_) => {
                self.learn(Opener::Server);
                self.worker.telemetry.count(Event::PlaintextAccepted);
                let mut record = self.record(AppProtocol::Tcp, None);
                if self.requires_token() {
                    client.abort();
                    return record.failure(Failure::TokenMissing);
                }
                let _watch = match self.authorize(&mut record, &mut client, caller).await {
                    Ok(watch) => watch,
                    Err(refusal) => return refuse(&client, record, refusal),
                };
                self.while_allowed(self.worker.carry(record, &mut client, &mut server, None)).await;
            }
            Ok(First::Client) => {
                drop(server);
                // Now that it speaks it is asked again, from the beginning: it may well be a client of the mesh.
                match self.enter(&mut client).await {
                    Ok(Entry::Mesh) => self.mesh(client, connection).await,
                    Ok(Entry::Plain(sniff)) => self.plain(client, sniff, connection).await,
                    Ok(Entry::Silent | Entry::Refused) | Err(_) => {}
                }
            }
        }
    }

    async fn http(
        self: &Rc<Self>,
        stream: Stream,
        wire: Wire,
        peer: Option<SpiffeId>,
        connection: Connection,
    ) {
        self.answer(stream, (wire, wire), peer, connection).await;
    }

    /// Serves HTTP: what is spoken here, and what is spoken to the application.
    async fn answer(
        self: &Rc<Self>,
        stream: Stream,
        (wire, app): (Wire, Wire),
        peer: Option<SpiffeId>,
        connection: Connection,
    ) {
        let caller = Caller { peer, source: connection.source, claims: None };
        let call = Rc::new(Call::new(Rc::clone(self), caller, app, connection));
        let options = self.worker.server_options();
        let end = http::serve(stream, wire, call, &options).await;
        self.worker.served(&end);
    }

    async fn opaque(&self, mut client: Stream, peer: Option<SpiffeId>, connection: Connection) {
        let mut record = self.record(AppProtocol::Tcp, peer.as_ref());
        if self.requires_token() {
            client.abort();
            return record.failure(Failure::TokenMissing);
        }
        // Before the application sees that anybody is there.
        let caller = Caller { peer, source: connection.source, claims: None };
        let _watch = match self.authorize(&mut record, &mut client, caller).await {
            Ok(watch) => watch,
            Err(refusal) => return refuse(&client, record, refusal),
        };
        match connection.app.stream(&OwnBounds).await {
            Ok((mut server, _place)) => self.worker.carry(record, &mut client, &mut server, None).await,
            Err(unreached) => {
                tracing::debug!(error = %unreached, "the application takes no connection");
                client.abort();
                record.unreached(&unreached);
                record.failure(unreached.failure());
            }
        }
    }

    /// Judges a connection that carries bytes, and watches it while the answer is kept.
    async fn authorize(
        &self,
        record: &mut Record,
        client: &mut Stream,
        caller: Caller,
    ) -> Result<guard::Watch, Refusal> {
        let asks = self.guard.applied(&self.worker.snapshot()).needs_sni();
        let sni = if asks { self.asked_for(client).await } else { None };
        // As of now: reading may have taken a while.
        let snapshot = self.worker.snapshot();
        let Passed { pass, judged, .. } =
            self.guard.connection(&snapshot, &caller, sni, &self.worker.telemetry)?;
        if let Some(judged) = judged {
            record.judged(judged);
        }
        let watch = self.guard.watch(&pass);
        record.revocable(Rc::clone(&watch.cut));
        Ok(watch)
    }

    /// The name that a client asks for in TLS of its own.
    async fn asked_for(&self, client: &mut Stream) -> Option<Box<str>> {
        let timeouts = &self.worker.config.timeouts;
        let opening = tcp::opening(client, timeouts.head, timeouts.head).await;
        if !matches!(opening, Ok(Opening::Speaks(Sniff::Tls))) {
            return None;
        }
        match tokio::time::timeout(timeouts.handshake, tls::hello(client)).await {
            Ok(Ok(Hello::Foreign(name))) => name,
            Ok(Ok(Hello::Mesh) | Err(_)) | Err(_) => None,
        }
    }

    /// The own service that a request is for, if anything is configured for it here.
    fn served(&self, head: &RequestHead) -> Option<Rc<Served>> {
        let namespace = &self.worker.config.namespace;
        self.own.served(&self.worker.snapshot(), self.listen, namespace, &head.authority)
    }

    fn record(&self, protocol: AppProtocol, peer: Option<&SpiffeId>) -> Record {
        record(&self.worker, protocol, peer)
    }
}

/// The peer, if it is a member of this mesh: one of another may have the same names, and none of them is ours.
fn of_own_mesh<'a>(worker: &Worker, peer: Option<&'a SpiffeId>) -> Option<&'a SpiffeId> {
    let snapshot = worker.snapshot();
    let settings = snapshot.settings()?;
    peer.filter(|peer| *peer.trust_domain() == settings.trust_domain)
}

/// A record of what comes to the workload.
fn record(worker: &Rc<Worker>, protocol: AppProtocol, peer: Option<&SpiffeId>) -> Record {
    let mut record = Record::new(worker, Side::Inbound, protocol);
    record.source(of_own_mesh(worker, peer).and_then(call::workload));
    let security = if peer.is_some() { Security::Mtls } else { Security::Plaintext };
    record.identity(peer);
    record.destination(worker.own.clone(), security);
    record
}

/// Resets a connection that policies refuse.
fn refuse(client: &Stream, mut record: Record, refusal: Refusal) {
    client.abort();
    if let Some(judged) = refusal.judged {
        record.judged(judged);
    }
    record.failure(refusal.failure);
}
