//! What can be written of a request or connection: names that stay what they are, meanings, and what others call them. It must not know values.

/// One thing that a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogField {
    /// When it began.
    Time,
    /// Whose sidecar writes.
    Side,
    /// What was spoken.
    Protocol,
    /// The calling workload.
    Source,
    /// Whose certificate the other end has shown.
    PeerIdentity,
    /// Where the connection came from.
    PeerAddress,
    /// The workload that answered.
    Destination,
    /// The service that was called.
    Service,
    /// Its port.
    ServicePort,
    /// Where it went.
    Endpoint,
    /// How the hop was secured.
    Security,
    /// HTTP method.
    Method,
    /// Whom the request names.
    Host,
    /// Path without query.
    Path,
    /// HTTP status.
    Status,
    /// gRPC status.
    GrpcStatus,
    /// Failure code.
    Failure,
    /// The same in short.
    Flag,
    /// What the mesh said.
    Detail,
    /// The rule that it took.
    Route,
    /// What policies said.
    Verdict,
    /// Which one.
    Policy,
    /// Which of its rules.
    Rule,
    /// The expression without an answer.
    Unanswered,
    /// How often it was sent.
    Attempts,
    /// From beginning to end.
    Duration,
    /// Until the answer's head.
    FirstByte,
    /// Until the destination was known.
    Discover,
    /// For a turn.
    Queue,
    /// For somebody else's word.
    Check,
    /// For connections.
    Connect,
    /// Of that for TLS.
    Tls,
    /// For the answer's head.
    Upstream,
    /// In and between attempts that failed.
    Retry,
    /// On purpose.
    Fault,
    /// From the client.
    BytesIn,
    /// To the client.
    BytesOut,
    /// Of the trace.
    TraceId,
    /// Of this hop in it.
    SpanId,
    /// What the client asks for in TLS.
    Sni,
    /// Whether an operator had the sidecar send it.
    Trial,
}

/// Name, meaning, attribute of OpenTelemetry, command operator of Envoy.
type Facts = (&'static str, &'static str, &'static str, &'static str);

impl LogField {
    /// All of them, in the order of a JSON line.
    pub const ALL: [Self; 41] = [
        Self::Time,
        Self::Side,
        Self::Protocol,
        Self::Source,
        Self::PeerIdentity,
        Self::PeerAddress,
        Self::Destination,
        Self::Service,
        Self::ServicePort,
        Self::Endpoint,
        Self::Security,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Sni,
        Self::Status,
        Self::GrpcStatus,
        Self::Failure,
        Self::Flag,
        Self::Detail,
        Self::Route,
        Self::Verdict,
        Self::Policy,
        Self::Rule,
        Self::Unanswered,
        Self::Attempts,
        Self::Duration,
        Self::FirstByte,
        Self::Discover,
        Self::Queue,
        Self::Check,
        Self::Connect,
        Self::Tls,
        Self::Upstream,
        Self::Retry,
        Self::Fault,
        Self::BytesIn,
        Self::BytesOut,
        Self::TraceId,
        Self::SpanId,
        Self::Trial,
    ];

