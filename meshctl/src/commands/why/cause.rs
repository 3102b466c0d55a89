//! Why requests fail, in words: every cause that `meshctl why` can name, and what to do about it. Data and its choice by code; pure. It must
//! not know where failures come from.

use mesh_model::failure::Failure;
use mesh_model::failure::reason::Reason;

/// Why requests fail. The code is stable: scripts and the page about faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub(crate) code: &'static str,
    /// What happened, a clause.
    pub(crate) what: &'static str,
    /// What to do, sentences.
    pub(crate) next: &'static str,
}

/// Who said that a request failed, as far as it changes what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// By the callee's sidecar: between it and its application.
    pub(crate) inbound: bool,
    /// The hop is meant to be secured by the mesh.
    pub(crate) mesh: bool,
    /// The hop goes out of the mesh by TLS.
    pub(crate) outside: bool,
}

macro_rules! causes {
    ($($name:ident $code:literal $what:literal $next:literal)*) => {
        $(pub(crate) const $name: Cause = Cause { code: $code, what: $what, next: $next };)*

        /// All of them.
        pub(crate) const ALL: &[Cause] = &[$($name),*];
    };
}

causes! {
    NO_ROUTE "no_route"
        "routes are attached to the service, and no rule of them fits the request"
        "Compare path, method and headers of the example with the rules; `meshctl explain` shows which match fails. Add a rule that fits."
    BACKEND_MISSING "backend_missing"
        "the route sends it to a backend that does not exist or may not be used"
        "Create the backend, or correct `backendRefs` of the route; for a backend of another namespace a ReferenceGrant is needed."
    BACKEND_NONE "backend_none"
        "the rule has no backend with a weight above 0"
        "Give the rule a backend, or one of its backends a weight."
    ENDPOINTS_NONE "endpoints_none"
        "nothing is behind the service: no workload that its selector selects is there and ready"
        "Compare the Service's `selector` with the labels of the workloads, and see whether they run and are ready."
    TARGET_PORT_UNKNOWN "target_port_unknown"
        "the Service's `targetPort` is a port that its workloads do not have"
        "Correct `targetPort` of the Service, by number or by name, or declare the port at the workload."
    SERVICE_PORT_UNKNOWN "service_port_unknown"
        "the service is called at a port that it does not have"
        "Call one of the ports that the example names, or add the port to the Service."
    SERVICE_UNKNOWN "service_unknown"
        "the mesh knows no service of that name"
        "Look for the spelling and the namespace of the host: NAME.NAMESPACE."
    NAME_UNKNOWN "name_unknown"
        "neither the mesh nor DNS knows the name that is called"
        "Correct the name. For an ExternalService with `resolution: DNS`, correct its hosts or endpoints."
    DNS_UNAVAILABLE "dns_unavailable"
        "DNS does not answer"
        "See whether the resolvers of the caller's machine or cluster run and can be reached."
    REGISTRY_ONLY "registry_only"
        "the host is unknown to the mesh, and MeshConfig lets only known ones be called"
        "Declare the host with an ExternalService, or set `outboundMode: AllowAny` in MeshConfig."
    CONFIG_UNAVAILABLE "config_unavailable"
        "the caller's sidecar has not heard from the controller what the destination is"
        "See whether the controller runs and the sidecar is connected: `meshctl sync`."
    APPLICATION_NOT_LISTENING "application_not_listening"
        "the workload's sidecar is there, but its application does not take connections"
        "See whether the application runs, and whether it listens on the port that the Service names: on 127.0.0.1 or on all addresses."
    CONNECTION_REFUSED "connection_refused"
        "nobody listens at the endpoint's address"
        "See whether the application runs, on the port that the Service names, and whether it listens on that address and not on 127.0.0.1 alone."
    SIDECAR_AWAY "sidecar_away"
        "nobody listens where the sidecar of the called workload should"
        "See whether the workload and its sidecar run; an object about a workload that is gone must go too."
    UNREACHABLE "unreachable"
        "there is no way to the endpoint's address"
        "Look at routes and addresses between the two machines, and whether the endpoint's address is right."
    CONNECTION_CLOSED "connection_closed_at_once"
        "the endpoint takes connections and closes them at once"
        "Look into the log of what listens there; it may bound connections, or not be what it is taken for."
    CONNECT_TIMEOUT "connect_timeout"
        "the endpoint does not answer the attempt to connect"
        "Look for firewalls and network policies between the two, and whether the application still takes connections (a full backlog)."
    CERTIFICATE_EXPIRED "certificate_expired"
        "the certificate that is shown is over, or not valid yet"
        "Compare the clocks, and see why the certificate was not renewed: `meshctl certs` for members; whoever runs it, for a host outside."
    TRUST_DOMAIN "trust_domain_mismatch"
        "who answers is of a trust domain that is not trusted"
        "Correct `trustDomain` of the workload, or federate with that mesh."
    WRONG_IDENTITY "wrong_identity"
        "who answers proved to be somebody else than the objects say"
        "Correct the address or the service account of the workload: another one answers there."
    UNTRUSTED "untrusted_certificate"
        "the certificate that is shown leads to no root that is trusted"
        "For a host outside: its authority in `tls.caCertificates` of the ExternalService. For a member: `meshctl certs` shows which roots each trusts."
    TLS_REFUSED "tls_refused"
        "the peer broke the TLS handshake off with an alert"
        "The alert in the example says why. If the peer refuses our certificate: `meshctl certs`, and the log of its sidecar."
    NO_SIDECAR "sidecar_missing"
        "the workload should have a sidecar, and what answers there does not speak TLS"
        "Put the workload into the mesh again (injection, restart), or say `mesh: false` of it."
    TLS_TO_PLAINTEXT "tls_to_plaintext"
        "TLS is spoken to a port that does not speak it"
        "Take `tls` off the port of the ExternalService, or name the port that speaks TLS."
    NOT_MESH "not_a_sidecar"
        "what answers speaks TLS, and is no sidecar of this mesh"
        "Something else listens at the workload's address: correct the address, or put the workload into the mesh."
    TLS_BROKEN_OFF "tls_broken_off"
        "the connection ended during the TLS handshake"
        "See whether what listens there speaks TLS at all, and look into its log."
    TLS_TIMEOUT "tls_timeout"
        "the TLS handshake took too long"
        "What listens there takes connections and does not speak TLS, or is far too busy."
    NO_IDENTITY "no_identity"
        "the caller's sidecar has no certificate"
        "See whether the certificate authority runs and accepts the workload: `meshctl certs`, and the log of the sidecar."
    APPLICATION_RESET "application_reset"
        "the application broke the connection off before its answer was whole"
        "See whether it crashed or restarted at that time: its log and its memory."
    UPSTREAM_RESET "connection_broken"
        "the connection to the endpoint broke before the answer was whole"
        "See whether the workload or its sidecar restarted, and whether the network between them is steady."
    APPLICATION_PROTOCOL "application_protocol"
        "the application's answer is not what is declared to be spoken there"
        "Compare `appProtocol` of the Service's port with what the application speaks: `meshctl protocols`. If it fits, the answer itself breaks HTTP."
    APPLICATION_SLOW "application_slow"
        "no answer came within the timeout"
        "`meshctl trace --failed` shows where the time goes, `meshctl explain` which object sets the timeout."
    ATTEMPT_TIMEOUT "attempt_timeout"
        "no attempt was answered within the time for one"
        "Raise the timeout of an attempt (`timeouts.backendRequest` of the rule, `timeouts.attempt` of the policy), or find out what is slow."
    IDLE_TIMEOUT "idle_timeout"
        "nothing moved for as long as the idle timeout says"
        "Have the application send something now and then, or raise `timeouts.idle`."
    STREAM_TIMEOUT "stream_timeout"
        "the stream reached the longest life that a policy gives it"
        "Nothing, if the client opens it again; else raise `timeouts.stream`."
    APPLICATION_ERROR "application_error"
        "the application itself answers with an error"
        "Look into the application's log at that time; `meshctl trace --id` shows what it asked of others."
    RETRIES_EXHAUSTED "retries_exhausted"
        "each attempt failed, and no further one is allowed"
        "What the attempts met is in the example and in `meshctl trace --failed`: mend that. More attempts would be more load."
    RETRY_BUDGET "retry_budget"
        "it failed, and the retry budget is used up, so that it was not tried again"
        "So much fails that retries would be a load of their own: mend what fails. The budget is `retryBudget` of the TrafficPolicy."
    MAX_CONNECTIONS "circuit_connections"
        "the circuit breaker allows no more connections to the service"
        "Find out why requests hold their connections for so long, or raise `circuitBreaker.maxConnections`."
    MAX_PENDING "circuit_queue"
        "the queue for a connection to the service is full"
        "Find out why connecting is slow, or raise `circuitBreaker.maxPendingRequests`."
    MAX_REQUESTS "circuit_requests"
        "the circuit breaker allows no more requests to the service at once"
        "Find out why the service is slow, add replicas, or raise `circuitBreaker.maxRequests`."
    MAX_STREAMS "circuit_streams"
        "the circuit breaker allows no more streams on a connection"
        "Raise `circuitBreaker.maxStreamsPerConnection`, or add replicas."
    ENDPOINTS_FULL "endpoints_full"
        "each endpoint has as many requests as it may have"
        "Add replicas, or raise `loadBalancer.maxRequestsPerEndpoint`."
    OVERLOAD "overload"
        "a bound of a sidecar itself is reached"
        "`mesh_events_total` of the sidecar names it. Add replicas, or find the client that opens so much."
    RATE_LIMITED "rate_limited"
        "a rate limit of the called service is used up"
        "Send less, or later as `Retry-After` says; or raise the limit that the example names."
    QUEUE_FULL "queue_full"
        "the workload has as many requests as it can bear, and the queue in front of it is full"
        "Add replicas, or find out what made it slow; the bound is `concurrency` of a TrafficPolicy."
    QUEUE_LATE "queue_timeout"
        "the request waited in the workload's queue for longer than may be"
        "Add replicas, or find out what made it slow; the bound is `concurrency` of a TrafficPolicy."
    FAULT_INJECTED "fault_injected"
        "a policy asks for this failure"
        "If the test is over, remove `fault` from the TrafficPolicy that the example names."
    REQUEST_TOO_LARGE "request_too_large"
        "the request's body is larger than a policy allows"
        "Send less at once, or raise the bound that the example names."
    RESPONSE_TOO_LARGE "response_too_large"
        "the answer's body is larger than a policy allows"
        "Ask for less at once, or raise `bodies.response` of the policy."
    HEAD_TOO_LARGE "header_too_large"
        "the headers of the request are larger than the mesh takes"
        "Find the header that has grown (a cookie, most often), and make it smaller."
    NOT_ALLOWED "not_allowed"
        "authorization policies protect the workload, and none of them allows this call"
        "Add a rule for the caller to the policy, if it is meant to come in: `meshctl authz` shows what is allowed."
    DENY_RULE "deny_rule"
        "a rule of an authorization policy denies the call"
        "If it is meant to come in, change the rule: `meshctl authz` shows what it fits."
    POLICY_UNDECIDED "policy_undecided"
        "a policy asks for something of HTTP, and the connection carries bytes that are none"
        "Limit the rule to ports that speak HTTP (`to[].ports`), or declare the port with `appProtocol`."
    PLAINTEXT_REFUSED "plaintext_refused"
        "plaintext came where only mutual TLS is allowed: the caller has no sidecar, or goes around it"
        "Bring the caller into the mesh, or set `mtls.mode: Permissive` for the time of a migration: `meshctl mtls` shows who calls so."
    TOKEN_MISSING "token_missing"
        "a token is required, and there is none"
        "Send a token of an issuer of the AuthenticationPolicy, as `Authorization: Bearer TOKEN`."
    TOKEN_EXPIRED "token_expired"
        "the token's time is over, or has not begun"
        "Have the caller get a fresh token; compare the clocks if it is fresh."
    TOKEN_ELSEWHERE "token_of_another"
        "the token is of another issuer, or for another audience"
        "Compare `iss` and `aud` of the token with `jwt.issuers` of the AuthenticationPolicy."
    TOKEN_SIGNATURE "token_signature"
        "the token's signature is wrong"
        "Somebody else signed it, or it was changed on the way."
    TOKEN_KEYS "token_keys"
        "the key that signed the token is not known"
        "See whether the issuer's keys can be had: condition ResolvedRefs of the AuthenticationPolicy in `meshctl sync`."
    TOKEN_INVALID "token_invalid"
        "the token cannot be used"
        "The example says why."
    AUTHZ_DENIED "authz_denied"
        "the authorization service that is asked does not allow it"
        "Look into the log of that service: it knows which of its rules decided."
    AUTHZ_UNAVAILABLE "authz_unavailable"
        "the authorization service that is asked gives no answer"
        "See whether that service runs and can be reached. Without an answer nothing passes."
    RATE_LIMIT_UNAVAILABLE "rate_limit_unavailable"
        "the service that counts requests gives no answer, and the policy refuses then"
        "See whether that service runs; without `failClosed` requests pass while it is away."
    BAD_REQUEST "bad_request"
        "the client's request is malformed or ambiguous"
        "The example names the rule that it breaks. Correct the client or its library."
    NOT_HTTP "not_http"
        "the client sends bytes that are no HTTP to a service with routes"
        "If the port is not HTTP, declare it with `appProtocol: tcp`, and route it with a TCPRoute."
    CLIENT_GONE "client_gone"
        "the client went away before the answer was there"
        "Compare the client's own timeout with how long answers take: `meshctl stat`."
    OBJECT_INVALID "object_invalid"
        "an object is not in force, because something in it is wrong"
        "Correct the field; until then its last good form holds, or nothing of it."
    REFERENCE_UNRESOLVED "reference_unresolved"
        "an object refers to something that is not there"
        "Create what it refers to, or correct the reference."
    CONFIG_REJECTED "configuration_rejected"
        "a sidecar cannot use a part of its configuration and goes on with the former one"
        "The reason names the field. A sidecar that is older than the controller may not know it: compare `meshctl version`."
    SIDECAR_DISCONNECTED "sidecar_disconnected"
        "a sidecar is not connected to the controller: it goes on with what it last heard"
        "See whether the workload runs, and look into the log of its sidecar."
    CERTIFICATE_OVER "own_certificate_over"
        "a sidecar's own certificate is over"
        "See whether the certificate authority can be reached from there: the log of the sidecar says why it was not renewed."
    RENEWAL_FAILS "renewal_fails"
        "a sidecar cannot renew its certificate"
        "See whether the certificate authority runs; the log of the sidecar says what it was answered."
    AUTHORITY_UNREACHABLE "authority_unreachable"
        "the certificate authority does not answer: nobody new gets in, and certificates end without being renewed"
        "See whether it runs, and look into its log. Traffic goes on until certificates end."
    CONTROLLER_UNREACHABLE "controller_unreachable"
        "the controller does not answer: sidecars go on with what they last heard, changes do not come into force"
        "See whether it runs, and look into its log."
    UNKNOWN "unknown"
        "it failed in a way that this program does not know"
        "A newer sidecar may know more than this program: compare `meshctl version`."
}

