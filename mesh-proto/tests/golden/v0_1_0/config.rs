//! Values of `mesh.config.v1`.

use mesh_proto::config::v1::{
    AccessLog, AccessLogFormat, AccessLogSink, Ack, Backend, ClientMessage, Destination, Endpoint,
    EndpointState, Endpoints, Filter, GrpcTarget, Header, HeaderEdit, Held, Hello, Holding, HttpTarget,
    InvalidBackend, Lost, Match, MeshSettings, MtlsMode, OutboundMode, ParentRef, PathMatch, PathRewrite,
    PortEndpoints, Protocol, ProxyId, Redirect, Reject, Resource, ResourceKind, Route, RouteKind, Rule,
    ServerMessage, Service, ServicePort, ServiceTarget, Subscribe, Update, UrlRewrite, ValueMatch, Watermark,
    backend, client_message, filter, r#match, path_match, path_rewrite, resource, server_message,
    value_match,
};

use super::{Case, case, text};

fn destination(name: &str) -> Destination {
    Destination { namespace: text("shop"), name: text(name) }
}

fn hello() -> Hello {
    Hello {
        proxy: Some(ProxyId { namespace: text("shop"), workload: text("cart"), instance: text("cart-1") }),
        held: vec![Held { name: text("mesh"), version: text("0123456789abcdef") }],
        destinations: vec![destination("cart"), destination("stock")],
        proxy_version: text("0.1.0"),
        ..Hello::default()
    }
}

fn holding() -> Holding {
    Holding { held: hello().held, ..Holding::default() }
}

fn lost() -> Lost {
    Lost { kind: ResourceKind::Endpoints.into(), for_ms: 4_000, ..Lost::default() }
}

fn subscribe() -> Subscribe {
    Subscribe {
        add: vec![destination("a")],
        remove: vec![destination("b")],
        sequence: 2,
        again: vec![destination("c")],
        holding: Some(holding()),
        ..Subscribe::default()
    }
}

fn ack() -> Ack {
    let reject =
        Reject { resource: text("httproute/shop/r"), field: text("rules[0]"), reason: text("is bad") };
    Ack { nonce: 9, rejects: vec![reject], agreed_stream_ms: 30_001, ..Ack::default() }
}

fn watermark() -> Watermark {
    Watermark {
        revision: 11,
        source_time_ms: 1_700_000_000_001,
        sent_ms: 1_700_000_000_002,
        checksum: 0x0123_4567_89ab_cdef,
        resources: 12,
        stream_ms: 30_001,
        lost: vec![lost()],
        ..Watermark::default()
    }
}

fn update() -> Update {
    Update {
        nonce: 10,
        resources: vec![resource(resource::Body::Mesh(mesh()))],
        removed: vec![text("service/shop/old")],
        unknown: vec![destination("nobody")],
        watermark: Some(watermark()),
        subscription: 3,
        ..Update::default()
    }
}

/// The messages of the stream.
pub(super) fn stream() -> Vec<Case> {
    let client = |message| ClientMessage { message: Some(message), ..ClientMessage::default() };
    let server = |message| ServerMessage { message: Some(message), ..ServerMessage::default() };
    vec![
        case("mesh.config.v1.ClientMessage", client(client_message::Message::Hello(hello()))),
        case(
            "mesh.config.v1.ClientMessage-subscribe",
            client(client_message::Message::Subscribe(subscribe())),
        ),
        case("mesh.config.v1.ClientMessage-ack", client(client_message::Message::Ack(ack()))),
        case("mesh.config.v1.Hello", hello()),
        case("mesh.config.v1.ProxyId", hello().proxy.unwrap()),
        case("mesh.config.v1.Held", hello().held.remove(0)),
        case("mesh.config.v1.Destination", destination("cart")),
        case("mesh.config.v1.Subscribe", subscribe()),
        case("mesh.config.v1.Ack", ack()),
        case("mesh.config.v1.Reject", ack().rejects.remove(0)),
        case("mesh.config.v1.ServerMessage", server(server_message::Message::Update(update()))),
        case(
            "mesh.config.v1.ServerMessage-watermark",
            server(server_message::Message::Watermark(watermark())),
        ),
        case("mesh.config.v1.Update", update()),
        case("mesh.config.v1.Watermark", watermark()),
        case("mesh.config.v1.Holding", holding()),
        case("mesh.config.v1.Lost", lost()),
    ]
}

fn resource(body: resource::Body) -> Resource {
    Resource {
        name: text("some/name"),
        version: text("fedcba9876543210"),
        body: Some(body),
        ..Resource::default()
    }
}

fn mesh() -> MeshSettings {
    MeshSettings {
        trust_domain: text("shop.example"),
        mtls_mode: MtlsMode::Permissive.into(),
        outbound_mode: OutboundMode::RegistryOnly.into(),
        trace_sample_ppm: 10_000,
        access_log: true,
        ..MeshSettings::default()
    }
}

