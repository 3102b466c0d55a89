//! Things that happen to connections rather than to requests, as one closed set of counters. It must not know who counts.

use mesh_traffic::retry::Reason;

/// Which way a connection goes, seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From others to the workload.
    Inbound,
    /// From the workload to others.
    Outbound,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Why a TLS handshake with a peer failed, whichever side began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandshakeFailure {
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer's certificate does not lead to a root of the trust bundle.
    Untrusted,
    /// The peer's certificate is not valid at this time.
    Expired,
    /// The peer's certificate does not name exactly one identity of a mesh.
    Identity,
    /// The peer's certificate is of another trust domain.
    TrustDomain,
    /// The peer's certificate is an authority's, or for another purpose.
    Usage,
    /// It took too long.
    Timeout,
    /// The peer did not keep to TLS, or offered nothing that the mesh takes (version, ALPN, key exchange).
    Protocol,
    /// The connection broke.
    Io,
}

/// How two members agreed on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Hybrid: safe while one of the two parts is.
    X25519MlKem768,
    /// Elliptic curves alone.
    X25519,
    /// The same, NIST's P-256.
    Secp256r1,
    /// The same, NIST's P-384.
    Secp384r1,
    /// What the provider offers beside these.
    Other,
}

/// Something worth a counter. Closed, so that the label has few values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Plaintext came where only mTLS is allowed.
    PlaintextRefused,
    /// Plaintext was taken, in permissive mode.
    PlaintextAccepted,
    /// A TLS handshake failed.
    HandshakeFailed(HandshakeFailure),
    /// An endpoint showed a certificate of somebody else.
    PeerIdentityMismatch,
    /// A request or connection was refused because a bound was reached.
    Overload,
    /// The bound of open connections was reached.
    ConnectionLimit,
    /// Accepting a connection failed.
    AcceptFailed,
    /// Connecting to an endpoint failed.
    ConnectFailed,
    /// A request's head was too large.
    HeadTooLarge,
    /// A request's head took too long.
    HeadTimeout,
    /// A connection was closed because nothing happened on it.
    IdleTimeout,
    /// A peer did not keep to HTTP.
    ProtocolError,
    /// A request for a host outside the mesh passed.
    UnknownHostPassed,
    /// A connection that the drain had to break.
    DrainForced,
    /// Deltas waited on a worker because the control thread was behind.
    FlushDelayed,
    /// A peer sent more frames of HTTP/2 that carry nothing than it may, and was cut off.
    Flood,
    /// A request was sent again.
    Retried,
    /// A request that was sent again had a good answer in the end.
    RetryHelped,
    /// A failure that the policy names was not retried, or not once more.
    RetryRefused(Reason),
    /// A further attempt began before the earlier ones had an answer.
    Hedged,
    /// It had the first answer.
    HedgeWon,
    /// A copy of a request was sent to a mirror.
    Mirrored,
    /// A copy was not sent, because many are under way.
    MirrorSkipped,
    /// A copy was not sent, because its body is too large to be kept.
    MirrorTooLarge,
    /// A circuit breaker's bound refused a request.
    CircuitOpen,
    /// A rate limit refused a request.
    RateLimited,
    /// A key of a rate limit had no room and shared the bucket of the overflow.
    RateKeyOverflow,
    /// The bound on what the workload works on at once refused a request.
    Shed,
    /// A request waited for its turn at the workload.
    Queued,
    /// A request was held up on purpose.
    FaultDelay,
    /// A request was failed on purpose.
    FaultAbort,
    /// A body was larger than its policy allows.
    BodyTooLarge,
    /// Outlier detection leaves an endpoint alone.
    EndpointEjected,
    /// An endpoint that was left alone came back.
    EndpointReturned,
    /// The probes of an endpoint fail.
    EndpointUnhealthy,
    /// The probes of an endpoint succeed again.
    EndpointRecovered,
    /// A request was balanced over all endpoints, because too few are usable.
    HealthDisregarded,
    /// A captured connection was meant for this proxy itself, or opened by it.
    LoopRefused,
    /// Nothing says where a captured connection was going.
    NoOriginalDestination,
    /// Bytes that are not HTTP came to a service whose routes need it.
    NotHttp,
    /// Who speaks first at a destination was forgotten, for want of room.
    LearntForgotten,
    /// A plaintext connection ended, since only mTLS is allowed from now on.
    PlaintextCut,
    /// A handshake with a member agreed on keys by that group.
    KeyExchange(Group),
    /// A handshake with a member resumed an earlier session.
    HandshakeResumed,
    /// The verified tokens that are kept were forgotten, for want of room.
    TokensForgotten,
    /// A call was refused, and an expression of a policy had no answer for it.
    ExpressionUnanswered,
    /// A service that decides whether requests may go on gave no answer that can be used; the request was refused.
    AuthzUnavailable,
    /// A service that counts requests gave no answer that can be used; the policy says what becomes of the request.
    RateLimitUnavailable,
    /// A question about a request was not asked, because many are under way.
    QuestionsFull,
    /// The answer to a copy was compared with the one that the caller got.
    Compared,
    /// The stable version got a request a second time, to learn what differs by itself.
    CompareTwin,
    /// The answer to a copy was not compared, because many comparisons are under way.
    CompareBusy,
    /// The answer to a copy was not compared, because many were in this second.
    CompareRate,
    /// An answer was compared by length and hash, because its body is too large to be looked into.
    CompareCut,
    /// What was compared, or found, had no room.
    CompareDropped,
}

