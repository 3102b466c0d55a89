//! Mutual TLS between proxies: who may answer, who called, and what is spoken inside; and TLS to hosts outside, in `outside`. Certificates and their renewal are
//! `mesh-identity`'s; what is done with an identity is decided elsewhere.
//!
//! Sources: RFC 8446 (TLS 1.3 only), RFC 7301 (ALPN).

mod failure;
mod hello;
mod outside;

pub use failure::ClientFailure;
pub use hello::{Hello, hello};
pub use outside::{Outside, outside_config};

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{ClientAuth, ExpectedServer, Identity};
use mesh_model::endpoint::Transport;
use mesh_model::spiffe::SpiffeId;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::outside::Outsiders;
use crate::net::Stream;
use crate::telemetry::{Event, Group, HandshakeFailure, Security};

/// What is spoken inside the TLS of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 between the applications, on streams of HTTP/2 between the proxies.
    Http1Shared,
    /// HTTP/2.
    Http2,
    /// Bytes.
    Tcp,
}

impl Alpn {
    /// What every proxy of the mesh offers and takes.
    pub const ALL: [Self; 4] = [Self::Http1, Self::Http1Shared, Self::Http2, Self::Tcp];

    /// As it is on the wire.
    pub const fn wire(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"amime/h1",
            Self::Http1Shared => b"amime/h1s",
            Self::Http2 => b"amime/h2",
            Self::Tcp => b"amime/tcp",
        }
    }

    /// From the wire.
    pub fn parse(wire: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.wire() == wire)
    }
}

/// How a hop is secured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hop {
    /// Not at all.
    Plain,
    /// Mutual TLS with that member of the mesh.
    Mesh(SpiffeId),
    /// TLS with a host outside of it.
    Outside(Outside),
}

impl From<Transport> for Hop {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Plain => Self::Plain,
            Transport::Mesh(identity) => Self::Mesh(identity),
        }
    }
}

impl Hop {
    /// As it is counted.
    pub fn security(&self) -> Security {
        match self {
            Self::Plain => Security::Plaintext,
            Self::Mesh(_) => Security::Mtls,
            Self::Outside(_) => Security::Tls,
        }
    }
}

/// Opens mutual TLS. One configuration per identity and inner protocol, so that tickets of one server are never shown to another.
pub struct Clients {
    identity: Identity,
    configs: RefCell<HashMap<(SpiffeId, Alpn), Arc<rustls::ClientConfig>>>,
    outsiders: Outsiders,
    /// Told how each handshake with a member went well.
    count: Box<dyn Fn(Event)>,
}

/// Configurations kept; the map is emptied when it is full, which costs one full handshake per identity.
const CONFIGS: usize = 1024;

impl Clients {
    /// With the identity to show to members; `roots` is the file of public certificates; None: the system's, or those built in. `count` is
    /// told how each handshake with a member went well.
    pub fn new(identity: Identity, roots: Option<PathBuf>, count: impl Fn(Event) + 'static) -> Self {
        let outsiders = Outsiders::new(roots);
        Self { identity, configs: RefCell::default(), outsiders, count: Box::new(count) }
    }

    /// Completes a handshake with a host outside the mesh, whose certificate is for its name and leads to an anchor.
    pub async fn connect_outside(
        &self,
        stream: Stream,
        address: SocketAddr,
        host: &Outside,
        alpn: Alpn,
        deadline: Duration,
    ) -> Result<Stream, ClientFailure> {
        self.outsiders.connect(stream, address, host, alpn, deadline).await
    }

    fn config(&self, expected: &SpiffeId, alpn: Alpn) -> Arc<rustls::ClientConfig> {
        let mut configs = self.configs.borrow_mut();
        let key = (expected.clone(), alpn);
        if let Some(config) = configs.get(&key) {
            return Arc::clone(config);
        }
        if configs.len() >= CONFIGS {
            configs.clear();
        }
        let config = self.identity.client_config(ExpectedServer::Exactly(expected.clone()), &[alpn.wire()]);
        configs.insert(key, Arc::clone(&config));
        config
    }