fn access_log(format: AccessLogFormat, sink: AccessLogSink) -> AccessLog {
    AccessLog {
        format: format.into(),
        template: text("{method} {path} {status}"),
        sink: sink.into(),
        path: text("/var/log/mesh/access.log"),
        filter: text("response.code >= 500"),
        request_headers: vec![text("user-agent")],
        response_headers: vec![text("server")],
        success_ppm: 10_000,
        ..AccessLog::default()
    }
}

fn service() -> Service {
    let port = |port, name, protocol: Protocol| ServicePort {
        port,
        name: text(name),
        protocol: protocol.into(),
        ..ServicePort::default()
    };
    Service {
        namespace: text("shop"),
        name: text("cart"),
        ports: vec![
            port(80, "http", Protocol::Http1),
            port(81, "h2", Protocol::Http2),
            port(82, "grpc", Protocol::Grpc),
            port(83, "tcp", Protocol::Tcp),
            port(84, "tls", Protocol::Tls),
            port(85, "any", Protocol::Unspecified),
        ],
        addresses: vec![text("10.1.2.3"), text("fd00::1")],
        ..Service::default()
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        address: text("10.0.0.7:15006"),
        identity: text("spiffe://shop.example/ns/shop/sa/cart"),
        workload_namespace: text("shop"),
        workload: text("cart-v1"),
        zone: text("zone-a"),
        state: EndpointState::Draining.into(),
        ..Endpoint::default()
    }
}

fn endpoints() -> Endpoints {
    let plain =
        Endpoint { address: text("[fd00::2]:80"), state: EndpointState::Ready.into(), ..Endpoint::default() };
    let ports =
        PortEndpoints { service_port: 80, endpoints: vec![endpoint(), plain], ..PortEndpoints::default() };
    Endpoints { namespace: text("shop"), name: text("cart"), ports: vec![ports], ..Endpoints::default() }
}

/// Resources, other than routes in detail.
pub(super) fn resources() -> Vec<Case> {
    vec![
        case("mesh.config.v1.Resource", resource(resource::Body::Mesh(mesh()))),
        case("mesh.config.v1.Resource-service", resource(resource::Body::Service(service()))),
        case("mesh.config.v1.Resource-endpoints", resource(resource::Body::Endpoints(endpoints()))),
        case("mesh.config.v1.Resource-route", resource(resource::Body::Route(route()))),
        case("mesh.config.v1.MeshSettings", mesh()),
        case(
            "mesh.config.v1.MeshSettings-accesslog",
            MeshSettings {
                access_log_settings: Some(access_log(AccessLogFormat::Text, AccessLogSink::File)),
                ..mesh()
            },
        ),
        case("mesh.config.v1.AccessLog", access_log(AccessLogFormat::Json, AccessLogSink::Stdout)),
        case("mesh.config.v1.AccessLog-stderr", access_log(AccessLogFormat::Text, AccessLogSink::Stderr)),
        case("mesh.config.v1.AccessLog-otlp", access_log(AccessLogFormat::Json, AccessLogSink::Otlp)),
        case("mesh.config.v1.Service", service()),
        case("mesh.config.v1.ServicePort", service().ports.remove(0)),
        case("mesh.config.v1.Endpoints", endpoints()),
        case("mesh.config.v1.PortEndpoints", endpoints().ports.remove(0)),
        case("mesh.config.v1.Endpoint", endpoint()),
        case("mesh.config.v1.Endpoint-weight", Endpoint { weight: 3, priority: 2, ..endpoint() }),
    ]
}

fn exact(name: &str) -> ValueMatch {
    ValueMatch { name: text(name), kind: Some(value_match::Kind::Exact(text("1"))), ..ValueMatch::default() }
}

fn regex() -> ValueMatch {
    ValueMatch {
        name: text("r"),
        kind: Some(value_match::Kind::Regex(text("[0-9]+"))),
        ..ValueMatch::default()
    }
}

fn path(kind: path_match::Kind) -> PathMatch {
    PathMatch { kind: Some(kind), ..PathMatch::default() }
}

fn http() -> HttpTarget {
    HttpTarget {
        path: Some(path(path_match::Kind::Prefix(text("/api")))),
        method: text("GET"),
        query: vec![exact("q"), regex()],
        ..HttpTarget::default()
    }
}

fn grpc() -> GrpcTarget {
    GrpcTarget { regex: true, service: text("shop\\.Cart"), method: text("Add"), ..GrpcTarget::default() }
}

fn one_match(target: r#match::Target) -> Match {
    Match { target: Some(target), headers: vec![exact("x"), regex()], ..Match::default() }
}

fn edit() -> HeaderEdit {
    let header = |name| Header { name: text(name), value: text("v"), ..Header::default() };
    HeaderEdit {
        set: vec![header("s")],
        add: vec![header("a")],
        remove: vec![text("r1"), text("r2")],
        ..HeaderEdit::default()
    }
}

