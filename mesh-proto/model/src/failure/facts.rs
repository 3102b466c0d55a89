//! What is known of each failure: the one mapping from it to codes, statuses and texts. It must not decide which one happened.

use super::Failure;

/// What is known of a failure.
pub(super) struct Facts {
    pub(super) code: &'static str,
    pub(super) flag: &'static str,
    pub(super) http: u16,
    pub(super) grpc: u8,
    pub(super) meaning: &'static str,
    pub(super) cause: &'static str,
    pub(super) remedy: &'static str,
}

/// gRPC status codes that the mesh answers with. Source: gRPC core documentation, "Status codes".
mod grpc {
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
    pub(super) const UNAUTHENTICATED: u8 = 16;
}

impl Failure {
    pub(super) const fn facts(self) -> &'static Facts {
        match self {
            Self::NoRoute => &NO_ROUTE,
            Self::BackendInvalid => &BACKEND_INVALID,
            Self::NoBackend => &NO_BACKEND,
            Self::NoEndpoints => &NO_ENDPOINTS,
            Self::UnknownDestination => &UNKNOWN_DESTINATION,
            Self::ConfigUnavailable => &CONFIG_UNAVAILABLE,
            Self::ConnectFailed => &CONNECT_FAILED,
            Self::ConnectTimeout => &CONNECT_TIMEOUT,
            Self::TlsFailed => &TLS_FAILED,
            Self::UpstreamReset => &UPSTREAM_RESET,
            Self::UpstreamProtocol => &UPSTREAM_PROTOCOL,
            Self::RequestTimeout => &REQUEST_TIMEOUT,
            Self::AttemptTimeout => &ATTEMPT_TIMEOUT,
            Self::IdleTimeout => &IDLE_TIMEOUT,
            Self::StreamTimeout => &STREAM_TIMEOUT,
            Self::Overload => &OVERLOAD,
            Self::CircuitOpen => &CIRCUIT_OPEN,
            Self::RateLimited => &RATE_LIMITED,
            Self::Shed => &SHED,
            Self::FaultInjected => &FAULT_INJECTED,
            Self::RequestTooLarge => &REQUEST_TOO_LARGE,
            Self::ResponseTooLarge => &RESPONSE_TOO_LARGE,
            Self::PlaintextRefused => &PLAINTEXT_REFUSED,
            Self::PolicyDenied => &POLICY_DENIED,
            Self::PolicyUndecided => &POLICY_UNDECIDED,
            Self::TokenMissing => &TOKEN_MISSING,
            Self::TokenInvalid => &TOKEN_INVALID,
            Self::AuthzDenied => &AUTHZ_DENIED,
            Self::AuthzUnavailable => &AUTHZ_UNAVAILABLE,
            Self::RateLimitUnavailable => &RATE_LIMIT_UNAVAILABLE,
            Self::BadRequest => &BAD_REQUEST,
        }
    }
}

const NO_ROUTE: Facts = Facts {
    code: "no_route",
    flag: "NR",
    http: 404,
    grpc: grpc::UNIMPLEMENTED,
    meaning: "no rule of the routes attached to the service fits the request",
    cause: "Once a route is attached to a service, only requests that fit one of its rules pass. This one \
        fits none: its path, method, headers or query match no rule.",
    remedy: "`meshctl explain` shows the rules in the order in which they are tried. Add a rule that fits, or \
        one without matches at the end for all the rest.",
};

const BACKEND_INVALID: Facts = Facts {
    code: "backend_invalid",
    flag: "NC",
    http: 500,
    grpc: grpc::UNAVAILABLE,
    meaning: "the chosen backend of the route cannot be resolved",
    cause: "A rule names a backend that does not exist, has no such port, or is of an unknown \
        kind. Requests that the weights send there fail; the other \
        backends of the rule go on.",
    remedy: "`meshctl sync` shows the route's condition ResolvedRefs, which names the reference and the \
        reason. Then create the backend, or change the reference.",
};

const NO_BACKEND: Facts = Facts {
    code: "no_backend",
    flag: "NB",
    http: 500,
    grpc: grpc::UNAVAILABLE,
    meaning: "the rule has no backend, or all of its backends have weight 0",
    cause: "The rule that the request takes has neither a redirect nor a direct response, and no backend \
        with a weight above 0.",
    remedy: "Add a backend to the rule, or give one of them a weight.",
};

const NO_ENDPOINTS: Facts = Facts {
    code: "no_endpoints",
    flag: "NH",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "the backend has no endpoint that takes requests",
    cause: "The service is known, but no workload behind it is ready, or the service does not have the port \
        that is called.",
    remedy: "`meshctl explain` shows what is behind the service and its state. Start the workload, look \
        at its readiness, or correct the port or the selector of the service.",
};

