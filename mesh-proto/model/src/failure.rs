//! The failures that the mesh itself answers, with their stable codes. Their texts are in [`facts`](self). It must not know how an
//! answer is written.

mod facts;
pub mod reason;
#[cfg(test)]
mod tests;

/// Why the mesh, and not the application, failed a request. The code is in the header `x-mesh-failure`, in metrics, spans
/// and reports; users look it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// Routes are attached to the service and none of their rules fits the request.
    NoRoute,
    /// The backend that the weights picked cannot be resolved; the route's status says why.
    BackendInvalid,
    /// The rule names no backend, or all of weight 0.
    NoBackend,
    /// The backend has no endpoint that can take requests.
    NoEndpoints,
    /// No endpoint took the connection.
    ConnectFailed,
    /// No endpoint answered the connection attempt in time.
    ConnectTimeout,
    /// The TLS handshake with the endpoint failed, or it did not show the expected identity.
    TlsFailed,
    /// The rule's timeout, or the deadline of the call, was over before the response.
    RequestTimeout,
    /// No attempt was answered within the time that one attempt may take.
    AttemptTimeout,
    /// Nothing moved on the request or stream for too long.
    IdleTimeout,
    /// The stream reached the longest life that a stream may have.
    StreamTimeout,
    /// The endpoint closed or reset the connection before the response was whole.
    UpstreamReset,
    /// The endpoint's answer broke its protocol.
    UpstreamProtocol,
    /// The host is unknown to the mesh and the mesh's outbound mode does not let it pass.
    UnknownDestination,
    /// The controller has not said yet what the destination is.
    ConfigUnavailable,
    /// A bound of this proxy is reached.
    Overload,
    /// A bound of the backend's circuit breaker is reached.
    CircuitOpen,
    /// A rate limit of the called service is used up.
    RateLimited,
    /// The called workload's proxy sheds load: the workload answers slower than it can bear.
    Shed,
    /// A policy asked for this failure.
    FaultInjected,
    /// The request's body is larger than the policy allows.
    RequestTooLarge,
    /// The response's body is larger than the policy allows.
    ResponseTooLarge,
    /// Plaintext came where only mTLS is allowed; the connection is closed without an answer.
    PlaintextRefused,
    /// An authorization policy of the called workload does not allow it.
    PolicyDenied,
    /// An authorization policy asks for what cannot be known of it: a request, where there are only bytes.
    PolicyUndecided,
    /// The called workload asks for a token, and there is none.
    TokenMissing,
    /// The token that came with it is not good.
    TokenInvalid,
    /// A service that an authorization policy or a route asks does not allow it.
    AuthzDenied,
    /// A service that an authorization policy or a route asks gives no answer that can be used.
    AuthzUnavailable,
    /// The service that counts for all proxies gives no answer, and the limit is to refuse then.
    RateLimitUnavailable,
    /// The request itself is malformed or ambiguous.
    BadRequest,
}

impl Failure {
    /// Every failure, in the order of the reference page.
    pub const ALL: [Self; 31] = [
        Self::NoRoute,
        Self::BackendInvalid,
        Self::NoBackend,
        Self::NoEndpoints,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::RequestTimeout,
        Self::AttemptTimeout,
        Self::IdleTimeout,
        Self::StreamTimeout,
        Self::UpstreamReset,
        Self::UpstreamProtocol,
        Self::UnknownDestination,
        Self::ConfigUnavailable,
        Self::Overload,
        Self::CircuitOpen,
        Self::RateLimited,
        Self::Shed,
        Self::FaultInjected,
        Self::RequestTooLarge,
        Self::ResponseTooLarge,
        Self::PlaintextRefused,
        Self::PolicyDenied,
        Self::PolicyUndecided,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::AuthzDenied,
        Self::AuthzUnavailable,
        Self::RateLimitUnavailable,
        Self::BadRequest,
    ];

    /// The failure with this code or this response flag; the flag in any case of letters.
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|failure| failure.code() == text || failure.flag().eq_ignore_ascii_case(text))
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.facts().code
    }

    /// The response flag: two to four capital letters for narrow columns and log lines.
    pub const fn flag(self) -> &'static str {
        self.facts().flag
    }

    /// The status of the answer to an HTTP request. [`Failure::PlaintextRefused`] has none on the wire, since the
    /// connection is closed; its record has 403. That of [`Failure::FaultInjected`] is the policy's.
    pub const fn http_status(self) -> u16 {
        self.facts().http
    }

    /// The `grpc-status` of the answer to a gRPC call.
    pub const fn grpc_status(self) -> u8 {
        self.facts().grpc
    }

    /// One sentence for the reference page and for `meshctl`, without a capital letter and a full stop.
    pub const fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    /// How it comes about, in sentences.
    pub const fn cause(self) -> &'static str {
        self.facts().cause
    }

    /// What to do about it, in sentences.
    pub const fn remedy(self) -> &'static str {
        self.facts().remedy
    }
}
