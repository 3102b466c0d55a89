//! One request as this proxy saw it, for a trace. It must not know which requests are traced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_model::name::{ServiceName, WorkloadName};

use super::{Failure, Security, Side};

/// Longest path that a span carries, bytes.
pub(crate) const MAX_PATH: usize = 1024;

/// A span. Its ids come from a [`crate::trace::TraceContext`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRecord {
    /// The trace.
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
    /// The workload that answered, if known.
    pub destination: Option<WorkloadName>,
    /// `httproute/NS/NAME#RULE`.
    pub route: Option<Arc<str>>,
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
    /// How the hop was secured.
    pub security: Security,
    /// When the request's head was there.
    pub start: SystemTime,
    /// From `start` to the end of the response.
    pub duration: Duration,
    /// From `start` to the response head of the upstream; `None` if there was none.
    pub first_byte: Option<Duration>,
}

impl SpanRecord {
    /// Cuts what a peer could make long.
    pub(crate) fn cut(mut self) -> Self {
        for (text, limit) in [(&mut self.method, 32), (&mut self.path, MAX_PATH)] {
            if text.len() > limit {
                text.truncate(text.floor_char_boundary(limit));
                text.shrink_to_fit();
            }
        }
        self
    }
}
