//! Values of `mesh.config.v1` that are about policies, and of what came with them.

use mesh_proto::config::v1::{
    AdaptiveConcurrency, AuthenticationPolicy, Balancing, BodyLimits, CircuitBreaker, ClaimHeader, Compare,
    Cors, DirectResponse, Fault, FaultAbort, FaultDelay, Filter, GrpcProbe, HashCookie, HashKey, HashTable,
    Header, HealthCheck, Hedging, HttpProbe, InvalidBackend, JwtIssuer, JwtPolicy, LatencyOutlier,
    LeastRequest, Locality, Mirror, MtlsMode, OutlierDetection, OwnPort, OwnServices, PeakEwma, PolicyTarget,
    PortAuthentication, Protocol, RandomChoice, RateKey, RateKeyPart, RateLimit, RateLimits, RequestTimeouts,
    Resource, Retries, RetryBudget, RetryMethods, RetryOn, RoundRobin, RouteKind, RoutePolicyTarget, Rule,
    RuleRetry, ServicePolicyTarget, ServiceTarget, SessionKind, SessionPersistence, SlowStart, SourceAddress,
    SuccessRate, TcpProbe, TokenHeader, TokenPlace, TrafficPolicy, TrafficSettings, balancing, fault_abort,
    filter, hash_key, health_check, mirror, policy_target, rate_key, resource, token_place,
};

use super::{Case, case, text};

fn header() -> Header {
    Header { name: text("x-tier"), value: text("gold"), ..Header::default() }
}

fn timeouts() -> RequestTimeouts {
    RequestTimeouts {
        request_ms: Some(15_000),
        attempt_ms: Some(5_000),
        idle_ms: Some(60_000),
        stream_ms: Some(3_600_000),
        ..RequestTimeouts::default()
    }
}

fn retries() -> Retries {
    Retries {
        attempts: 3,
        on: vec![
            RetryOn::ConnectFailure.into(),
            RetryOn::RefusedStream.into(),
            RetryOn::Reset.into(),
            RetryOn::AttemptTimeout.into(),
            RetryOn::GatewayError.into(),
            RetryOn::ServerError.into(),
        ],
        statuses: vec![502, 503],
        grpc_statuses: vec![14, 8],
        methods: RetryMethods::All.into(),
        attempt_timeout_ms: Some(2_000),
        backoff_base_ms: 25,
        backoff_most_ms: 250,
        body_bytes: 65_536,
        pushback_ms: Some(1_000),
        ..Retries::default()
    }
}

fn fault() -> Fault {
    let answer = Some(fault_abort::Answer::HttpStatus(503));
    Fault {
        delay: Some(FaultDelay { delay_ms: 100, share_ppm: 500_000, ..FaultDelay::default() }),
        abort: Some(FaultAbort { answer, share_ppm: 10_000, ..FaultAbort::default() }),
        headers: vec![header()],
        ..Fault::default()
    }
}

fn direct_response() -> DirectResponse {
    DirectResponse {
        status: 451,
        body: text("not here"),
        content_type: text("text/plain"),
        ..DirectResponse::default()
    }
}

fn session() -> SessionPersistence {
    SessionPersistence {
        name: text("SESSION"),
        kind: SessionKind::PermanentCookie.into(),
        absolute_timeout_ms: Some(86_400_000),
        idle_timeout_ms: Some(900_000),
        ..SessionPersistence::default()
    }
}

fn rate_key(key: rate_key::Key) -> RateKey {
    RateKey { key: Some(key), ..RateKey::default() }
}

fn rate_limit() -> RateLimit {
    let part = |part: RateKeyPart| rate_key(rate_key::Key::Part(part.into()));
    RateLimit {
        name: text("per-caller"),
        requests: 100,
        per_ms: 1_000,
        burst: 150,
        keys: vec![
            part(RateKeyPart::ClientIdentity),
            part(RateKeyPart::Route),
            part(RateKeyPart::Method),
            rate_key(rate_key::Key::Header(text("x-user"))),
        ],
        headers: vec![header()],
        ..RateLimit::default()
    }
}

