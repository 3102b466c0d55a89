//! Settings about a request: timeouts, retries, hedging, faults, bodies, sessions, rates. They must not know endpoints.

use std::time::Duration;

/// A share in parts per million; 1,000,000 is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ppm(pub u32);

/// How long things may take. `None`: no limit of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestTimeouts {
    /// From the request's head to the end of the answer, over all attempts.
    pub request: Option<Duration>,
    /// For one attempt, to the end of the answer.
    pub attempt: Option<Duration>,
    /// Without a byte in either direction of a request or stream.
    pub idle: Option<Duration>,
    /// The longest life of a stream (gRPC streaming, WebSocket).
    pub stream: Option<Duration>,
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first one; 0 switches retries off, those of connect failures too.
    pub attempts: u32,
    /// Kinds of failure that are retried.
    pub on: Vec<RetryOn>,
    /// HTTP statuses that are retried.
    pub statuses: Vec<u16>,
    /// gRPC statuses that are retried.
    pub grpc_statuses: Vec<u8>,
    /// Which requests may be repeated once they may have reached the application.
    pub methods: RetryMethods,
    /// The longest that one attempt may take before it counts as failed.
    pub attempt_timeout: Option<Duration>,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// The most of a request's body that is kept to send it again, bytes; larger requests are not retried.
    pub body_bytes: u64,
    /// Whether a pause that the server asks for (`Retry-After`, `grpc-retry-pushback-ms`) is kept.
    pub pushback: Pushback,
}

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryOn {
    /// No connection came about: nothing reached the application.
    ConnectFailure,
    /// The peer says that it did not look at the request (`REFUSED_STREAM`, GOAWAY, a pooled connection closed unused).
    RefusedStream,
    /// The connection broke before the head of an answer.
    Reset,
    /// The attempt took too long.
    AttemptTimeout,
    /// 502, 503 or 504.
    GatewayError,
    /// 5xx.
    ServerError,
}

/// Which requests may be repeated after they may have reached the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryMethods {
    /// GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110 section 9.2.2), and gRPC calls whose retried status is named.
    Idempotent,
    /// All: the user says that the application bears it.
    All,
}

/// Whether the server's wish for a pause is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pushback {
    /// Kept up to this long; a longer one ends the retries.
    Honour(Duration),
    /// Not looked at.
    Ignore,
}

/// Pauses between attempts, each drawn evenly between `base` and a bound that doubles from twice `base` up to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The shortest pause.
    pub base: Duration,
    /// The longest one.
    pub most: Duration,
}

/// Another attempt while the first has no answer yet; the first answer counts. Only requests that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hedging {
    /// How long the earlier attempt is waited for.
    pub delay: Duration,
    /// Attempts beside the first one.
    pub extra: u32,
}

/// Faults on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// A pause before the request goes on, and the share of requests that gets it.
    pub delay: Option<(Duration, Ppm)>,
    /// An answer in place of the backend's, and the share of requests that gets it.
    pub abort: Option<(Abort, Ppm)>,
    /// Only requests with all these headers (exact values); none: every request.
    pub headers: Vec<(String, String)>,
}

/// The answer of an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abort {
    /// An HTTP status; to gRPC as the status that belongs to it.
    Http(u16),
    /// A gRPC status; to plain HTTP as 503.
    Grpc(u8),
}

/// An answer without a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body, UTF-8.
    pub body: String,
    /// Its media type.
    pub content_type: String,
}

/// Bounds on bodies, in bytes. `None`: no bound. A request beyond it is answered 413; an answer beyond it is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BodyLimits {
    /// Of the request.
    pub request: Option<u64>,
    /// Of the response.
    pub response: Option<u64>,
}

/// Keeps a client on one endpoint. Source: GEP-1619.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub name: String,
    /// Where the endpoint is remembered.
    pub kind: SessionKind,
    /// The longest that a session lives. `None`: a session cookie.
    pub absolute_timeout: Option<Duration>,
    /// Without a request for this long it ends.
    pub idle_timeout: Option<Duration>,
}

/// Where the endpoint is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionKind {
    /// In a cookie that lasts as long as the client's session.
    SessionCookie,
    /// In a cookie with `Max-Age` of the absolute timeout.
    PermanentCookie,
    /// In a header that the client sends back.
    Header,
}

/// So many requests in so much time; a token bucket per key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name, for headers and metrics; unique within the policy.
    pub name: String,
    /// Requests.
    pub requests: u32,
    /// In this time.
    pub per: Duration,
    /// Requests that may come at once, at least `requests` if not given.
    pub burst: u32,
    /// What has a bucket of its own; empty: one bucket for all.
    pub keys: Vec<RateKey>,
    /// Only requests with all these headers (exact values); none: every request.
    pub headers: Vec<(String, String)>,
}

/// A part of a bucket's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// Who calls, from the certificate.
    ClientIdentity,
    /// The value of this header (lower case name).
    Header(String),
    /// The rule that the request takes.
    Route,
    /// The method.
    Method,
}
