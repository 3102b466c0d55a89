//! The failures that the mesh itself answers, with their stable codes. It must not know how an answer is written.

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
    /// Plaintext came where only mTLS is allowed; the connection is closed without an answer.
    PlaintextRefused,
    /// The request itself is malformed or ambiguous.
    BadRequest,
}

/// gRPC status codes that the mesh answers with. Source: gRPC core documentation, "Status codes".
mod grpc {
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
}

impl Failure {
    /// Every failure, in the order of the reference page.
    pub const ALL: [Self; 15] = [
        Self::NoRoute,
        Self::BackendInvalid,
        Self::NoBackend,
        Self::NoEndpoints,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::RequestTimeout,
        Self::UpstreamReset,
        Self::UpstreamProtocol,
        Self::UnknownDestination,
        Self::ConfigUnavailable,
        Self::Overload,
        Self::PlaintextRefused,
        Self::BadRequest,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.facts().0
    }

    /// The status of the answer to an HTTP request. [`Failure::PlaintextRefused`] has none on the wire, since the
    /// connection is closed; its record has 403.
    pub const fn http_status(self) -> u16 {
        self.facts().1
    }

    /// The `grpc-status` of the answer to a gRPC call.
    pub const fn grpc_status(self) -> u8 {
        self.facts().2
    }

    /// One sentence for the reference page and for `meshctl`.
    pub const fn meaning(self) -> &'static str {
        self.facts().3
    }

    /// The one mapping: code, HTTP status, gRPC status, meaning.
    const fn facts(self) -> (&'static str, u16, u8, &'static str) {
        match self {
            Self::NoRoute => (
                "no_route",
                404,
                grpc::UNIMPLEMENTED,
                "no rule of the routes attached to the service fits the request",
            ),
            Self::BackendInvalid => (
                "backend_invalid",
                500,
                grpc::UNAVAILABLE,
                "the chosen backend of the route cannot be resolved",
            ),
            Self::NoBackend => (
                "no_backend",
                500,
                grpc::UNAVAILABLE,
                "the rule has no backend, or all of its backends have weight 0",
            ),
            Self::NoEndpoints => {
                ("no_endpoints", 503, grpc::UNAVAILABLE, "the backend has no endpoint that takes requests")
            }
            Self::ConnectFailed => {
                ("connect_failed", 503, grpc::UNAVAILABLE, "no endpoint of the backend took the connection")
            }
            Self::ConnectTimeout => (
                "connect_timeout",
                504,
                grpc::UNAVAILABLE,
                "no endpoint answered the connection attempt in time",
            ),
            Self::TlsFailed => (
                "tls_failed",
                503,
                grpc::UNAVAILABLE,
                "the TLS handshake with the endpoint failed, or it did not show the expected identity",
            ),
            Self::RequestTimeout => (
                "request_timeout",
                504,
                grpc::DEADLINE_EXCEEDED,
                "the response did not come within the timeout",
            ),
            Self::UpstreamReset => (
                "upstream_reset",
                502,
                grpc::UNAVAILABLE,
                "the endpoint broke the connection before the response was whole",
            ),
            Self::UpstreamProtocol => {
                ("upstream_protocol", 502, grpc::INTERNAL, "the endpoint's answer broke its protocol")
            }
            Self::UnknownDestination => (
                "unknown_destination",
                502,
                grpc::UNAVAILABLE,
                "the host is unknown to the mesh, and its outbound mode does not let it pass",
            ),
            Self::ConfigUnavailable => (
                "config_unavailable",
                503,
                grpc::UNAVAILABLE,
                "the controller has not said yet what the destination is",
            ),
            Self::Overload => ("overload", 503, grpc::RESOURCE_EXHAUSTED, "a bound of this proxy is reached"),
            Self::PlaintextRefused => (
                "plaintext_refused",
                403,
                grpc::PERMISSION_DENIED,
                "plaintext came where only mTLS is allowed",
            ),
            Self::BadRequest => ("bad_request", 400, grpc::INTERNAL, "the request is malformed or ambiguous"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_fit_for_labels_and_headers() {
        let codes: BTreeSet<_> = Failure::ALL.iter().map(|f| f.code()).collect();
        assert_eq!(codes.len(), Failure::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }

    #[test]
    fn all_lists_every_failure_in_order() {
        assert!(Failure::ALL.is_sorted());
        assert_eq!(Failure::ALL.map(|f| f as usize), std::array::from_fn(|i| i));
        assert_eq!(Failure::ALL.last().map(|f| *f as usize), Some(Failure::BadRequest as usize));
    }

    #[test]
    fn statuses_are_errors() {
        for failure in Failure::ALL {
            assert!((400..600).contains(&failure.http_status()), "{failure:?}");
            assert!((1..=16).contains(&failure.grpc_status()), "{failure:?}");
            assert!(!failure.meaning().is_empty() && !failure.meaning().ends_with('.'), "{failure:?}");
        }
    }

    /// The contract with users: changing a line here is a breaking change.
    #[test]
    fn the_table_is_the_contract() {
        let table: Vec<_> =
            Failure::ALL.iter().map(|f| (f.code(), f.http_status(), f.grpc_status())).collect();
        assert_eq!(
            table,
            [
                ("no_route", 404, 12),
                ("backend_invalid", 500, 14),
                ("no_backend", 500, 14),
                ("no_endpoints", 503, 14),
                ("connect_failed", 503, 14),
                ("connect_timeout", 504, 14),
                ("tls_failed", 503, 14),
                ("request_timeout", 504, 4),
                ("upstream_reset", 502, 14),
                ("upstream_protocol", 502, 13),
                ("unknown_destination", 502, 14),
                ("config_unavailable", 503, 14),
                ("overload", 503, 8),
                ("plaintext_refused", 403, 7),
                ("bad_request", 400, 13),
            ]
        );
    }
}