fn rate_limits() -> RateLimits {
    RateLimits { limits: vec![rate_limit()], ..RateLimits::default() }
}

fn hash_key(key: hash_key::Key) -> HashKey {
    HashKey { key: Some(key), ..HashKey::default() }
}

fn cookie() -> HashCookie {
    HashCookie { name: text("STICKY"), ttl_ms: Some(60_000), ..HashCookie::default() }
}

fn hash_table(key: hash_key::Key, size: u32) -> HashTable {
    HashTable { key: Some(hash_key(key)), size, bounded_load: Some(1_250), ..HashTable::default() }
}

fn slow_start() -> SlowStart {
    SlowStart { window_ms: 30_000, floor_ppm: 100_000, ..SlowStart::default() }
}

fn balancing(algorithm: balancing::Algorithm) -> Balancing {
    Balancing {
        algorithm: Some(algorithm),
        slow_start: Some(slow_start()),
        locality: Locality::Off.into(),
        panic_threshold_ppm: 400_000,
        max_requests_per_endpoint: Some(64),
        ..Balancing::default()
    }
}

fn circuit_breaker() -> CircuitBreaker {
    CircuitBreaker {
        connections: Some(101),
        pending: Some(102),
        requests: Some(103),
        streams: Some(104),
        retries: Some(5),
        ..CircuitBreaker::default()
    }
}

fn retry_budget() -> RetryBudget {
    RetryBudget { share_ppm: 200_000, min_per_second: 10, window_ms: 10_000, ..RetryBudget::default() }
}

fn success_rate() -> SuccessRate {
    SuccessRate { min_requests: 100, min_endpoints: 5, deviations: 1_900, ..SuccessRate::default() }
}

fn latency() -> LatencyOutlier {
    LatencyOutlier { min_requests: 101, factor: 3_000, ..LatencyOutlier::default() }
}

fn outlier() -> OutlierDetection {
    OutlierDetection {
        consecutive_errors: Some(7),
        interval_ms: 10_001,
        base_ejection_ms: 30_000,
        max_ejection_ms: 300_000,
        max_ejected_ppm: 300_000,
        success_rate: Some(success_rate()),
        latency: Some(latency()),
        ..OutlierDetection::default()
    }
}

fn http_probe() -> HttpProbe {
    HttpProbe {
        path: text("/healthz"),
        host: text("cart.example"),
        first_status: 200,
        last_status: 299,
        ..HttpProbe::default()
    }
}

fn grpc_probe() -> GrpcProbe {
    GrpcProbe { service: text("shop.Cart"), ..GrpcProbe::default() }
}

fn check(probe: health_check::Probe) -> HealthCheck {
    HealthCheck {
        probe: Some(probe),
        interval_ms: 5_000,
        timeout_ms: 1_000,
        unhealthy_after: 3,
        healthy_after: 2,
        ..HealthCheck::default()
    }
}

fn concurrency() -> AdaptiveConcurrency {
    AdaptiveConcurrency { min: 4, max: 512, tolerance: 1_500, queue: 32, ..AdaptiveConcurrency::default() }
}

fn split_key() -> HashKey {
    HashKey { key: Some(hash_key::Key::Header(text("x-user"))), ..HashKey::default() }
}

fn compare() -> Compare {
    Compare {
        headers: vec![text("cache-control")],
        body: true,
        sample_ppm: 100_000,
        twin_ppm: 500_000,
        ignore_paths: vec![text("$.items[*].id")],
        values: true,
        ..Compare::default()
    }
}

