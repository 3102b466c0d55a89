//! What is refused, and with which words; which unknown values have a default; what counts for a version.

mod addresses;
mod authentication;
mod authorization;
mod externals;
mod policies;
mod streams;

use mesh_model::access_log::AccessLog;
use mesh_model::endpoint::EndpointState;
use mesh_model::route::{GrpcMatch, PathMatch, Pattern, Target, TextMatch, Timeouts};
use mesh_model::settings::{MtlsMode, OutboundMode};

use super::*;
use crate::config::v1 as wire;

#[expect(clippy::unnecessary_wraps, reason = "every use takes an option")]
fn exact(text: &str) -> Option<wire::value_match::Kind> {
    Some(wire::value_match::Kind::Exact(text.to_owned()))
}

/// A route with a bit of everything.
fn good() -> wire::Route {
    let http = wire::HttpTarget {
        path: Some(wire::PathMatch { kind: Some(wire::path_match::Kind::Prefix("/a".to_owned())) }),
        method: "GET".to_owned(),
        query: vec![wire::ValueMatch { name: "p".to_owned(), kind: exact("1") }],
    };
    let header = wire::Header { name: "x".to_owned(), value: "1".to_owned() };
    let edit =
        wire::HeaderEdit { set: vec![header.clone()], add: vec![header], remove: vec!["y".to_owned()] };
    let rewrite = wire::PathRewrite { kind: Some(wire::path_rewrite::Kind::Full("/b".to_owned())) };
    let redirect = wire::Redirect { status: 301, path: Some(rewrite.clone()), ..wire::Redirect::default() };
    let service = wire::ServiceTarget { namespace: "shop".to_owned(), name: "cart-v1".to_owned(), port: 80 };
    let filters = vec![
        wire::Filter { filter: Some(wire::filter::Filter::RequestHeaders(edit)) },
        wire::Filter { filter: Some(wire::filter::Filter::Redirect(redirect)) },
        wire::Filter {
            filter: Some(wire::filter::Filter::Rewrite(wire::UrlRewrite {
                hostname: "a.example".to_owned(),
                path: Some(rewrite),
            })),
        },
    ];
    let rule = wire::Rule {
        matches: vec![wire::Match {
            target: Some(wire::r#match::Target::Http(http)),
            headers: vec![wire::ValueMatch { name: "V".to_owned(), kind: exact("2") }],
        }],
        filters,
        backends: vec![wire::Backend {
            target: Some(wire::backend::Target::Service(service)),
            weight: 1,
            filters: Vec::new(),
            takes: Vec::new(),
        }],
        ..wire::Rule::default()
    };
    wire::Route {
        kind: wire::RouteKind::Http.into(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        parents: vec![wire::ParentRef { namespace: "shop".to_owned(), name: "cart".to_owned(), port: 0 }],
        rules: vec![rule.clone(), rule],
        created: 7,
        origin: "routes.yaml:3".to_owned(),
    }
}

fn resource(name: &str, body: wire::resource::Body) -> wire::Resource {
    wire::Resource { name: name.to_owned(), version: String::new(), body: Some(body) }
}

fn decode_route(route: wire::Route) -> Result<Route, Invalid> {
    match decode(resource("httproute/shop/cart", wire::resource::Body::Route(route)))? {
        ModelResource::Route(route) => Ok(route),
        other => panic!("a route became {other:?}"),
    }
}

/// Field and reason of the refusal after a change to the good route.
fn refused(change: impl FnOnce(&mut wire::Route)) -> (String, String) {
    let mut route = good();
    change(&mut route);
    let invalid = decode_route(route).expect_err("the change makes it invalid");
    assert_eq!(invalid.resource, "httproute/shop/cart");
    (invalid.field, invalid.reason)
}

fn http(rule: &mut wire::Rule) -> &mut wire::HttpTarget {
    match rule.matches[0].target.as_mut().unwrap() {
        wire::r#match::Target::Http(target) => target,
        wire::r#match::Target::Grpc(_) => panic!("the good route is an HTTPRoute"),
    }
}

fn set_filter(route: &mut wire::Route, filter: wire::filter::Filter) {
    route.rules[0].filters[0].filter = Some(filter);
}

#[test]
fn the_good_route_is_good() {
    let route = decode_route(good()).unwrap();
    assert_eq!(route.rules[0].matches[0].headers[0].name, "v", "names of headers become lower case");
}

#[test]
fn a_refusal_names_resource_field_and_reason() {
    let mut route = good();
    route.rules[1].backends[0].weight = 1_000_001;
    assert_eq!(
        decode_route(route).unwrap_err().to_string(),
        "`httproute/shop/cart`: field `rules[1].backends[0].weight` is 1000001, more than 1000000"
    );
}

type Change = fn(&mut wire::Route);

#[test]
fn bad_fields_are_named_by_their_path() {
    let changes: &[(&str, Change)] = &[
        ("kind", |r| r.kind = 0),
        ("kind", |r| r.kind = 99),
        ("namespace", |r| r.namespace = "Shop".to_owned()),
        ("name", |r| r.name = String::new()),
        ("name", |r| r.name = "other".to_owned()),
        ("parents[0].name", |r| r.parents[0].name = "a_b".to_owned()),
        ("parents[0].port", |r| r.parents[0].port = 65_536),
        ("origin", |r| r.origin = "x".repeat(bounds::TEXT + 1)),
        ("rules[1].matches", |r| r.rules[1].matches.clear()),
        ("rules[0].matches[0].target", |r| r.rules[0].matches[0].target = None),
        ("rules[0].matches[0].target", |r| {
            r.rules[0].matches[0].target = Some(wire::r#match::Target::Grpc(wire::GrpcTarget::default()));
        }),
        ("rules[0].matches[0].http.path", |r| {
            http(&mut r.rules[0]).path = Some(wire::PathMatch { kind: None });
        }),
        ("rules[0].matches[0].http.path", |r| {
            http(&mut r.rules[0]).path =
                Some(wire::PathMatch { kind: Some(wire::path_match::Kind::Exact("a".to_owned())) });
        }),
        ("rules[0].matches[0].http.path", |r| {
            http(&mut r.rules[0]).path =
                Some(wire::PathMatch { kind: Some(wire::path_match::Kind::Regex("a)|(b".to_owned())) });
        }),
        ("rules[0].matches[0].http.query[0].name", |r| http(&mut r.rules[0]).query[0].name.clear()),
        ("rules[0].matches[0].http.query[0]", |r| http(&mut r.rules[0]).query[0].kind = None),
        ("rules[0].matches[0].http.query[0].exact", |r| {
            http(&mut r.rules[0]).query[0].kind = exact(&"x".repeat(bounds::TEXT + 1));
        }),
        ("rules[0].matches[0].headers[0].name", |r| r.rules[0].matches[0].headers[0].name = "a b".to_owned()),
        ("rules[0].matches[0].headers[0].regex", |r| {
            r.rules[0].matches[0].headers[0].kind = Some(wire::value_match::Kind::Regex("(".to_owned()));
        }),
        ("rules[0].filters[0]", |r| r.rules[0].filters[0].filter = None),
        ("rules[0].request_timeout_ms", |r| r.rules[0].request_timeout_ms = Some(u64::MAX)),
        ("rules[0].backend_request_timeout_ms", |r| r.rules[0].backend_request_timeout_ms = Some(u64::MAX)),
        ("rules[0].backends[0].target", |r| r.rules[0].backends[0].target = None),
        ("rules[0].backends[0].weight", |r| r.rules[0].backends[0].weight = u32::MAX),
        ("rules[0].backends[0].filters[0]", |r| {
            r.rules[0].backends[0].filters.push(wire::Filter { filter: None });
        }),
        ("rules[0].backends[0].service.port", |r| {
            r.rules[0].backends[0].target = Some(wire::backend::Target::Service(wire::ServiceTarget {
                namespace: "shop".to_owned(),
                name: "cart".to_owned(),
                port: 0,
            }));
        }),
    ];
    for (at, (field, change)) in changes.iter().enumerate() {
        assert_eq!(refused(change).0, *field, "change number {at}");
    }
}

#[test]
fn bad_filters_are_named_by_their_path() {
    let header = |name: &str, value: &str| wire::HeaderEdit {
        add: vec![wire::Header { name: name.to_owned(), value: value.to_owned() }],
        ..wire::HeaderEdit::default()
    };
    let path = |kind| Some(wire::PathRewrite { kind });
    let redirect = wire::Redirect::default;
    use wire::filter::Filter as F;
    for (field, filter) in [
        ("request_headers.add[0].name", F::RequestHeaders(header("", "1"))),
        ("request_headers.add[0].name", F::RequestHeaders(header(":path", "1"))),
        ("request_headers.add[0].name", F::RequestHeaders(header("a\r\nb", "1"))),
        ("response_headers.add[0].value", F::ResponseHeaders(header("a", "1\r\nset-cookie: x"))),
        ("response_headers.add[0].value", F::ResponseHeaders(header("a", "\0"))),
        ("redirect.status", F::Redirect(wire::Redirect { status: 200, ..redirect() })),
        ("redirect.scheme", F::Redirect(wire::Redirect { scheme: "javascript".to_owned(), ..redirect() })),
        ("redirect.hostname", F::Redirect(wire::Redirect { hostname: "a/b".to_owned(), ..redirect() })),
        ("redirect.hostname", F::Redirect(wire::Redirect { hostname: "a\r\nb".to_owned(), ..redirect() })),
        ("redirect.port", F::Redirect(wire::Redirect { port: 70_000, ..redirect() })),
        ("redirect.path", F::Redirect(wire::Redirect { path: path(None), ..redirect() })),
        (
            "redirect.path.full",
            F::Redirect(wire::Redirect {
                path: path(Some(wire::path_rewrite::Kind::Full("/a b".to_owned()))),
                ..redirect()
            }),
        ),
        (
            "rewrite.path.prefix",
            F::Rewrite(wire::UrlRewrite {
                hostname: String::new(),
                path: path(Some(wire::path_rewrite::Kind::Prefix("/a?b".to_owned()))),
            }),
        ),
        ("rewrite.hostname", F::Rewrite(wire::UrlRewrite { hostname: "a:80".to_owned(), path: None })),
    ] {
        let (at, _) = refused(|route| set_filter(route, filter));
        assert_eq!(at, format!("rules[0].filters[0].{field}"));
    }
}

#[test]
fn lists_beyond_their_bound_are_refused_whole() {
    let changes: &[(&str, Change)] = &[
        ("parents", |r| r.parents = vec![r.parents[0].clone(); bounds::PARENTS + 1]),
        ("rules", |r| r.rules = vec![r.rules[0].clone(); bounds::RULES + 1]),
        ("rules[0].matches", |r| {
            r.rules[0].matches = vec![r.rules[0].matches[0].clone(); bounds::MATCHES + 1];
        }),
        ("rules[0].filters", |r| {
            r.rules[0].filters = vec![r.rules[0].filters[0].clone(); bounds::FILTERS + 1];
        }),
        ("rules[0].backends", |r| {
            r.rules[0].backends = vec![r.rules[0].backends[0].clone(); bounds::BACKENDS + 1];
        }),
        ("rules[0].matches[0].headers", |r| {
            let headers = &mut r.rules[0].matches[0].headers;
            *headers = vec![headers[0].clone(); bounds::CONDITIONS + 1];
        }),
        ("rules[0].matches[0].http.query", |r| {
            let query = &mut http(&mut r.rules[0]).query;
            *query = vec![query[0].clone(); bounds::CONDITIONS + 1];
        }),
        ("rules[0].filters[0].request_headers.remove", |r| {
            let remove = vec!["a".to_owned(); bounds::EDITS + 1];
            set_filter(
                r,
                wire::filter::Filter::RequestHeaders(wire::HeaderEdit {
                    remove,
                    ..wire::HeaderEdit::default()
                }),
            );
        }),
    ];
    for (field, change) in changes {
        let (at, reason) = refused(change);
        assert_eq!(at, *field);
        assert!(reason.contains("entries, more than"), "{reason}");
    }
    // At the bound it is still taken.
    let mut route = good();
    route.rules = vec![route.rules[0].clone(); bounds::RULES];
    assert!(decode_route(route).is_ok());
}

#[test]
fn a_service_has_at_most_so_many_endpoints_over_all_ports() {
    let endpoint = wire::Endpoint { address: "10.0.0.1:80".to_owned(), ..wire::Endpoint::default() };
    let half = wire::PortEndpoints { service_port: 80, endpoints: vec![endpoint; bounds::ENDPOINTS / 2 + 1] };
    let all = wire::Endpoints {
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        ports: vec![half.clone(), half],
    };
    let invalid = decode(resource("endpoints/shop/cart", wire::resource::Body::Endpoints(all))).unwrap_err();
    assert_eq!(
        (invalid.field.as_str(), invalid.reason.as_str()),
        ("ports", "have 50002 endpoints, more than 50000")
    );
}

fn decode_endpoint(endpoint: wire::Endpoint) -> Result<mesh_model::endpoint::Endpoint, Invalid> {
    let ports = vec![wire::PortEndpoints { service_port: 80, endpoints: vec![endpoint] }];
    let all = wire::Endpoints { namespace: "shop".to_owned(), name: "cart".to_owned(), ports };
    match decode(resource("endpoints/shop/cart", wire::resource::Body::Endpoints(all)))? {
        ModelResource::Endpoints(all) => Ok(all.port(80)[0].clone()),
        other => panic!("endpoints became {other:?}"),
    }
}

#[test]
fn an_endpoint_whose_identity_cannot_be_read_is_refused_and_not_plaintext() {
    let endpoint = || wire::Endpoint { address: "10.0.0.1:80".to_owned(), ..wire::Endpoint::default() };
    assert!(decode_endpoint(endpoint()).is_ok());
    for (field, endpoint) in [
        ("identity", wire::Endpoint { identity: "spiffe://td/other/shape".to_owned(), ..endpoint() }),
        ("identity", wire::Endpoint { identity: " ".to_owned(), ..endpoint() }),
        ("address", wire::Endpoint { address: "cart:80".to_owned(), ..endpoint() }),
        ("address", wire::Endpoint { address: "10.0.0.1:0".to_owned(), ..endpoint() }),
        ("workload", wire::Endpoint { workload: "a".to_owned(), ..endpoint() }),
    ] {
        assert_eq!(decode_endpoint(endpoint).unwrap_err().field, format!("ports[0].endpoints[0].{field}"));
    }
}

#[test]
fn an_unknown_endpoint_state_counts_as_draining() {
    for (state, expected) in [
        (0, EndpointState::Ready),
        (1, EndpointState::Ready),
        (2, EndpointState::Draining),
        (3, EndpointState::Draining),
        (-1, EndpointState::Draining),
    ] {
        let endpoint =
            wire::Endpoint { address: "10.0.0.1:80".to_owned(), state, ..wire::Endpoint::default() };
        assert_eq!(decode_endpoint(endpoint).unwrap().state, expected, "{state}");
    }
}

fn decode_mesh(mtls_mode: i32, outbound_mode: i32) -> Result<MeshSettings, Invalid> {
    let settings = wire::MeshSettings {
        trust_domain: "td".to_owned(),
        mtls_mode,
        outbound_mode,
        ..wire::MeshSettings::default()
    };
    match decode(resource("mesh", wire::resource::Body::Mesh(settings)))? {
        ModelResource::Mesh(settings) => Ok(settings),
        other => panic!("settings became {other:?}"),
    }
}

#[test]
fn an_access_log_that_is_not_understood_is_refused_with_its_field() {
    let decode_log = |log: Option<wire::AccessLog>| {
        let settings = wire::MeshSettings {
            trust_domain: "td".to_owned(),
            access_log: true,
            access_log_settings: log,
            ..wire::MeshSettings::default()
        };
        match decode(resource("mesh", wire::resource::Body::Mesh(settings)))? {
            ModelResource::Mesh(settings) => Ok::<_, Invalid>(settings.access_log),
            other => panic!("settings became {other:?}"),
        }
    };
    assert_eq!(decode_log(None), Ok(Some(AccessLog::default())), "of a controller that knows no more");
    let log = || wire::AccessLog { success_ppm: 1_000_000, ..wire::AccessLog::default() };
    assert_eq!(decode_log(Some(log())), Ok(Some(AccessLog::default())));
    for (log, field) in [
        (wire::AccessLog { format: 9, ..log() }, "access_log_settings.format"),
        (wire::AccessLog { sink: 9, ..log() }, "access_log_settings.sink"),
        (wire::AccessLog { sink: 3, path: "a".into(), ..log() }, "access_log_settings.path"),
        (wire::AccessLog { format: 2, template: "{no}".into(), ..log() }, "access_log_settings.template"),
        (wire::AccessLog { filter: "jwt.claims.a == 1".into(), ..log() }, "access_log_settings.filter"),
        (wire::AccessLog { success_ppm: 1_000_001, ..log() }, "access_log_settings.success_ppm"),
        (
            wire::AccessLog { request_headers: vec!["a".into(), "a b".into()], ..log() },
            "access_log_settings.request_headers[1]",
        ),
        (
            wire::AccessLog { response_headers: vec!["a".into(); 17], ..log() },
            "access_log_settings.response_headers",
        ),
    ] {
        assert_eq!(decode_log(Some(log)).unwrap_err().field, field);
    }
}

#[test]
fn an_override_of_the_access_log_that_is_not_understood_is_refused_with_its_field() {
    let over = || wire::AccessLogOverride { enabled: true, ..wire::AccessLogOverride::default() };
    let unknown = Some(wire::AccessLog { sink: 9, ..wire::AccessLog::default() });
    for (over, field) in [
        (wire::AccessLogOverride { settings: unknown, ..over() }, "access_log_overrides[1].settings.sink"),
        (
            wire::AccessLogOverride { namespaces: vec![String::new()], ..over() },
            "access_log_overrides[1].namespaces[0]",
        ),
        (
            wire::AccessLogOverride { workloads: vec!["a".into(); 65], ..over() },
            "access_log_overrides[1].workloads",
        ),
    ] {
        let settings = wire::MeshSettings {
            trust_domain: "td".to_owned(),
            access_log_overrides: vec![wire::AccessLogOverride::default(), over],
            ..wire::MeshSettings::default()
        };
        let refused = decode(resource("mesh", wire::resource::Body::Mesh(settings))).unwrap_err();
        assert_eq!(refused.field, field);
    }
}

#[test]
fn an_unknown_mode_is_refused_and_an_unspecified_one_is_the_default() {
    let settings = decode_mesh(0, 0).unwrap();
    assert_eq!((settings.mtls_mode, settings.outbound_mode), (MtlsMode::Strict, OutboundMode::AllowAny));
    for mode in [4, 99, -1] {
        assert_eq!(decode_mesh(mode, 0).unwrap_err().field, "mtls_mode");
        assert_eq!(decode_mesh(0, mode).unwrap_err().field, "outbound_mode");
    }
    assert_eq!(
        decode_mesh(4, 0).unwrap_err().to_string(),
        "`mesh`: field `mtls_mode` has the value 4, which this version does not know"
    );
}

#[test]
fn an_unknown_protocol_counts_as_not_declared() {
    for protocol in [0, 6, -1] {
        let ports = vec![wire::ServicePort { port: 80, name: String::new(), protocol }];
        let service = wire::Service {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            ports,
            addresses: Vec::new(),
            headless: false,
        };
        let ModelResource::Service(service) =
            decode(resource("service/shop/cart", wire::resource::Body::Service(service))).unwrap()
        else {
            panic!("a service became something else")
        };
        assert_eq!(service.ports[0].protocol, None);
    }
}

#[test]
fn a_resource_without_content_or_with_the_name_of_another_is_refused() {
    let nothing = wire::Resource { name: "mesh".to_owned(), version: String::new(), body: None };
    assert_eq!(decode(nothing).unwrap_err().field, "body");
    let invalid = decode(resource("grpcroute/shop/cart", wire::resource::Body::Route(good()))).unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "`grpcroute/shop/cart`: field `name` should be `httproute/shop/cart`, after the content"
    );
}

#[test]
fn endpoints_come_out_sorted_and_without_duplicates() {
    let endpoint =
        |address: &str| wire::Endpoint { address: address.to_owned(), ..wire::Endpoint::default() };
    let endpoints = ["10.0.0.2:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.1:80"].map(endpoint).to_vec();
    let ports = vec![wire::PortEndpoints { service_port: 80, endpoints }];
    let all = wire::Endpoints { namespace: "shop".to_owned(), name: "cart".to_owned(), ports };
    let ModelResource::Endpoints(all) =
        decode(resource("endpoints/shop/cart", wire::resource::Body::Endpoints(all))).unwrap()
    else {
        panic!("endpoints became something else")
    };
    let addresses: Vec<String> = all.port(80).iter().map(|endpoint| endpoint.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]);
}

#[test]
fn prefixes_lose_their_trailing_slash_and_an_absent_path_fits_everything() {
    for (path, expected) in [(None, "/"), (Some("/"), "/"), (Some("/a/"), "/a")] {
        let mut route = good();
        http(&mut route.rules[0]).path = path.map(|path: &str| wire::PathMatch {
            kind: Some(wire::path_match::Kind::Prefix(path.to_owned())),
        });
        let route = decode_route(route).unwrap();
        let Target::Http { path, .. } = &route.rules[0].matches[0].target else { panic!("not HTTP") };
        assert_eq!(*path, PathMatch::Prefix(expected.to_owned()));
    }
}

#[test]
fn a_timeout_of_zero_is_told_from_none_and_a_fraction_of_a_millisecond_stays_a_limit() {
    let mut route = good();
    (route.rules[0].request_timeout_ms, route.rules[0].backend_request_timeout_ms) = (Some(0), None);
    let mut route = decode_route(route).unwrap();
    let zero = Some(std::time::Duration::ZERO);
    assert_eq!(route.rules[0].timeouts, Timeouts { request: zero, backend_request: None });
    assert_eq!(encode::route(&route).rules[0].request_timeout_ms, Some(0));
    route.rules[0].timeouts.request = Some(std::time::Duration::from_micros(1));
    assert_eq!(encode::route(&route).rules[0].request_timeout_ms, Some(1));
}

#[test]
fn a_match_that_mixes_text_and_expression_is_sent_as_two_expressions() {
    let mut route = decode_route(good()).unwrap();
    route.id.kind = mesh_model::route::RouteKind::Grpc;
    route.rules.truncate(1);
    route.rules[0].matches[0].target = Target::Grpc(GrpcMatch {
        service: Some(TextMatch::Exact("shop.Cart".to_owned())),
        method: Some(TextMatch::Regex(Pattern::new("A.*").unwrap())),
    });
    let ModelResource::Route(route) = decode(encode(&ModelResource::Route(route))).unwrap() else {
        panic!("no route")
    };
    let Target::Grpc(call) = &route.rules[0].matches[0].target else { panic!("not gRPC") };
    assert!(call.fits("/shop.Cart/Add") && !call.fits("/shopxCart/Add") && !call.fits("/shop.Cart/Buy"));
}

#[test]
fn names_are_those_of_the_contract() {
    let route = decode_route(good()).unwrap();
    assert_eq!(ModelResource::Route(route).name(), "httproute/shop/cart");
    assert_eq!(ModelResource::Mesh(decode_mesh(1, 1).unwrap()).name(), "mesh");
    let service = mesh_model::name::ServiceName::new("shop", "cart").unwrap();
    let endpoints = Endpoints { service: service.clone(), ports: Vec::new() };
    assert_eq!(ModelResource::Endpoints(endpoints).name(), "endpoints/shop/cart");
    let service = Service { name: service, ports: Vec::new(), addresses: Vec::new(), headless: false };
    assert_eq!(ModelResource::Service(service).name(), "service/shop/cart");
}

#[test]
fn a_version_is_of_the_meaning() {
    let route = decode_route(good()).unwrap();
    let version = |change: fn(&mut Route)| {
        let mut route = route.clone();
        change(&mut route);
        ModelResource::Route(route).version()
    };
    let own = version(|_| ());
    assert_eq!(own.len(), 16);
    assert_eq!(
        version(|r| r.origin = "elsewhere.yaml:99".to_owned()),
        own,
        "where it was read means nothing"
    );
    assert_ne!(version(|r| r.created = 8), own, "age decides between equals");
    assert_ne!(version(|r| r.rules[0].backends[0].weight = 2), own);
    // Fixed: proxies compare what they hold with what a controller of another build sends.
    assert_eq!(ModelResource::Mesh(decode_mesh(1, 1).unwrap()).version(), "0cdf350c373aa9c8");
}