const UNKNOWN_DESTINATION: Facts = Facts {
    code: "unknown_destination",
    flag: "UD",
    http: 502,
    grpc: grpc::UNAVAILABLE,
    meaning: "the host is unknown to the mesh, and its outbound mode does not let it pass",
    cause: "The mesh has no service of this name, DNS may not know it either, and MeshConfig says that only \
        known services may be called (`outbound.mode: RegistryOnly`).",
    remedy: "Check the spelling and the namespace of the host. For hosts outside the mesh declare them as a \
        service, or set `outbound.mode: AllowAny`.",
};

const CONFIG_UNAVAILABLE: Facts = Facts {
    code: "config_unavailable",
    flag: "CU",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "the controller has not said yet what the destination is",
    cause: "This proxy asks the controller about a destination at its first use, and no answer came in time: \
        the controller is not running, cannot be reached, or does not accept this proxy.",
    remedy: "`meshctl sync` shows whether the controller runs and whether the proxy is \
        connected. Destinations that were used before keep working meanwhile.",
};

const CONNECT_FAILED: Facts = Facts {
    code: "connect_failed",
    flag: "UF",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "no endpoint of the backend took the connection",
    cause: "The endpoints that were tried refused the connection or could not be reached. Nothing of the \
        request has left, so that it may be sent again safely.",
    remedy: "See whether the workload runs and listens on the port that the service names, and on an address \
        that its proxy can reach. The detail names the last endpoint and the error.",
};

const CONNECT_TIMEOUT: Facts = Facts {
    code: "connect_timeout",
    flag: "UFT",
    http: 504,
    grpc: grpc::UNAVAILABLE,
    meaning: "no endpoint answered the connection attempt in time",
    cause: "No answer came to the attempt to connect: a firewall or network policy drops packets, the host \
        is gone, or it is far too busy.",
    remedy: "Look for rules between the two hosts. If the network is slow, raise `connectTimeout` in a \
        TrafficPolicy on the service.",
};

const TLS_FAILED: Facts = Facts {
    code: "tls_failed",
    flag: "UTF",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "the TLS handshake with the endpoint failed, or it did not show the expected identity",
    cause: "In the mesh both sides must show a certificate of it, and the endpoint the identity that the \
        controller says it has. Usual reasons: the endpoint's proxy is not running and something else \
        listens there, clocks differ, a certificate ended, or the trust domains differ. A host of an \
        ExternalService with TLS must show a certificate for its name that leads to `tls.caCertificates` \
        or to a public authority.",
    remedy: "The answer and the proxy's log name what did not fit. In the mesh `meshctl certs` shows \
        certificates and their ends on both sides. For a host outside: its own name in `tls.sni`, its \
        authority in `tls.caCertificates`, or the file of `--outside-roots`.",
};

const UPSTREAM_RESET: Facts = Facts {
    code: "upstream_reset",
    flag: "UC",
    http: 502,
    grpc: grpc::UNAVAILABLE,
    meaning: "the endpoint broke the connection before the response was whole",
    cause: "The application or its proxy ended while it was working on the request, or closed a connection \
        in the middle of a response. Whether it did the work is not known.",
    remedy: "See whether the workload restarted or crashed at that time. For requests that may be repeated, \
        retries on `reset` in a TrafficPolicy hide it from callers.",
};

const UPSTREAM_PROTOCOL: Facts = Facts {
    code: "upstream_protocol",
    flag: "UPE",
    http: 502,
    grpc: grpc::INTERNAL,
    meaning: "the endpoint's answer broke its protocol",
    cause: "The answer is not HTTP as the standard has it, or the application speaks another protocol on \
        this port than is declared for it.",
    remedy: "Compare the protocol of the service's port (its name or `appProtocol`) with what the application \
        speaks. The detail says which rule was broken.",
};

const REQUEST_TIMEOUT: Facts = Facts {
    code: "request_timeout",
    flag: "UT",
    http: 504,
    grpc: grpc::DEADLINE_EXCEEDED,
    meaning: "the response did not come within the timeout",
    cause: "The timeout of the rule or policy, or the caller's own deadline (`grpc-timeout`), was over \
        before the response had ended, all attempts counted together.",
    remedy: "`meshctl explain` names the object and field that the timeout comes from. Raise it there, or \
        find out with `meshctl trace` where the time goes.",
};

const ATTEMPT_TIMEOUT: Facts = Facts {
    code: "attempt_timeout",
    flag: "UAT",
    http: 504,
    grpc: grpc::DEADLINE_EXCEEDED,
    meaning: "no attempt was answered within the time that one attempt may take",
    cause: "Each attempt ran into the timeout for a single attempt, and no further one was allowed.",
    remedy: "Raise the timeout of an attempt (`backendRequest` of the rule, or `attempt` in a TrafficPolicy) \
        if the backend is as slow as that, or allow more attempts.",
};