impl Event {
    /// Every event, in the order of its index.
    pub const ALL: [Self; 75] = [
        Self::PlaintextRefused,
        Self::PlaintextAccepted,
        Self::HandshakeFailed(HandshakeFailure::NoCertificate),
        Self::HandshakeFailed(HandshakeFailure::Untrusted),
        Self::HandshakeFailed(HandshakeFailure::Expired),
        Self::HandshakeFailed(HandshakeFailure::Timeout),
        Self::HandshakeFailed(HandshakeFailure::Protocol),
        Self::HandshakeFailed(HandshakeFailure::Io),
        Self::PeerIdentityMismatch,
        Self::Overload,
        Self::ConnectionLimit,
        Self::AcceptFailed,
        Self::ConnectFailed,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::ProtocolError,
        Self::UnknownHostPassed,
        Self::DrainForced,
        Self::FlushDelayed,
        Self::Retried,
        Self::RetryHelped,
        Self::RetryRefused(Reason::NotNamed),
        Self::RetryRefused(Reason::Attempts),
        Self::RetryRefused(Reason::NotRepeatable),
        Self::RetryRefused(Reason::BodyGone),
        Self::RetryRefused(Reason::OuterRetries),
        Self::RetryRefused(Reason::Pushback),
        Self::RetryRefused(Reason::Deadline),
        Self::RetryRefused(Reason::Budget),
        Self::RetryRefused(Reason::CircuitOpen),
        Self::Hedged,
        Self::HedgeWon,
        Self::Mirrored,
        Self::MirrorSkipped,
        Self::MirrorTooLarge,
        Self::CircuitOpen,
        Self::RateLimited,
        Self::RateKeyOverflow,
        Self::Shed,
        Self::Queued,
        Self::FaultDelay,
        Self::FaultAbort,
        Self::BodyTooLarge,
        Self::EndpointEjected,
        Self::EndpointReturned,
        Self::EndpointUnhealthy,
        Self::EndpointRecovered,
        Self::HealthDisregarded,
        Self::Flood,
        Self::LoopRefused,
        Self::NoOriginalDestination,
        Self::NotHttp,
        Self::LearntForgotten,
        Self::PlaintextCut,
        Self::HandshakeFailed(HandshakeFailure::Identity),
        Self::HandshakeFailed(HandshakeFailure::TrustDomain),
        Self::HandshakeFailed(HandshakeFailure::Usage),
        Self::KeyExchange(Group::X25519MlKem768),
        Self::KeyExchange(Group::X25519),
        Self::KeyExchange(Group::Secp256r1),
        Self::KeyExchange(Group::Secp384r1),
        Self::KeyExchange(Group::Other),
        Self::HandshakeResumed,
        Self::TokensForgotten,
        Self::ExpressionUnanswered,
        Self::AuthzUnavailable,
        Self::RateLimitUnavailable,
        Self::QuestionsFull,
        Self::Compared,
        Self::CompareTwin,
        Self::CompareBusy,
        Self::CompareRate,
        Self::CompareCut,
        Self::CompareDropped,
    ];