/// What a failure with that code and reason comes from; without a code the application itself answered.
pub(crate) fn of(failure: &str, reason: &str, seen: Seen) -> Cause {
    let reason = Reason::find(reason);
    match Failure::find(failure) {
        Some(failure) => of_failure(failure, reason, seen),
        None if !failure.is_empty() => UNKNOWN,
        None => match reason {
            Some(Reason::ClientGone) => CLIENT_GONE,
            Some(Reason::RetriesExhausted) => RETRIES_EXHAUSTED,
            Some(Reason::RetryBudget) => RETRY_BUDGET,
            _ => APPLICATION_ERROR,
        },
    }
}

fn of_failure(failure: Failure, reason: Option<Reason>, seen: Seen) -> Cause {
    match failure {
        Failure::NoRoute => NO_ROUTE,
        Failure::BackendInvalid => BACKEND_MISSING,
        Failure::NoBackend => BACKEND_NONE,
        Failure::NoEndpoints if reason == Some(Reason::PortUnknown) => SERVICE_PORT_UNKNOWN,
        Failure::NoEndpoints => ENDPOINTS_NONE,
        Failure::UnknownDestination => match reason {
            Some(Reason::NameUnknown) => NAME_UNKNOWN,
            Some(Reason::DnsUnavailable) => DNS_UNAVAILABLE,
            Some(Reason::RegistryOnly) => REGISTRY_ONLY,
            _ => SERVICE_UNKNOWN,
        },
        Failure::ConfigUnavailable => CONFIG_UNAVAILABLE,
        Failure::ConnectFailed => of_connect(reason, seen),
        Failure::ConnectTimeout if reason == Some(Reason::DnsUnavailable) => DNS_UNAVAILABLE,
        Failure::ConnectTimeout => CONNECT_TIMEOUT,
        Failure::TlsFailed => of_tls(reason, seen),
        Failure::UpstreamReset if reason == Some(Reason::RetryBudget) => RETRY_BUDGET,
        Failure::UpstreamReset if seen.inbound || !seen.mesh => APPLICATION_RESET,
        Failure::UpstreamReset => UPSTREAM_RESET,
        Failure::UpstreamProtocol => APPLICATION_PROTOCOL,
        Failure::RequestTimeout => APPLICATION_SLOW,
        Failure::AttemptTimeout if reason == Some(Reason::RetryBudget) => RETRY_BUDGET,
        Failure::AttemptTimeout => ATTEMPT_TIMEOUT,
        Failure::IdleTimeout => IDLE_TIMEOUT,
        Failure::StreamTimeout => STREAM_TIMEOUT,
        Failure::Overload => OVERLOAD,
        Failure::CircuitOpen => match reason {
            Some(Reason::MaxConnections) => MAX_CONNECTIONS,
            Some(Reason::MaxPending) => MAX_PENDING,
            Some(Reason::MaxStreams) => MAX_STREAMS,
            Some(Reason::EndpointsFull) => ENDPOINTS_FULL,
            _ => MAX_REQUESTS,
        },
        Failure::RateLimited => RATE_LIMITED,
        Failure::Shed if reason == Some(Reason::QueueLate) => QUEUE_LATE,
        Failure::Shed => QUEUE_FULL,
        Failure::FaultInjected => FAULT_INJECTED,
        Failure::RequestTooLarge => REQUEST_TOO_LARGE,
        Failure::ResponseTooLarge => RESPONSE_TOO_LARGE,
        Failure::PlaintextRefused => PLAINTEXT_REFUSED,
        Failure::PolicyDenied if reason == Some(Reason::DenyRule) => DENY_RULE,
        Failure::PolicyDenied => NOT_ALLOWED,
        Failure::PolicyUndecided => POLICY_UNDECIDED,
        Failure::TokenMissing => TOKEN_MISSING,
        Failure::TokenInvalid => match reason {
            Some(Reason::TokenExpired) => TOKEN_EXPIRED,
            Some(Reason::TokenElsewhere) => TOKEN_ELSEWHERE,
            Some(Reason::TokenSignature) => TOKEN_SIGNATURE,
            Some(Reason::TokenKeys) => TOKEN_KEYS,
            _ => TOKEN_INVALID,
        },
        Failure::AuthzDenied => AUTHZ_DENIED,
        Failure::AuthzUnavailable => AUTHZ_UNAVAILABLE,
        Failure::RateLimitUnavailable => RATE_LIMIT_UNAVAILABLE,
        Failure::BadRequest => match reason {
            Some(Reason::HeadTooLarge) => HEAD_TOO_LARGE,
            Some(Reason::NotHttp) => NOT_HTTP,
            Some(Reason::ClientGone) => CLIENT_GONE,
            _ => BAD_REQUEST,
        },
    }
}