const IDLE_TIMEOUT: Facts = Facts {
    code: "idle_timeout",
    flag: "SI",
    http: 504,
    grpc: grpc::DEADLINE_EXCEEDED,
    meaning: "nothing moved on the request or stream for too long",
    cause: "No byte went either way for as long as the idle timeout says, though neither side had ended.",
    remedy: "Let the application send something now and then, or raise `timeouts.idle` in a TrafficPolicy.",
};

const STREAM_TIMEOUT: Facts = Facts {
    code: "stream_timeout",
    flag: "DT",
    http: 504,
    grpc: grpc::DEADLINE_EXCEEDED,
    meaning: "the stream reached the longest life that a stream may have",
    cause: "A policy bounds how long a stream may live, and this one was that old. It is meant to end: \
        clients of long streams connect anew.",
    remedy: "Nothing, if the client opens the stream again. Else raise `timeouts.stream` in the \
        TrafficPolicy.",
};

const OVERLOAD: Facts = Facts {
    code: "overload",
    flag: "OM",
    http: 503,
    grpc: grpc::RESOURCE_EXHAUSTED,
    meaning: "a bound of this proxy is reached",
    cause: "The proxy has as many connections or waiting requests as it may have. It refuses more, so that \
        it stays alive.",
    remedy: "Look at `mesh_events_total` for the bound that was met. Add replicas, or find the client that \
        opens so many.",
};

const CIRCUIT_OPEN: Facts = Facts {
    code: "circuit_open",
    flag: "UO",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "a bound of the backend's circuit breaker is reached",
    cause: "So many connections, requests, waiting requests or retries as `circuitBreaker` of a \
        TrafficPolicy allows are under way from this proxy to the backend. The request was not sent.",
    remedy: "The detail names which bound. Find out why the backend is slow, add replicas, or raise the \
        bound.",
};

const RATE_LIMITED: Facts = Facts {
    code: "rate_limited",
    flag: "RL",
    http: 429,
    grpc: grpc::RESOURCE_EXHAUSTED,
    meaning: "a rate limit of the called service is used up",
    cause: "The called side allows so many requests in a time, for all callers, for each or by another key, \
        and this caller has had its share. The headers `RateLimit`, `RateLimit-Policy` and `Retry-After` \
        say which limit and when it opens again.",
    remedy: "Send less or later, as `Retry-After` says. The limit is in `rateLimits` of a TrafficPolicy on \
        the called service or its route; with `globalRateLimit` there, in the configuration of the service that counts.",
};

const SHED: Facts = Facts {
    code: "shed",
    flag: "LS",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "the called workload's proxy sheds load because the workload answers slower than it should",
    cause: "The workload has as many requests under way as it can answer well, and the queue in front of it \
        is full. The request did not reach it, so that it may be sent elsewhere.",
    remedy: "Add replicas, or find out what made the workload slow. The bound follows the measured latency \
        within `concurrency` of a TrafficPolicy.",
};

const FAULT_INJECTED: Facts = Facts {
    code: "fault_injected",
    flag: "FI",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "a policy asked for this failure",
    cause: "A TrafficPolicy with `fault.abort` is attached to the route or service and the request is among \
        its share. No backend was called.",
    remedy: "If the test is over, remove `fault` from the policy; `meshctl explain` names it.",
};

const REQUEST_TOO_LARGE: Facts = Facts {
    code: "request_too_large",
    flag: "RTL",
    http: 413,
    grpc: grpc::RESOURCE_EXHAUSTED,
    meaning: "the request's body is larger than the policy allows",
    cause: "`requestBodyLimit` of a TrafficPolicy bounds the bodies of requests, and this one is larger.",
    remedy: "Send less at once, or raise the bound.",
};

const RESPONSE_TOO_LARGE: Facts = Facts {
    code: "response_too_large",
    flag: "STL",
    http: 502,
    grpc: grpc::RESOURCE_EXHAUSTED,
    meaning: "the response's body is larger than the policy allows",
    cause: "`responseBodyLimit` of a TrafficPolicy bounds the bodies of responses. One that says \
        beforehand how large it is is not passed on; any other is broken off at the bound.",
    remedy: "Ask for less at once, or raise the bound.",
};

const PLAINTEXT_REFUSED: Facts = Facts {
    code: "plaintext_refused",
    flag: "PR",
    http: 403,
    grpc: grpc::PERMISSION_DENIED,
    meaning: "plaintext came where only mTLS is allowed",
    cause: "The mesh is strict and the caller has no proxy, or goes around it. The connection is closed \
        without an answer.",
    remedy: "Bring the caller into the mesh. For the time of a migration `mtls.mode: Permissive` in \
        MeshConfig takes both.",
};