fn settings() -> TrafficSettings {
    TrafficSettings {
        timeouts: Some(timeouts()),
        retries: Some(retries()),
        hedging: Some(Hedging { delay_ms: 20, extra: 2, ..Hedging::default() }),
        fault: Some(fault()),
        direct_response: Some(direct_response()),
        bodies: Some(BodyLimits {
            request_bytes: Some(1_048_576),
            response_bytes: Some(2_097_152),
            ..BodyLimits::default()
        }),
        session: Some(session()),
        rate_limits: Some(rate_limits()),
        balancing: Some(balancing(balancing::Algorithm::PeakEwma(PeakEwma::default()))),
        circuit_breaker: Some(circuit_breaker()),
        retry_budget: Some(retry_budget()),
        outlier: Some(outlier()),
        health_check: Some(check(health_check::Probe::Http(http_probe()))),
        connect_timeout_ms: Some(750),
        protocol: Protocol::Http2.into(),
        concurrency: Some(concurrency()),
        split: Some(split_key()),
        compare: Some(compare()),
        ..TrafficSettings::default()
    }
}

fn service_target() -> ServicePolicyTarget {
    ServicePolicyTarget {
        namespace: text("shop"),
        name: text("cart"),
        port: 81,
        ..ServicePolicyTarget::default()
    }
}

fn route_target() -> RoutePolicyTarget {
    RoutePolicyTarget {
        kind: RouteKind::Grpc.into(),
        namespace: text("shop"),
        name: text("cart-route"),
        rule: text("checkout"),
        ..RoutePolicyTarget::default()
    }
}

fn target(target: policy_target::Target) -> PolicyTarget {
    PolicyTarget { target: Some(target), ..PolicyTarget::default() }
}

fn policy() -> TrafficPolicy {
    TrafficPolicy {
        namespace: text("shop"),
        name: text("cart-policy"),
        targets: vec![
            target(policy_target::Target::Service(service_target())),
            target(policy_target::Target::Route(route_target())),
        ],
        created: 1_700_000_003,
        origin: text("policies.yaml:4"),
        settings: Some(settings()),
        ..TrafficPolicy::default()
    }
}

fn own_port() -> OwnPort {
    OwnPort {
        address: text("10.0.0.7:8080"),
        namespace: text("shop"),
        name: text("cart"),
        port: 80,
        ..OwnPort::default()
    }
}

fn port_authentication() -> PortAuthentication {
    PortAuthentication {
        port: 9090,
        mtls_mode: MtlsMode::Disabled.into(),
        mtls_source: text("AuthenticationPolicy shop/scraped"),
        ..PortAuthentication::default()
    }
}

fn authentication() -> AuthenticationPolicy {
    AuthenticationPolicy {
        mtls_mode: MtlsMode::Permissive.into(),
        mtls_source: text("MeshConfig default"),
        ports: vec![port_authentication()],
        jwt: Some(jwt()),
        ..AuthenticationPolicy::default()
    }
}

fn jwt() -> JwtPolicy {
    JwtPolicy {
        source: text("AuthenticationPolicy shop/users"),
        required: true,
        ports: vec![8080],
        issuers: vec![jwt_issuer()],
        ..JwtPolicy::default()
    }
}