fn of_connect(reason: Option<Reason>, seen: Seen) -> Cause {
    match reason {
        _ if seen.inbound => APPLICATION_NOT_LISTENING,
        Some(Reason::Unreachable) => UNREACHABLE,
        Some(Reason::ClosedAtOnce) => CONNECTION_CLOSED,
        _ if seen.mesh => SIDECAR_AWAY,
        _ => CONNECTION_REFUSED,
    }
}

fn of_tls(reason: Option<Reason>, seen: Seen) -> Cause {
    match reason {
        Some(Reason::CertificateExpired) => CERTIFICATE_EXPIRED,
        Some(Reason::TrustDomain) => TRUST_DOMAIN,
        Some(Reason::WrongIdentity) if !seen.outside => WRONG_IDENTITY,
        Some(Reason::WrongIdentity | Reason::Untrusted) => UNTRUSTED,
        Some(Reason::NotTls) if seen.outside => TLS_TO_PLAINTEXT,
        Some(Reason::NotTls) => NO_SIDECAR,
        Some(Reason::NotMesh) => NOT_MESH,
        Some(Reason::TlsBrokenOff) => TLS_BROKEN_OFF,
        Some(Reason::TlsTimeout) => TLS_TIMEOUT,
        Some(Reason::NoIdentity) => NO_IDENTITY,
        _ => TLS_REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PLAIN: Seen = Seen { inbound: false, mesh: false, outside: false };
    const MESH: Seen = Seen { mesh: true, ..PLAIN };
    const INBOUND: Seen = Seen { inbound: true, ..MESH };
    const OUTSIDE: Seen = Seen { outside: true, ..PLAIN };

    #[test]
    fn what_a_proxy_knows_becomes_a_cause() {
        let table: &[(&str, &str, Seen, &str)] = &[
            ("no_route", "", PLAIN, "no_route"),
            ("no_endpoints", "port_unknown", PLAIN, "service_port_unknown"),
            ("no_endpoints", "no_endpoint", PLAIN, "endpoints_none"),
            ("unknown_destination", "name_unknown", PLAIN, "name_unknown"),
            ("unknown_destination", "registry_only", PLAIN, "registry_only"),
            ("unknown_destination", "", PLAIN, "service_unknown"),
            ("connect_failed", "refused", PLAIN, "connection_refused"),
            ("connect_failed", "refused", MESH, "sidecar_away"),
            ("connect_failed", "refused", INBOUND, "application_not_listening"),
            ("connect_failed", "unreachable", PLAIN, "unreachable"),
            ("connect_failed", "closed_at_once", PLAIN, "connection_closed_at_once"),
            ("connect_timeout", "", PLAIN, "connect_timeout"),
            ("connect_timeout", "dns_unavailable", PLAIN, "dns_unavailable"),
            ("tls_failed", "certificate_expired", MESH, "certificate_expired"),
            ("tls_failed", "trust_domain", MESH, "trust_domain_mismatch"),
            ("tls_failed", "wrong_identity", MESH, "wrong_identity"),
            ("tls_failed", "wrong_identity", OUTSIDE, "untrusted_certificate"),
            ("tls_failed", "not_tls", MESH, "sidecar_missing"),
            ("tls_failed", "not_tls", OUTSIDE, "tls_to_plaintext"),
            ("tls_failed", "", MESH, "tls_refused"),
            ("upstream_reset", "", INBOUND, "application_reset"),
            ("upstream_reset", "", MESH, "connection_broken"),
            ("circuit_open", "max_pending", PLAIN, "circuit_queue"),
            ("circuit_open", "max_requests", PLAIN, "circuit_requests"),
            ("shed", "queue_full", INBOUND, "queue_full"),
            ("shed", "queue_late", INBOUND, "queue_timeout"),
            ("policy_denied", "not_allowed", INBOUND, "not_allowed"),
            ("policy_denied", "deny_rule", INBOUND, "deny_rule"),
            ("token_invalid", "token_expired", INBOUND, "token_expired"),
            ("bad_request", "head_too_large", PLAIN, "header_too_large"),
            ("bad_request", "client_gone", PLAIN, "client_gone"),
            ("", "client_gone", PLAIN, "client_gone"),
            ("", "retries_exhausted", MESH, "retries_exhausted"),
            ("", "", MESH, "application_error"),
            ("of_tomorrow", "", PLAIN, "unknown"),
        ];
        for (failure, reason, seen, code) in table {
            assert_eq!(of(failure, reason, *seen).code, *code, "{failure} {reason} {seen:?}");
        }
    }

    #[test]
    fn every_failure_and_every_reason_has_a_cause() {
        for failure in Failure::ALL {
            for reason in Reason::ALL.map(Reason::code).into_iter().chain(["", "of_tomorrow"]) {
                for seen in [PLAIN, MESH, INBOUND, OUTSIDE] {
                    assert_ne!(of(failure.code(), reason, seen), UNKNOWN, "{failure:?} {reason}");
                }
            }
        }
    }

    #[test]
    fn codes_are_unique_and_texts_are_sentences() {
        let codes: BTreeSet<_> = ALL.iter().map(|cause| cause.code).collect();
        assert_eq!(codes.len(), ALL.len());
        for cause in ALL {
            assert!(!cause.what.ends_with('.') && cause.next.ends_with('.'), "{}", cause.code);
            assert!(cause.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", cause.code);
        }
    }
}
