//! One request as this proxy saw it, for a trace or for who taps it. It must not know which requests are told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_model::name::{ServiceName, WorkloadName};

use super::{AppProtocol, Failure, Security, Side};

/// Longest path that a span carries, bytes.
pub(crate) const MAX_PATH: usize = 1024;
/// Longest text of the mesh's own.
const MAX_DETAIL: usize = 300;
/// Most attempts that are told.
pub const MAX_ATTEMPTS: usize = 8;

/// Why a request is told as a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Its trace is sampled.
    Sampled,
    /// It failed or was slow, and the mesh is told to tell of those.
    Tail,
    /// An operator asks for more just now: for `meshctl trace` alone.
    Asked,
}

impl Recorded {
    /// As attributes have it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Tail => "tail",
            Self::Asked => "asked",
        }
    }
}

/// A span. Its ids come from a [`crate::trace::TraceContext`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRecord {
    /// The trace; zeros: none, as of a connection.
    pub trace_id: [u8; 16],
    /// This span.
    pub span_id: [u8; 8],
    /// `None` at the root.
    pub parent_id: Option<[u8; 8]>,
    /// Which proxy of the pair.
    pub side: Side,
    /// The calling workload, if known.
    pub source: Option<WorkloadName>,
    /// The service that was called, if known.
    pub service: Option<ServiceName>,
    /// Its port; 0: not known.
    pub service_port: u16,
    /// The workload that answered, if known.
    pub destination: Option<WorkloadName>,
    /// `httproute/NS/NAME#RULE`.
    pub route: Option<Arc<str>>,
    /// What was spoken.
    pub protocol: AppProtocol,
    /// HTTP method.
    pub method: String,
    /// Path without query; cut at 1,024 bytes.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// gRPC status.
    pub grpc_status: Option<u8>,
    /// What the mesh itself failed with.
    pub failure: Option<Failure>,
    /// What it said then.
    pub detail: String,
    /// How the hop was secured.
    pub security: Security,
    /// When the request's head was there.
    pub start: SystemTime,
    /// From `start` to the end of the response.
    pub duration: Duration,
    /// From `start` to the response head of the upstream; `None` if there was none.
    pub first_byte: Option<Duration>,
    /// Who connected.
    pub peer: Option<IpAddr>,
    /// Who answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// Of bodies.
    pub bytes_in: u64,
    /// Of bodies.
    pub bytes_out: u64,
    /// Where the time went.
    pub spent: Spent,
    /// Those that were made, in their order; the first eight.
    pub attempts: Vec<AttemptRecord>,
    /// How many there were.
    pub attempts_made: u32,
    /// Endpoints that are left alone from then on because of how it ended there.
    pub ejected: Vec<SocketAddr>,
    /// Why it is told.
    pub recorded: Recorded,
}

/// Where the time of a request went, as far as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Until it was known what the destination stands for.
    pub discover: Duration,
    /// For a turn.
    pub queue: Duration,
    /// For somebody else's word.
    pub check: Duration,
    /// For connections to be made.
    pub connect: Duration,
    /// Of that, for TLS.
    pub tls: Duration,
    /// From sending the request until the head of the answer.
    pub upstream: Duration,
    /// Between attempts, and in those that were not passed on.
    pub retry: Duration,
    /// On purpose.
    pub fault: Duration,
}

impl Spent {
    /// What is left of the time until the first byte: our own code, finding the destination, and making connections.
    pub(crate) fn own(&self, first_byte: Duration) -> Duration {
        let waited = self.queue + self.check + self.upstream + self.retry + self.fault;
        first_byte.saturating_sub(waited)
    }
}

/// One attempt at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Where.
    pub endpoint: SocketAddr,
    /// Whose endpoint that is.
    pub workload: Option<WorkloadName>,
    /// From the request's start.
    pub start: Duration,
    /// Until its end; `None`: it was under way when another one answered.
    pub duration: Option<Duration>,
    /// Of its answer.
    pub status: u16,
    /// Why there was none.
    pub failure: Option<Failure>,
    /// How long a connection took that was made for it.
    pub connect: Duration,
    /// Of that, for TLS.
    pub tls: Duration,
    /// It ran beside an earlier one.
    pub hedged: bool,
}

impl SpanRecord {
    /// Cuts what a peer could make long.
    pub(crate) fn cut(mut self) -> Self {
        let texts = [(&mut self.method, 32), (&mut self.path, MAX_PATH), (&mut self.detail, MAX_DETAIL)];
        for (text, limit) in texts {
            if text.len() > limit {
                text.truncate(text.floor_char_boundary(limit));
                text.shrink_to_fit();
            }
        }
        self
    }

    /// Whether it failed: by the mesh, by its status, or by what gRPC says that servers fail with.
    pub(crate) fn is_failure(&self) -> bool {
        self.failure.is_some() || failed(self.status, self.grpc_status)
    }
}

/// Whether a status says that the server failed.
pub(crate) fn failed(status: u16, grpc_status: Option<u8>) -> bool {
    match grpc_status {
        Some(grpc) => matches!(grpc, 2 | 4 | 12 | 13 | 14 | 15),
        None => status >= 500,
    }
}
