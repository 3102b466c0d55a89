//! What a proxy knows of a failure beyond its code: which of the several ways in which, say, a connect can fail it was. A closed list, so
//! that it can be counted and told apart; `meshctl why` says what follows from each. It must not know what is done about it.

/// The way in which a request failed. No label of a metric and no header has it: it is told with the example of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The endpoint's machine refused the connection: nobody listens there.
    Refused,
    /// There is no way to the endpoint: no route, or a machine in between says so.
    Unreachable,
    /// The connection was reset while it was made, or each is closed at once.
    ClosedAtOnce,
    /// The peer's certificate is over, or not valid yet.
    CertificateExpired,
    /// The peer's certificate is of a trust domain that is not trusted.
    TrustDomain,
    /// The peer proved to be somebody else.
    WrongIdentity,
    /// The peer's certificate leads to no root that is trusted.
    Untrusted,
    /// The peer refused the handshake with an alert.
    TlsAlert,
    /// What answered does not speak TLS.
    NotTls,
    /// It speaks TLS, but is no proxy of the mesh.
    NotMesh,
    /// It broke off during the handshake.
    TlsBrokenOff,
    /// The handshake took too long.
    TlsTimeout,
    /// This proxy has no certificate.
    NoIdentity,
    /// DNS says that there is no such name.
    NameUnknown,
    /// DNS gave no answer, or none that can be used.
    DnsUnavailable,
    /// The mesh knows no service of that name.
    ServiceUnknown,
    /// The service has no such port.
    PortUnknown,
    /// Only services of the mesh may be called.
    RegistryOnly,
    /// The backend has no endpoint at all.
    NoEndpoint,
    /// The circuit breaker allows no more connections.
    MaxConnections,
    /// The circuit breaker allows no more requests that wait for a connection.
    MaxPending,
    /// The circuit breaker allows no more requests.
    MaxRequests,
    /// The circuit breaker allows no more streams on a connection.
    MaxStreams,
    /// No endpoint may have more requests.
    EndpointsFull,
    /// All attempts that are allowed were made.
    RetriesExhausted,
    /// The retry budget allowed no further attempt.
    RetryBudget,
    /// Policies allow some calls, and this is none of them.
    NotAllowed,
    /// A rule of a policy that denies fits.
    DenyRule,
    /// The token's time is over, or has not begun.
    TokenExpired,
    /// The token is of another issuer, or for another audience.
    TokenElsewhere,
    /// The token's signature cannot be verified.
    TokenSignature,
    /// The keys of the token's issuer cannot be had.
    TokenKeys,
    /// As many requests wait for the workload as may.
    QueueFull,
    /// The request waited for its turn in vain.
    QueueLate,
    /// The head of a message is larger than may be.
    HeadTooLarge,
    /// The client speaks something else than HTTP.
    NotHttp,
    /// The client went away before the answer was whole.
    ClientGone,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 37] = [
        Self::Refused,
        Self::Unreachable,
        Self::ClosedAtOnce,
        Self::CertificateExpired,
        Self::TrustDomain,
        Self::WrongIdentity,
        Self::Untrusted,
        Self::TlsAlert,
        Self::NotTls,
        Self::NotMesh,
        Self::TlsBrokenOff,
        Self::TlsTimeout,
        Self::NoIdentity,
        Self::NameUnknown,
        Self::DnsUnavailable,
        Self::ServiceUnknown,
        Self::PortUnknown,
        Self::RegistryOnly,
        Self::NoEndpoint,
        Self::MaxConnections,
        Self::MaxPending,
        Self::MaxRequests,
        Self::MaxStreams,
        Self::EndpointsFull,
        Self::RetriesExhausted,
        Self::RetryBudget,
        Self::NotAllowed,
        Self::DenyRule,
        Self::TokenExpired,
        Self::TokenElsewhere,
        Self::TokenSignature,
        Self::TokenKeys,
        Self::QueueFull,
        Self::QueueLate,
        Self::HeadTooLarge,
        Self::NotHttp,
        Self::ClientGone,
    ];

    /// The reason of that code.
    pub fn find(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Its stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ClosedAtOnce => "closed_at_once",
            Self::CertificateExpired => "certificate_expired",
            Self::TrustDomain => "trust_domain",
            Self::WrongIdentity => "wrong_identity",
            Self::Untrusted => "untrusted",
            Self::TlsAlert => "tls_alert",
            Self::NotTls => "not_tls",
            Self::NotMesh => "not_mesh",
            Self::TlsBrokenOff => "tls_broken_off",
            Self::TlsTimeout => "tls_timeout",
            Self::NoIdentity => "no_identity",
            Self::NameUnknown => "name_unknown",
            Self::DnsUnavailable => "dns_unavailable",
            Self::ServiceUnknown => "service_unknown",
            Self::PortUnknown => "port_unknown",
            Self::RegistryOnly => "registry_only",
            Self::NoEndpoint => "no_endpoint",
            Self::MaxConnections => "max_connections",
            Self::MaxPending => "max_pending",
            Self::MaxRequests => "max_requests",
            Self::MaxStreams => "max_streams",
            Self::EndpointsFull => "endpoints_full",
            Self::RetriesExhausted => "retries_exhausted",
            Self::RetryBudget => "retry_budget",
            Self::NotAllowed => "not_allowed",
            Self::DenyRule => "deny_rule",
            Self::TokenExpired => "token_expired",
            Self::TokenElsewhere => "token_elsewhere",
            Self::TokenSignature => "token_signature",
            Self::TokenKeys => "token_keys",
            Self::QueueFull => "queue_full",
            Self::QueueLate => "queue_late",
            Self::HeadTooLarge => "head_too_large",
            Self::NotHttp => "not_http",
            Self::ClientGone => "client_gone",
        }
    }
}