fn rewrite(kind: path_rewrite::Kind) -> PathRewrite {
    PathRewrite { kind: Some(kind), ..PathRewrite::default() }
}

fn redirect() -> Redirect {
    Redirect {
        scheme: text("https"),
        hostname: text("example.org"),
        path: Some(rewrite(path_rewrite::Kind::Full(text("/new")))),
        port: 8443,
        status: 308,
        ..Redirect::default()
    }
}

fn url_rewrite() -> UrlRewrite {
    UrlRewrite {
        hostname: text("inner.example"),
        path: Some(rewrite(path_rewrite::Kind::Prefix(text("/v2")))),
        ..UrlRewrite::default()
    }
}

fn filter(filter: filter::Filter) -> Filter {
    Filter { filter: Some(filter), ..Filter::default() }
}

fn backend(target: backend::Target) -> Backend {
    Backend {
        target: Some(target),
        weight: 90,
        filters: vec![filter(filter::Filter::RequestHeaders(edit()))],
        takes: vec![exact("x-group")],
        ..Backend::default()
    }
}

fn target() -> ServiceTarget {
    ServiceTarget { namespace: text("shop"), name: text("cart-v2"), port: 8080, ..ServiceTarget::default() }
}

fn invalid() -> InvalidBackend {
    InvalidBackend {
        reference: text("shop/cart-v9"),
        reason: text("there is no such Service"),
        ..InvalidBackend::default()
    }
}

fn rule() -> Rule {
    Rule {
        name: text("checkout"),
        matches: vec![one_match(r#match::Target::Http(http()))],
        filters: vec![filter(filter::Filter::Rewrite(url_rewrite()))],
        backends: vec![
            backend(backend::Target::Service(target())),
            backend(backend::Target::Invalid(invalid())),
        ],
        request_timeout_ms: Some(5_000),
        backend_request_timeout_ms: Some(2_000),
        ..Rule::default()
    }
}

fn route() -> Route {
    Route {
        kind: RouteKind::Http.into(),
        namespace: text("shop"),
        name: text("cart"),
        parents: vec![ParentRef {
            namespace: text("shop"),
            name: text("cart"),
            port: 80,
            ..ParentRef::default()
        }],
        rules: vec![rule()],
        created: 1_700_000_000,
        origin: text("routes.yaml:12"),
        ..Route::default()
    }
}

/// Routes and their parts.
pub(super) fn routes() -> Vec<Case> {
    let grpc_rule = Rule { matches: vec![one_match(r#match::Target::Grpc(grpc()))], ..Rule::default() };
    vec![
        case("mesh.config.v1.Route", route()),
        case(
            "mesh.config.v1.Route-grpc",
            Route { kind: RouteKind::Grpc.into(), rules: vec![grpc_rule], ..route() },
        ),
        case("mesh.config.v1.ParentRef", route().parents.remove(0)),
        case("mesh.config.v1.Rule", rule()),
        case("mesh.config.v1.Rule-empty", Rule::default()),
        case("mesh.config.v1.Match", one_match(r#match::Target::Http(http()))),
        case("mesh.config.v1.Match-grpc", one_match(r#match::Target::Grpc(grpc()))),
        case("mesh.config.v1.HttpTarget", http()),
        case("mesh.config.v1.PathMatch", path(path_match::Kind::Exact(text("/a")))),
        case("mesh.config.v1.PathMatch-prefix", path(path_match::Kind::Prefix(text("/a")))),
        case("mesh.config.v1.PathMatch-regex", path(path_match::Kind::Regex(text("/a.*")))),
        case("mesh.config.v1.GrpcTarget", grpc()),
        case("mesh.config.v1.ValueMatch", exact("x")),
        case("mesh.config.v1.ValueMatch-regex", regex()),
        case("mesh.config.v1.Filter", filter(filter::Filter::RequestHeaders(edit()))),
        case("mesh.config.v1.Filter-response", filter(filter::Filter::ResponseHeaders(edit()))),
        case("mesh.config.v1.Filter-redirect", filter(filter::Filter::Redirect(redirect()))),
        case("mesh.config.v1.Filter-rewrite", filter(filter::Filter::Rewrite(url_rewrite()))),
        case("mesh.config.v1.HeaderEdit", edit()),
        case("mesh.config.v1.Header", edit().set.remove(0)),
        case("mesh.config.v1.Redirect", redirect()),
        case("mesh.config.v1.UrlRewrite", url_rewrite()),
        case("mesh.config.v1.PathRewrite", rewrite(path_rewrite::Kind::Full(text("/x")))),
        case("mesh.config.v1.PathRewrite-prefix", rewrite(path_rewrite::Kind::Prefix(text("/y")))),
        case("mesh.config.v1.Backend", backend(backend::Target::Service(target()))),
        case("mesh.config.v1.Backend-invalid", backend(backend::Target::Invalid(invalid()))),
        case("mesh.config.v1.ServiceTarget", target()),
        case("mesh.config.v1.InvalidBackend", invalid()),
    ]
}