const POLICY_DENIED: Facts = Facts {
    code: "policy_denied",
    flag: "PD",
    http: 403,
    grpc: grpc::PERMISSION_DENIED,
    meaning: "an authorization policy of the called workload does not allow the call",
    cause: "An AuthorizationPolicy that denies fits, or policies that allow protect the port and none of them fits. A TCP connection is \
        reset before the application sees a byte of it.",
    remedy: "The access log of the called workload's proxy names the policy that decided and its rule: `verdict`, `policy`, `rule`. Add a \
        rule for the caller, or call with what the rules allow.",
};

const POLICY_UNDECIDED: Facts = Facts {
    code: "policy_undecided",
    flag: "PU",
    http: 403,
    grpc: grpc::PERMISSION_DENIED,
    meaning: "an authorization policy of the called workload asks for what cannot be known of the call, and so it is denied",
    cause: "A rule asks for a method, a path, a host or a header, and the connection carries bytes that are no HTTP. What cannot be judged \
        is refused, never let through.",
    remedy: "Limit the rule to the ports that speak HTTP with `to[].ports`, or give the port a policy of its own that asks for callers \
        only. If the port does speak HTTP, declare it with `appProtocol` of the Service.",
};

const TOKEN_MISSING: Facts = Facts {
    code: "token_missing",
    flag: "TM",
    http: 401,
    grpc: grpc::UNAUTHENTICATED,
    meaning: "the called workload asks for a token, and there is none",
    cause: "An AuthenticationPolicy with `jwt.required: true` counts for the workload, and the request has no \
        token in any of the places that the policy names. Bytes that are no HTTP cannot have one.",
    remedy: "Send a token of one of the policy's issuers, by default as `Authorization: Bearer TOKEN`. Where \
        callers without one are meant to come in, set `jwt.required: false`, or name with `jwt.ports` where it counts.",
};

const TOKEN_INVALID: Facts = Facts {
    code: "token_invalid",
    flag: "TI",
    http: 401,
    grpc: grpc::UNAUTHENTICATED,
    meaning: "the token that came with the request is not good",
    cause: "The text says why: expired, of another issuer, for another audience, signed with a key that the \
        issuer does not have, with an algorithm that is not taken, or more than one token. Where the issuer's \
        keys cannot be had, no token of it is good.",
    remedy: "Look at the reason in the answer and in `WWW-Authenticate`. If the keys are missing, the condition \
        ResolvedRefs of the AuthenticationPolicy in `meshctl sync` says why.",
};

const AUTHZ_DENIED: Facts = Facts {
    code: "authz_denied",
    flag: "AD",
    http: 403,
    grpc: grpc::PERMISSION_DENIED,
    meaning: "an authorization service that is asked does not allow the request",
    cause: "The rule of the route has a filter ExternalAuth, or an AuthorizationPolicy of the called workload has \
        `action: External`, and the service that it names said no. Status, headers and body of the answer are the \
        service's.",
    remedy: "Ask the service: its log knows which of its own rules decided. `meshctl explain` names the filter or policy \
        that has it asked.",
};

const AUTHZ_UNAVAILABLE: Facts = Facts {
    code: "authz_unavailable",
    flag: "AU",
    http: 403,
    grpc: grpc::PERMISSION_DENIED,
    meaning: "an authorization service that is asked gives no answer that can be used",
    cause: "A filter ExternalAuth or an AuthorizationPolicy with `action: External` names a service that cannot be \
        resolved or reached, answers too late or says what its protocol does not allow, or too many questions are under \
        way. Without an answer nothing passes.",
    remedy: "The text says which of these it was. Look at the condition ResolvedRefs of the route or policy in `meshctl \
        sync`, and at the service's own endpoints and log.",
};

const RATE_LIMIT_UNAVAILABLE: Facts = Facts {
    code: "rate_limit_unavailable",
    flag: "RLU",
    http: 503,
    grpc: grpc::UNAVAILABLE,
    meaning: "the service that counts requests for all proxies gives no answer, and the policy refuses then",
    cause: "A TrafficPolicy has `globalRateLimit` with `failClosed: true`, and the service that it names cannot be \
        resolved or reached, or answers too late.",
    remedy: "Look at the policy's condition ResolvedRefs in `meshctl sync`, and at the endpoints and the log of the service. \
        Without `failClosed` requests pass while it is away.",
};

const BAD_REQUEST: Facts = Facts {
    code: "bad_request",
    flag: "DPE",
    http: 400,
    grpc: grpc::INTERNAL,
    meaning: "the request is malformed or ambiguous",
    cause: "The request breaks a rule of HTTP that the mesh insists on, because two programs that read it \
        differently could be played against each other.",
    remedy: "The detail names the rule. Correct the client or its library.",
};
