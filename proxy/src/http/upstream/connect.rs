//! Opening a connection: TCP, then mutual TLS where the upstream is a member of the mesh, or TLS where it is outside and is to be
//! reached so.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_lifecycle::tasks::Tasks;

use super::Exceeded;
use crate::config::{Limits, Timeouts};
use crate::net::{self, ConnectError, Dial, OrLoopback, Stream};
use crate::telemetry::{Failure, Reason};
use crate::tls::{Alpn, ClientFailure, Clients, Hop};

/// What all upstream connections of a worker share.
#[derive(Debug)]
pub struct Connector {
    /// TLS configurations; `None` where only plaintext is spoken (to the application).
    pub tls: Option<Rc<Clients>>,
    /// How sockets are opened.
    pub dial: Dial,
    /// Whether what refuses at its own address is tried on loopback: for the application.
    pub or_loopback: Cell<OrLoopback>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// Owns the connections.
    pub tasks: Tasks,
}

/// How long it took to make a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connected {
    /// All of it, as long as a request waited.
    pub total: Duration,
    /// Of that, for TLS.
    pub tls: Duration,
}

/// Why there is no connection. Nothing of a request has left.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unreached {
    /// Refused, or unreachable.
    #[error("{0}")]
    Refused(Rc<str>, Reason),
    /// No answer in time.
    #[error("{0}")]
    Timeout(Rc<str>),
    /// TLS failed.
    #[error("{0}")]
    Tls(Rc<str>, ClientFailure),
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol: {0}")]
    Protocol(String),
    /// The bound on connections or streams is reached.
    #[error("the bound on connections to this endpoint is reached")]
    Bound,
    /// The caller allows no more connections to where the upstream belongs, or no more requests that wait for one.
    #[error("{0}")]
    Exceeded(Exceeded),
    /// The caller allows no more streams on the connection to this upstream; another one may have room.
    #[error("{0}")]
    Crowded(Exceeded),
}

impl Unreached {
    /// Whether something was found out about the upstream; else it was not even tried.
    pub fn is_about_the_upstream(&self) -> bool {
        !matches!(self, Self::Bound | Self::Exceeded(_) | Self::Crowded(_))
    }

    /// What the request fails with if no other endpoint takes it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Refused(..) => Failure::ConnectFailed,
            Self::Timeout(_) => Failure::ConnectTimeout,
            Self::Tls(..) => Failure::TlsFailed,
            Self::Protocol(_) => Failure::UpstreamProtocol,
            Self::Bound => Failure::Overload,
            Self::Exceeded(_) | Self::Crowded(_) => Failure::CircuitOpen,
        }
    }

    /// In which way it came about, if that says more.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(_, reason) => Some(*reason),
            Self::Tls(_, failure) => Some(failure.way()),
            Self::Exceeded(exceeded) | Self::Crowded(exceeded) => Some(exceeded.reason),
            Self::Timeout(_) | Self::Protocol(_) | Self::Bound => None,
        }
    }
}

impl Connector {
    /// With how long TLS took. `limit`: how long the connect may take, if not as long as configured.
    pub(super) async fn open(
        &self,
        address: SocketAddr,
        hop: &Hop,
        alpn: Alpn,
        limit: Option<Duration>,
    ) -> Result<(Stream, Duration), Unreached> {
        let limit = limit.unwrap_or(self.timeouts.connect);
        let stream =
            net::connect_app(address, self.or_loopback.get(), &self.dial, limit).await.map_err(|error| {
                match &error {
                    ConnectError::Refused { source, .. } => {
                        Unreached::Refused(format!("{error}: {source}").into(), refused(source))
                    }
                    ConnectError::Timeout { .. } => Unreached::Timeout(error.to_string().into()),
                }
            })?;
        let (handshake, began) = (self.timeouts.handshake, Instant::now());
        let secured = match (hop, &self.tls) {
            (Hop::Plain, _) => return Ok((stream, Duration::ZERO)),
            (Hop::Mesh(expected), Some(tls)) => tls.connect(stream, address, expected, alpn, handshake).await,
            (Hop::Outside(host), Some(tls)) => {
                Box::pin(tls.connect_outside(stream, address, host, alpn, handshake)).await
            }
            // Never downgrade: without an identity a member cannot be reached.
            (Hop::Mesh(_) | Hop::Outside(_), None) => Err(ClientFailure::NoIdentity),
        };
        let secured = secured.map_err(|error| Unreached::Tls(error.to_string().into(), error))?;
        Ok((secured, began.elapsed()))
    }
}

/// What the system said, in our words.
fn refused(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Reason::ClosedAtOnce,
        _ => Reason::Unreachable,
    }
}