fn jwt_issuer() -> JwtIssuer {
    JwtIssuer {
        issuer: text("https://issuer.example"),
        audiences: vec![text("shop")],
        jwks: text(r#"{"keys":[]}"#),
        from: vec![token_place(token_place::Place::Header(token_header()))],
        forward: true,
        claim_headers: vec![claim_header()],
        ..JwtIssuer::default()
    }
}

fn token_place(place: token_place::Place) -> TokenPlace {
    TokenPlace { place: Some(place), ..TokenPlace::default() }
}

fn token_header() -> TokenHeader {
    TokenHeader { name: text("authorization"), prefix: text("Bearer "), ..TokenHeader::default() }
}

fn claim_header() -> ClaimHeader {
    ClaimHeader { header: text("x-user"), claim: text("/user/id"), ..ClaimHeader::default() }
}

fn own() -> OwnServices {
    OwnServices { ports: vec![own_port()], ..OwnServices::default() }
}

fn resource(body: resource::Body) -> Resource {
    Resource {
        name: text("some/name"),
        version: text("fedcba9876543210"),
        body: Some(body),
        ..Resource::default()
    }
}

fn filter(filter: filter::Filter) -> Filter {
    Filter { filter: Some(filter), ..Filter::default() }
}

fn mirror(target: mirror::Target) -> Mirror {
    Mirror { target: Some(target), share_ppm: 250_000, compare: Some(compare()), ..Mirror::default() }
}

fn mirror_to_service() -> Mirror {
    mirror(mirror::Target::Service(ServiceTarget {
        namespace: text("shop"),
        name: text("cart-shadow"),
        port: 8_081,
        ..ServiceTarget::default()
    }))
}

fn cors() -> Cors {
    Cors {
        allow_origins: vec![text("https://*.example.com")],
        allow_credentials: true,
        allow_methods: vec![text("PUT")],
        allow_headers: vec![text("x-token")],
        expose_headers: vec![text("x-total")],
        max_age_ms: 600_000,
        ..Cors::default()
    }
}

fn rule_retry() -> RuleRetry {
    RuleRetry { statuses: vec![500, 504], attempts: Some(4), backoff_ms: Some(100), ..RuleRetry::default() }
}

/// Settings of policies about requests.
pub(super) fn of_requests() -> Vec<Case> {
    vec![
        case("mesh.config.v1.RequestTimeouts", timeouts()),
        case("mesh.config.v1.Retries", retries()),
        case("mesh.config.v1.Hedging", settings().hedging.unwrap()),
        case("mesh.config.v1.Fault", fault()),
        case("mesh.config.v1.FaultDelay", fault().delay.unwrap()),
        case("mesh.config.v1.FaultAbort", fault().abort.unwrap()),
        case(
            "mesh.config.v1.FaultAbort-grpc",
            FaultAbort { answer: Some(fault_abort::Answer::GrpcStatus(14)), ..fault().abort.unwrap() },
        ),
        case("mesh.config.v1.DirectResponse", direct_response()),
        case("mesh.config.v1.Compare", compare()),
        case("mesh.config.v1.BodyLimits", settings().bodies.unwrap()),
        case("mesh.config.v1.SessionPersistence", session()),
        case("mesh.config.v1.RateLimits", rate_limits()),
        case("mesh.config.v1.RateLimit", rate_limit()),
        case("mesh.config.v1.RateKey", rate_key(rate_key::Key::Part(RateKeyPart::Route.into()))),
        case("mesh.config.v1.RateKey-header", rate_key(rate_key::Key::Header(text("x-user")))),
    ]
}

/// Settings of policies about backends.
pub(super) fn of_backends() -> Vec<Case> {
    use balancing::Algorithm as A;
    let least = || LeastRequest { choices: 3, ..LeastRequest::default() };
    let ring = || hash_table(hash_key::Key::Header(text("x-user")), 1_024);
    let maglev = || hash_table(hash_key::Key::Cookie(cookie()), 65_537);
    vec![
        case("mesh.config.v1.Balancing", balancing(A::PeakEwma(PeakEwma::default()))),
        case("mesh.config.v1.Balancing-least-request", balancing(A::LeastRequest(least()))),
        case("mesh.config.v1.Balancing-round-robin", balancing(A::RoundRobin(RoundRobin::default()))),
        case("mesh.config.v1.Balancing-random", balancing(A::Random(RandomChoice::default()))),
        case("mesh.config.v1.Balancing-ring-hash", balancing(A::RingHash(ring()))),
        case("mesh.config.v1.Balancing-maglev", balancing(A::Maglev(maglev()))),
        case("mesh.config.v1.PeakEwma", PeakEwma::default()),
        case("mesh.config.v1.LeastRequest", least()),
        case("mesh.config.v1.RoundRobin", RoundRobin::default()),
        case("mesh.config.v1.RandomChoice", RandomChoice::default()),
        case("mesh.config.v1.HashTable", ring()),
        case("mesh.config.v1.HashKey", hash_key(hash_key::Key::Header(text("x-user")))),
        case("mesh.config.v1.HashKey-cookie", hash_key(hash_key::Key::Cookie(cookie()))),
        case(
            "mesh.config.v1.HashKey-source",
            hash_key(hash_key::Key::SourceAddress(SourceAddress::default())),
        ),
        case("mesh.config.v1.HashCookie", cookie()),
        case("mesh.config.v1.SourceAddress", SourceAddress::default()),
        case("mesh.config.v1.SlowStart", slow_start()),
        case("mesh.config.v1.CircuitBreaker", circuit_breaker()),
        case("mesh.config.v1.RetryBudget", retry_budget()),
        case("mesh.config.v1.OutlierDetection", outlier()),
        case("mesh.config.v1.SuccessRate", success_rate()),
        case("mesh.config.v1.LatencyOutlier", latency()),
        case("mesh.config.v1.HealthCheck", check(health_check::Probe::Http(http_probe()))),
        case("mesh.config.v1.HealthCheck-grpc", check(health_check::Probe::Grpc(grpc_probe()))),
        case("mesh.config.v1.HealthCheck-tcp", check(health_check::Probe::Tcp(TcpProbe::default()))),
        case("mesh.config.v1.HttpProbe", http_probe()),
        case("mesh.config.v1.GrpcProbe", grpc_probe()),
        case("mesh.config.v1.TcpProbe", TcpProbe::default()),
        case("mesh.config.v1.AdaptiveConcurrency", concurrency()),
    ]
}

/// Policies, what a workload serves, and what rules have beside matches and backends.
pub(super) fn policies() -> Vec<Case> {
    let invalid = InvalidBackend {
        reference: text("shop/cart-v9"),
        reason: text("there is no such Service"),
        ..InvalidBackend::default()
    };
    let rule = Rule { retry: Some(rule_retry()), session: Some(session()), ..Rule::default() };
    vec![
        case("mesh.config.v1.Resource-policy", resource(resource::Body::Policy(policy()))),
        case("mesh.config.v1.Resource-own", resource(resource::Body::Own(own()))),
        case("mesh.config.v1.TrafficPolicy", policy()),
        case("mesh.config.v1.TrafficSettings", settings()),
        case("mesh.config.v1.TrafficSettings-empty", TrafficSettings::default()),
        case("mesh.config.v1.PolicyTarget", target(policy_target::Target::Service(service_target()))),
        case("mesh.config.v1.PolicyTarget-route", target(policy_target::Target::Route(route_target()))),
        case("mesh.config.v1.ServicePolicyTarget", service_target()),
        case("mesh.config.v1.RoutePolicyTarget", route_target()),
        case(
            "mesh.config.v1.Resource-authentication",
            resource(resource::Body::Authentication(authentication())),
        ),
        case("mesh.config.v1.AuthenticationPolicy", authentication()),
        case("mesh.config.v1.PortAuthentication", port_authentication()),
        case("mesh.config.v1.JwtPolicy", jwt()),
        case("mesh.config.v1.JwtIssuer", jwt_issuer()),
        case("mesh.config.v1.TokenPlace", token_place(token_place::Place::Header(token_header()))),
        case("mesh.config.v1.TokenPlace-cookie", token_place(token_place::Place::Cookie(text("session")))),
        case("mesh.config.v1.TokenPlace-query", token_place(token_place::Place::Query(text("access_token")))),
        case("mesh.config.v1.TokenHeader", token_header()),
        case("mesh.config.v1.ClaimHeader", claim_header()),
        case("mesh.config.v1.OwnServices", own()),
        case("mesh.config.v1.OwnPort", own_port()),
        case("mesh.config.v1.RuleRetry", rule_retry()),
        case("mesh.config.v1.Rule-policies", rule),
        case("mesh.config.v1.Filter-mirror", filter(filter::Filter::Mirror(mirror_to_service()))),
        case("mesh.config.v1.Filter-cors", filter(filter::Filter::Cors(cors()))),
        case("mesh.config.v1.Mirror", mirror_to_service()),
        case("mesh.config.v1.Mirror-invalid", mirror(mirror::Target::Invalid(invalid))),
        case("mesh.config.v1.Cors", cors()),
    ]
}