    /// The label's value.
    pub const fn label(self) -> &'static str {
        self.facts().1
    }

    /// Its place in [`Event::ALL`].
    pub(crate) const fn index(self) -> usize {
        self.facts().0
    }

    const fn facts(self) -> (usize, &'static str) {
        match self {
            Self::PlaintextRefused => (0, "plaintext_refused"),
            Self::PlaintextAccepted => (1, "plaintext_accepted"),
            Self::HandshakeFailed(HandshakeFailure::NoCertificate) => (2, "handshake_no_certificate"),
            Self::HandshakeFailed(HandshakeFailure::Untrusted) => (3, "handshake_untrusted"),
            Self::HandshakeFailed(HandshakeFailure::Expired) => (4, "handshake_expired"),
            Self::HandshakeFailed(HandshakeFailure::Timeout) => (5, "handshake_timeout"),
            Self::HandshakeFailed(HandshakeFailure::Protocol) => (6, "handshake_protocol"),
            Self::HandshakeFailed(HandshakeFailure::Io) => (7, "handshake_io"),
            Self::PeerIdentityMismatch => (8, "peer_identity_mismatch"),
            Self::Overload => (9, "overload"),
            Self::ConnectionLimit => (10, "connection_limit"),
            Self::AcceptFailed => (11, "accept_failed"),
            Self::ConnectFailed => (12, "connect_failed"),
            Self::HeadTooLarge => (13, "head_too_large"),
            Self::HeadTimeout => (14, "head_timeout"),
            Self::IdleTimeout => (15, "idle_timeout"),
            Self::ProtocolError => (16, "protocol_error"),
            Self::UnknownHostPassed => (17, "unknown_host_passed"),
            Self::DrainForced => (18, "drain_forced"),
            Self::FlushDelayed => (19, "flush_delayed"),
            Self::Retried => (20, "retried"),
            Self::RetryHelped => (21, "retry_helped"),
            Self::RetryRefused(Reason::NotNamed) => (22, "retry_refused_not_named"),
            Self::RetryRefused(Reason::Attempts) => (23, "retry_refused_attempts"),
            Self::RetryRefused(Reason::NotRepeatable) => (24, "retry_refused_not_repeatable"),
            Self::RetryRefused(Reason::BodyGone) => (25, "retry_refused_body_gone"),
            Self::RetryRefused(Reason::OuterRetries) => (26, "retry_refused_outer_retries"),
            Self::RetryRefused(Reason::Pushback) => (27, "retry_refused_pushback"),
            Self::RetryRefused(Reason::Deadline) => (28, "retry_refused_deadline"),
            Self::RetryRefused(Reason::Budget) => (29, "retry_refused_budget"),
            Self::RetryRefused(Reason::CircuitOpen) => (30, "retry_refused_circuit_open"),
            Self::Hedged => (31, "hedged"),
            Self::HedgeWon => (32, "hedge_won"),
            Self::Mirrored => (33, "mirrored"),
            Self::MirrorSkipped => (34, "mirror_skipped"),
            Self::MirrorTooLarge => (35, "mirror_too_large"),
            Self::CircuitOpen => (36, "circuit_open"),
            Self::RateLimited => (37, "rate_limited"),
            Self::RateKeyOverflow => (38, "rate_key_overflow"),
            Self::Shed => (39, "shed"),
            Self::Queued => (40, "queued"),
            Self::FaultDelay => (41, "fault_delay"),
            Self::FaultAbort => (42, "fault_abort"),
            Self::BodyTooLarge => (43, "body_too_large"),
            Self::EndpointEjected => (44, "endpoint_ejected"),
            Self::EndpointReturned => (45, "endpoint_returned"),
            Self::EndpointUnhealthy => (46, "endpoint_unhealthy"),
            Self::EndpointRecovered => (47, "endpoint_recovered"),
            Self::HealthDisregarded => (48, "health_disregarded"),
            Self::Flood => (49, "flood"),
            Self::LoopRefused => (50, "loop_refused"),
            Self::NoOriginalDestination => (51, "no_original_destination"),
            Self::NotHttp => (52, "not_http"),
            Self::LearntForgotten => (53, "learnt_forgotten"),
            Self::PlaintextCut => (54, "plaintext_cut"),
            Self::HandshakeFailed(HandshakeFailure::Identity) => (55, "handshake_identity"),
            Self::HandshakeFailed(HandshakeFailure::TrustDomain) => (56, "handshake_trust_domain"),
            Self::HandshakeFailed(HandshakeFailure::Usage) => (57, "handshake_usage"),
            Self::KeyExchange(Group::X25519MlKem768) => (58, "key_exchange_x25519mlkem768"),
            Self::KeyExchange(Group::X25519) => (59, "key_exchange_x25519"),
            Self::KeyExchange(Group::Secp256r1) => (60, "key_exchange_secp256r1"),
            Self::KeyExchange(Group::Secp384r1) => (61, "key_exchange_secp384r1"),
            Self::KeyExchange(Group::Other) => (62, "key_exchange_other"),
            Self::HandshakeResumed => (63, "handshake_resumed"),
            Self::TokensForgotten => (64, "tokens_forgotten"),
            Self::ExpressionUnanswered => (65, "expression_unanswered"),
            Self::AuthzUnavailable => (66, "authz_unavailable"),
            Self::RateLimitUnavailable => (67, "rate_limit_unavailable"),
            Self::QuestionsFull => (68, "questions_full"),
            Self::Compared => (69, "compared"),
            Self::CompareTwin => (70, "compare_twin"),
            Self::CompareBusy => (71, "compare_busy"),
            Self::CompareRate => (72, "compare_rate"),
            Self::CompareCut => (73, "compare_cut"),
            Self::CompareDropped => (74, "compare_dropped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_has_its_own_index_and_label() {
        for (index, event) in Event::ALL.iter().enumerate() {
            assert_eq!(event.index(), index, "{event:?}");
        }
        assert_eq!(Event::ALL.iter().map(|e| e.label()).collect::<BTreeSet<_>>().len(), Event::ALL.len());
    }
}