    /// In JSON and in templates.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// In words, for documents.
    pub const fn meaning(self) -> &'static str {
        self.facts().1
    }

    /// The attribute of a record of OpenTelemetry; empty: it is a field of the record itself.
    pub const fn attribute(self) -> &'static str {
        self.facts().2
    }

    /// What comes next to it in Envoy, for documents; empty: nothing.
    pub const fn envoy(self) -> &'static str {
        self.facts().3
    }

    /// By the name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    #[rustfmt::skip]
    const fn facts(self) -> Facts {
        match self {
            Self::Time => ("time", "when it began: UTC, RFC 3339, milliseconds", "", "START_TIME"),
            Self::Side => ("side", "which sidecar writes: the caller's, `outbound`, or the callee's, `inbound`", "mesh.side", ""),
            Self::Protocol => ("protocol", "`http`, `grpc`, `tcp`", "mesh.protocol", "PROTOCOL"),
            Self::Source => ("source", "the calling workload, as `NS/NAME`", "mesh.source.workload", ""),
            Self::PeerIdentity => ("peer_identity", "the SPIFFE ID of the other end's certificate: the caller's where `side` is `inbound`, else the callee's", "mesh.peer.identity", "DOWNSTREAM_PEER_URI_SAN"),
            Self::PeerAddress => ("peer_address", "the address that the connection came from", "client.address", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"),
            Self::Destination => ("destination", "the workload that answered, or was tried last, as `NS/NAME`", "mesh.destination.workload", ""),
            Self::Service => ("service", "the service that was called, as `NS/NAME`", "mesh.destination.service", "UPSTREAM_CLUSTER"),
            Self::ServicePort => ("service_port", "the port of the service", "server.port", ""),
            Self::Endpoint => ("endpoint", "the address and port that answered, or was tried last", "mesh.endpoint", "UPSTREAM_HOST"),
            Self::Security => ("security", "how the hop is secured: `mtls`, `tls`, `plaintext`, `none`", "mesh.security", ""),
            Self::Method => ("method", "the method", "http.request.method", "REQ(:METHOD)"),
            Self::Host => ("host", "the host that the request names", "server.address", "REQ(:AUTHORITY)"),
            Self::Path => ("path", "the path, without the query, which may hold secrets", "url.path", "REQ(:PATH)"),
            Self::Status => ("status", "the status that the client got; 499: it went away before", "http.response.status_code", "RESPONSE_CODE"),
            Self::GrpcStatus => ("grpc_status", "gRPC's status, as a number", "rpc.grpc.status_code", "GRPC_STATUS_NUMBER"),
            Self::Failure => ("failure", "the [failure code](errors.md), where the mesh itself failed it", "error.type", "RESPONSE_CODE_DETAILS"),
            Self::Flag => ("flag", "the same in two to four letters", "mesh.flag", "RESPONSE_FLAGS"),
            Self::Detail => ("detail", "what the mesh said of the failure", "mesh.detail", ""),
            Self::Route => ("route", "the rule that it took, as `httproute/NS/NAME#0`", "mesh.route", "ROUTE_NAME"),
            Self::Verdict => ("verdict", "what authorization policies said: `allow`, `deny`, `audit`, `undecided`", "mesh.policy.verdict", ""),
            Self::Policy => ("policy", "the policy that decided, as `NS/NAME`", "mesh.policy.name", ""),
            Self::Rule => ("rule", "the number of its rule", "mesh.policy.rule", ""),
            Self::Unanswered => ("unanswered", "the expression of a policy that had no answer, and why", "mesh.policy.unanswered", ""),
            Self::Attempts => ("attempts", "how often it was sent", "mesh.attempts", "UPSTREAM_REQUEST_ATTEMPT_COUNT"),
            Self::Duration => ("duration_ms", "from the request's head to the end of the answer", "mesh.duration_ms", "DURATION"),
            Self::FirstByte => ("first_byte_ms", "from the request's head to the answer's", "mesh.first_byte_ms", "RESPONSE_DURATION"),
            Self::Discover => ("discover_ms", "until it was known what the destination stands for", "mesh.discover_ms", ""),
            Self::Queue => ("queue_ms", "waited for its turn", "mesh.queue_ms", ""),
            Self::Check => ("check_ms", "waited for an external check", "mesh.check_ms", ""),
            Self::Connect => ("connect_ms", "made connections, with TLS", "mesh.connect_ms", ""),
            Self::Tls => ("tls_ms", "of that TLS", "mesh.tls_ms", ""),
            Self::Upstream => ("upstream_ms", "from sending it to the head of the answer", "mesh.upstream_ms", "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)"),
            Self::Retry => ("retry_ms", "in attempts that were not passed on, and between them", "mesh.retry_ms", ""),
            Self::Fault => ("fault_ms", "held up on purpose", "mesh.fault_ms", ""),
            Self::BytesIn => ("bytes_in", "bytes of the request's body, or of what a connection's client sent", "http.request.body.size", "BYTES_RECEIVED"),
            Self::BytesOut => ("bytes_out", "bytes of the answer's body, or of what a connection's client got", "http.response.body.size", "BYTES_SENT"),
            Self::TraceId => ("trace_id", "the trace, whether or not it is sampled", "", "TRACE_ID"),
            Self::SpanId => ("span_id", "this hop in it", "", ""),
            Self::Sni => ("sni", "the name that a client asks for in TLS of its own", "tls.client.server_name", "REQUESTED_SERVER_NAME"),
            Self::Trial => ("trial", "`yes`: an operator had the sidecar send it (`meshctl explain --live`)", "mesh.trial", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_of_its_own_and_is_found_by_it() {
        for field in LogField::ALL {
            assert_eq!(LogField::named(field.name()), Some(field));
        }
        assert_eq!(LogField::named("query"), None);
    }
}