    /// Completes a handshake in which the server shows `expected` and agrees to `alpn`.
    pub async fn connect(
        &self,
        stream: Stream,
        address: SocketAddr,
        expected: &SpiffeId,
        alpn: Alpn,
        deadline: Duration,
    ) -> Result<Stream, ClientFailure> {
        let connector = TlsConnector::from(self.config(expected, alpn));
        // No name is sent: the server is known by its identity, and an address is no host name (RFC 6066 section 3).
        let handshake = connector.connect(ServerName::from(address.ip()), stream);
        let stream = match tokio::time::timeout(deadline, handshake).await {
            Err(_) => return Err(ClientFailure::Timeout { address }),
            Ok(Err(error)) => return Err(ClientFailure::handshake(address, &expected.to_string(), &error)),
            Ok(Ok(stream)) => stream,
        };
        if stream.get_ref().1.alpn_protocol() != Some(alpn.wire()) {
            return Err(ClientFailure::NotMesh { address });
        }
        agreed(stream.get_ref().1).for_each(&self.count);
        Ok(Stream::tls_client(stream))
    }
}

/// What is counted of a handshake that went well.
fn agreed(session: &rustls::CommonState) -> impl Iterator<Item = Event> {
    let group = session.negotiated_key_exchange_group().map(|group| match group.name() {
        NamedGroup::X25519MLKEM768 => Group::X25519MlKem768,
        NamedGroup::X25519 => Group::X25519,
        NamedGroup::secp256r1 => Group::Secp256r1,
        NamedGroup::secp384r1 => Group::Secp384r1,
        _ => Group::Other,
    });
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    group.map(Event::KeyExchange).into_iter().chain(resumed.then_some(Event::HandshakeResumed))
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("configs", &self.configs.borrow().len()).finish_non_exhaustive()
    }
}

/// Accepts mutual TLS; a client without a certificate of the mesh, or of one that it is federated with, does not get in.
#[derive(Clone)]
pub struct Server {
    config: Arc<rustls::ServerConfig>,
    identity: Identity,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

/// A peer whose certificate was checked.
#[derive(Debug)]
pub struct Peer {
    /// Who it is.
    pub identity: SpiffeId,
    /// What it will speak.
    pub alpn: Alpn,
    /// The plain bytes.
    pub stream: Stream,
    /// What is counted of the handshake.
    pub agreed: Vec<Event>,
}

impl Server {
    /// With the identity to show; it follows renewals by itself.
    pub fn new(identity: &Identity) -> Self {
        let config = identity.server_config(ClientAuth::Federated, &Alpn::ALL.map(Alpn::wire));
        Self { config, identity: identity.clone() }
    }

    /// Whether somebody still vouches for the trust domain of that caller.
    pub fn knows(&self, caller: &SpiffeId) -> bool {
        self.identity.bundle().of(caller.trust_domain()).is_some()
    }

    /// Completes a handshake, whose first bytes may have been peeked.
    pub async fn accept(&self, stream: Stream, deadline: Duration) -> Result<Peer, HandshakeFailure> {
        let accept = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = match tokio::time::timeout(deadline, accept).await {
            Err(_) => return Err(HandshakeFailure::Timeout),
            Ok(Err(error)) => {
                tracing::debug!(%error, "refused a TLS client");
                return Err(failure::of(&error));
            }
            Ok(Ok(stream)) => stream,
        };
        let session = stream.get_ref().1;
        let alpn = session.alpn_protocol().and_then(Alpn::parse).ok_or(HandshakeFailure::Protocol)?;
        let certificates = session.peer_certificates().ok_or(HandshakeFailure::NoCertificate)?;
        let identity = mesh_identity::peer_spiffe_id(certificates).map_err(|error| {
            tracing::debug!(%error, "refused a TLS client");
            HandshakeFailure::Identity
        })?;
        let agreed = agreed(session).collect();
        Ok(Peer { identity, alpn, stream: Stream::tls_server(stream), agreed })
    }
}
