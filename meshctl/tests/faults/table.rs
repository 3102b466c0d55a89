//! The faults: how each is seeded, whom `meshctl why` is asked about, and which cause it has to name. The page docs/reference/faults.md has a row
//! for each, which is compared with this table. It must not know how a mesh is run.

/// A fault.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Its name; also that of its Service, and of the path that is asked for.
    pub(crate) name: &'static str,
    /// What is wrong, in words.
    pub(crate) seeded: &'static str,
    pub(crate) traffic: Traffic,
    /// What `meshctl why` is asked.
    pub(crate) about: About,
    /// What it has to say.
    pub(crate) cause: &'static str,
}

/// Whom `meshctl why` is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The Service with the fault's name.
    Service,
    /// The caller: what it called has no name that the mesh knows.
    Caller,
    /// The workload `app`.
    App,
    /// Everybody: a part of the mesh does not answer.
    All,
}

/// What is sent, until it is answered so: a status, and a failure code or nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traffic {
    /// `GET http://HOST/NAME`, HOST being the fault's name.
    Get(u16, &'static str),
    /// The same of another host.
    GetOf(&'static str, u16, &'static str),
    /// With a body of so many bytes.
    Post(usize, u16, &'static str),
    /// With these header lines in place of none.
    With(Header, u16, &'static str),
    /// Bytes through a tunnel, until it is reset.
    Bytes,
    /// A request that is held, and others until one is answered so.
    Crowd(u16, &'static str),
    /// It goes away before the answer.
    Leave,
    /// Plaintext to the sidecar itself, past the caller's.
    Plaintext,
    /// Nothing is sent: it is the state of an object.
    None,
    /// A part of the mesh is stopped; the test does that at the end.
    Stopped(&'static str),
}

/// A header that makes the difference.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Header {
    /// Larger than the mesh takes.
    Large,
    /// Two lengths at once.
    Ambiguous,
    /// A token whose time is over.
    OldToken,
    /// A token that somebody else signed.
    ForgedToken,
}

const fn of(name: &'static str, seeded: &'static str, traffic: Traffic, cause: &'static str) -> Fault {
    Fault { name, seeded, traffic, about: About::Service, cause }
}

const fn about(about: About, fault: Fault) -> Fault {
    Fault { about, ..fault }
}

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    of(
        "wrong-port-name",
        "`targetPort` of the Service is a name that the workload's ports do not have",
        Traffic::Get(503, "no_endpoints"),
        "target_port_unknown",
    ),
    of(
        "wrong-target-port",
        "`targetPort` of the Service is a number that the workload's ports do not have",
        Traffic::Get(503, "no_endpoints"),
        "target_port_unknown",
    ),
    of(
        "missing-backend",
        "a route's `backendRefs` names a Service that does not exist",
        Traffic::Get(500, "backend_invalid"),
        "backend_missing",
    ),
    of(
        "no-endpoints",
        "the Service's selector selects no workload",
        Traffic::Get(503, "no_endpoints"),
        "endpoints_none",
    ),
    of(
        "route-to-nobody",
        "a route leads to a Service without endpoints",
        Traffic::Get(503, "no_endpoints"),
        "endpoints_none",
    ),
    of(
        "no-route-matches",
        "routes are attached, and the path fits none of their rules",
        Traffic::Get(404, "no_route"),
        "no_route",
    ),
    of("no-weight", "the rule's only backend has weight 0", Traffic::Get(500, "no_backend"), "backend_none"),
    of(
        "wrong-service-port",
        "the Service is called at port 81, which it does not have",
        Traffic::GetOf("wrong-service-port:81", 503, "no_endpoints"),
        "service_port_unknown",
    ),
    of(
        "mirror-missing",
        "a route mirrors to a Service that does not exist",
        Traffic::None,
        "reference_unresolved",
    ),
    of(
        "bad-setting",
        "a field of a TrafficPolicy has a value that it cannot have",
        Traffic::None,
        "object_invalid",
    ),
    about(
        About::Caller,
        of(
            "unknown-service",
            "a Service is called that does not exist",
            Traffic::GetOf("nowhere.default.svc.cluster.local", 502, "unknown_destination"),
            "service_unknown",
        ),
    ),
    about(
        About::Caller,
        of(
            "unknown-host",
            "`MeshConfig` has `outbound.mode: RegistryOnly`, and a host is called that no object names",
            Traffic::GetOf("stranger.example", 502, "unknown_destination"),
            "registry_only",
        ),
    ),
    about(
        About::Caller,
        of(
            "outside-unknown",
            "an ExternalService names an endpoint that DNS does not know",
            Traffic::GetOf("outside-unknown.example", 502, "unknown_destination"),
            "name_unknown",
        ),
    ),
    about(
        About::Caller,
        of(
            "outside-expired",
            "a host outside shows a certificate that is over",
            Traffic::GetOf("outside-expired.example", 503, "tls_failed"),
            "certificate_expired",
        ),
    ),
    about(
        About::Caller,
        of(
            "outside-untrusted",
            "a host outside shows a certificate of an authority that is not trusted",
            Traffic::GetOf("outside-untrusted.example", 503, "tls_failed"),
            "untrusted_certificate",
        ),
    ),
    about(
        About::Caller,
        of(
            "outside-plaintext",
            "an ExternalService has `tls` for a port that speaks plaintext",
            Traffic::GetOf("outside-plaintext.example", 503, "tls_failed"),
            "tls_to_plaintext",
        ),
    ),
    of(
        "wrong-trust-domain",
        "at the workload's address a member of another mesh answers",
        Traffic::Get(503, "tls_failed"),
        "trust_domain_mismatch",
    ),
    of(
        "wrong-identity",
        "at the workload's address another workload of the mesh answers",
        Traffic::Get(503, "tls_failed"),
        "wrong_identity",
    ),
    of(
        "no-sidecar",
        "the workload is said to have a sidecar, and has none",
        Traffic::Get(503, "tls_failed"),
        "sidecar_missing",
    ),
    of(
        "sidecar-gone",
        "the workload's sidecar does not run",
        Traffic::Get(503, "connect_failed"),
        "sidecar_away",
    ),
    of(
        "loopback-only",
        "an application without a sidecar listens on 127.0.0.1 alone, and is called at another address",
        Traffic::Get(503, "connect_failed"),
        "connection_refused",
    ),
    of(
        "not-listening",
        "the application does not run; its sidecar does",
        Traffic::Get(503, "connect_failed"),
        "application_not_listening",
    ),
    of(
        "does-not-answer",
        "the application takes no more connections (or a firewall drops them)",
        Traffic::Get(504, "connect_timeout"),
        "connect_timeout",
    ),
    of(
        "connect-queue",
        "connecting takes long, and `maxPendingRequests` requests wait for it already",
        Traffic::Crowd(503, "circuit_open"),
        "circuit_queue",
    ),
    of(
        "application-resets",
        "the application resets the connection when the request has come",
        Traffic::Get(502, "upstream_reset"),
        "application_reset",
    ),
    of("application-fails", "the application answers 500", Traffic::Get(500, ""), "application_error"),
    of(
        "invalid-answer",
        "the application's answer is no HTTP",
        Traffic::Get(502, "upstream_protocol"),
        "application_protocol",
    ),
    of(
        "protocol-mismatch",
        "the Service's port is declared to be gRPC, and the application speaks HTTP/1.1",
        Traffic::Get(502, "upstream_protocol"),
        "application_protocol",
    ),
    of(
        "too-slow",
        "the application is slower than the route's timeout",
        Traffic::Get(504, "request_timeout"),
        "application_slow",
    ),
    of(
        "attempt-too-slow",
        "the application is slower than one attempt may take",
        Traffic::Get(504, "attempt_timeout"),
        "attempt_timeout",
    ),
    of(
        "retries-exhausted",
        "the application answers 503 to each of the attempts that are allowed",
        Traffic::Get(503, ""),
        "retries_exhausted",
    ),
    of(
        "no-retry-budget",
        "the application answers 503, and the retry budget allows no other attempt",
        Traffic::Get(503, ""),
        "retry_budget",
    ),
    of(
        "too-many-requests",
        "as many requests as `circuitBreaker.maxRequests` are under way",
        Traffic::Crowd(503, "circuit_open"),
        "circuit_requests",
    ),
    of(
        "queue-full",
        "the workload has as many requests as `concurrency` lets in, and none may wait",
        Traffic::Crowd(503, "shed"),
        "queue_full",
    ),
    of(
        "rate-limited",
        "more requests come than `rateLimits` allows",
        Traffic::Get(429, "rate_limited"),
        "rate_limited",
    ),
    of(
        "count-unavailable",
        "the service that counts for `globalRateLimit` does not run, and `failClosed` is set",
        Traffic::Get(503, "rate_limit_unavailable"),
        "rate_limit_unavailable",
    ),
    of(
        "fault-injected",
        "a TrafficPolicy has `fault.abort`",
        Traffic::Get(503, "fault_injected"),
        "fault_injected",
    ),
    of(
        "request-too-large",
        "the request's body is larger than `requestBodyLimit`",
        Traffic::Post(5, 413, "request_too_large"),
        "request_too_large",
    ),
    of(
        "response-too-large",
        "the answer's body is larger than `responseBodyLimit`",
        Traffic::Get(502, "response_too_large"),
        "response_too_large",
    ),
    about(
        About::Caller,
        of(
            "header-too-large",
            "a client sends a header of 100 kB",
            Traffic::With(Header::Large, 431, "bad_request"),
            "header_too_large",
        ),
    ),
    about(
        About::Caller,
        of(
            "bad-request",
            "a client sends a request that can be read in two ways",
            Traffic::With(Header::Ambiguous, 400, "bad_request"),
            "bad_request",
        ),
    ),
    of("client-gone", "the client leaves before the answer", Traffic::Leave, "client_gone"),
    of("not-allowed", "a policy allows another caller", Traffic::Get(403, "policy_denied"), "not_allowed"),
    of(
        "closed-by-default",
        "a policy without rules closes the workload, and nobody opened it",
        Traffic::Get(403, "policy_denied"),
        "not_allowed",
    ),
    of("denied-by-path", "a rule denies the path", Traffic::Get(403, "policy_denied"), "deny_rule"),
    of("bytes-denied", "a rule denies the caller of a port that carries bytes", Traffic::Bytes, "deny_rule"),
    of(
        "bytes-undecided",
        "a rule asks for the method of what comes to a port that carries bytes",
        Traffic::Bytes,
        "policy_undecided",
    ),
    about(
        About::App,
        of(
            "plaintext",
            "somebody without a sidecar calls where mutual TLS is required",
            Traffic::Plaintext,
            "plaintext_refused",
        ),
    ),
    of(
        "token-missing",
        "a token is required, and the request has none",
        Traffic::Get(401, "token_missing"),
        "token_missing",
    ),
    of(
        "token-expired",
        "the request's token is over",
        Traffic::With(Header::OldToken, 401, "token_invalid"),
        "token_expired",
    ),
    of(
        "token-forged",
        "the request's token has another's signature",
        Traffic::With(Header::ForgedToken, 401, "token_invalid"),
        "token_signature",
    ),
    of(
        "check-unavailable",
        "the service that an `ExternalAuth` filter has asked does not run",
        Traffic::Get(403, "authz_unavailable"),
        "authz_unavailable",
    ),
    of(
        "check-denies",
        "the service that an `ExternalAuth` filter has asked says no",
        Traffic::Get(403, "authz_denied"),
        "authz_denied",
    ),
    about(
        About::Caller,
        of(
            "never-asked",
            "the controller does not run, and a Service is called that the sidecar never called before",
            Traffic::Stopped("mesh-controller"),
            "config_unavailable",
        ),
    ),
    about(
        About::All,
        of(
            "controller-stopped",
            "the controller does not answer",
            Traffic::Stopped("mesh-controller"),
            "controller_unreachable",
        ),
    ),
    about(
        About::All,
        of(
            "authority-stopped",
            "the certificate authority does not answer",
            Traffic::Stopped("mesh-ca"),
            "authority_unreachable",
        ),
    ),
];
