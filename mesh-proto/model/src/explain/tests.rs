//! Explanations as tables, and that they say what the table decides.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::name::Name;
use crate::route::{Cors, HeaderEdit, Mirror, PathRewrite, Redirect, RouteKind, Rule, Timeouts, UrlRewrite};
use crate::sample::{Head, backend, cart, grpc, http, http_route, route, rule};
use crate::traffic::{CircuitBreaker, PolicyTarget, Ppm, RequestTimeouts, TrafficSettings};

fn ask(routes: &[Arc<Route>], policies: &[Arc<TrafficPolicy>], head: &Head) -> Explanation {
    let service = cart();
    explain(&Question { service: &service, port: 80, client_namespace: "web", routes, policies }, head)
}

fn one_rule(change: impl FnOnce(&mut Rule)) -> Arc<Route> {
    let mut only = rule(vec![http("/a")]);
    change(&mut only);
    let made = route(RouteKind::Http, "shop", "r", vec![only]);
    Arc::new(Route { origin: "routes.yaml:7".to_owned(), ..made })
}

fn policy(name: &str, target: PolicyTarget, settings: TrafficSettings) -> Arc<TrafficPolicy> {
    let (name, origin) = (Name::new("shop", name).unwrap(), format!("{name}.yaml:1"));
    Arc::new(TrafficPolicy { name, targets: vec![target], created: 0, origin, settings })
}

#[test]
fn without_routes_the_service_itself_gets_the_request() {
    let limits = TrafficSettings {
        circuit_breaker: Some(CircuitBreaker { requests: Some(9), ..CircuitBreaker::default() }),
        ..TrafficSettings::default()
    };
    let target = PolicyTarget::Service { service: cart(), port: None };
    let found = ask(&[], &[policy("p", target, limits)], &Head::get("/a"));
    assert_eq!(found.verdict, Verdict::Service);
    let [share] = &found.backends[..] else { panic!("{found:?}") };
    assert_eq!(share.target, BackendTarget::Service { service: cart(), port: 80 });
    let breaker = &share.policy.as_ref().unwrap().circuit_breaker;
    assert_eq!(breaker.origin.to_string(), "trafficpolicy/shop/p spec.circuitBreaker");
    assert_eq!(found.places["trafficpolicy/shop/p"], "p.yaml:1");
    assert_eq!(found.chosen, None);
}

#[test]
fn what_does_not_fit_is_told_part_by_part() {
    let strict = http("=/a/b").with_method("POST").with_query("q", "=1").with_header("x-user", "~gold.*");
    let routes =
        [Arc::new(route(RouteKind::Http, "shop", "r", vec![rule(vec![strict]), rule(vec![http("/a")])]))];
    let found = ask(&routes, &[], &Head::get("/a/c?q=2").header("x-other", "1"));
    let [passed] = &found.passed[..] else { panic!("{found:?}") };
    let told: Vec<String> =
        passed.reasons.iter().map(|reason| format!("{}: {reason}", reason.field)).collect();
    assert_eq!(
        told,
        [
            "spec.rules[0].matches[0].path: path is `/a/c`, not exactly `/a/b`",
            "spec.rules[0].matches[0].method: method is `GET`, not `POST`",
            "spec.rules[0].matches[0].queryParams[0]: query parameter `q` is `2`, not exactly `1`",
            "spec.rules[0].matches[0].headers[0]: header `x-user` is absent, not a text for the expression `gold.*`",
        ]
    );
    let chosen = found.chosen.unwrap();
    assert_eq!((&*chosen.label, chosen.reasons.len()), ("httproute/shop/r#1", 0));
    assert_eq!(found.verdict, Verdict::NoBackend);
}

#[test]
fn calls_are_told_by_service_and_method() {
    let made = route(RouteKind::Grpc, "shop", "g", vec![rule(vec![grpc("=shop.Cart", "=Add")])]);
    let found = ask(&[Arc::new(made)], &[], &Head::get("/shop.Cart/Remove").method("POST"));
    assert_eq!(found.verdict, Verdict::NoRule);
    assert_eq!(
        found.passed[0].reasons[0].to_string(),
        "gRPC call is `/shop.Cart/Remove`, not a call with service exactly `shop.Cart` and method exactly `Add`"
    );
}

#[test]
fn matches_stand_in_the_order_in_which_they_win() {
    let matches = vec![http("/"), http("/a"), http("=/x"), http("~/b.*"), http("/a/b")];
    let found = ask(&[http_route("r", matches)], &[], &Head::get("/a/c"));
    let order: Vec<usize> = found.passed.iter().map(|looked| looked.rule_index).collect();
    assert_eq!(order, [2, 3, 4]);
    assert_eq!((found.chosen.unwrap().rule_index, found.after), (1, 1));
}

#[test]
fn routes_that_do_not_count_are_told_with_why() {
    let http = |namespace: &str, name| {
        Arc::new(route(RouteKind::Http, namespace, name, vec![rule(vec![http("/")])]))
    };
    let mut port = Arc::unwrap_or_clone(http("web", "port"));
    port.parents[0].port = Some(81);
    let routes = [http("shop", "producer"), http("web", "consumer"), http("mobile", "other"), Arc::new(port)];
    let standing = |found: &Explanation, name: &str| {
        found.routes.iter().find(|(route, _)| route.id.name.name() == name).unwrap().1
    };
    let found = ask(&routes, &[], &Head::get("/"));
    assert_eq!(standing(&found, "producer"), Standing::HiddenByConsumer);
    assert_eq!(standing(&found, "consumer"), Standing::InForce);
    assert_eq!(standing(&found, "other"), Standing::OtherNamespace);
    assert_eq!(standing(&found, "port"), Standing::OtherPort);
    let grpc = Arc::new(route(RouteKind::Grpc, "web", "grpc", vec![rule(vec![grpc("", "")])]));
    let found = ask(&[routes.as_slice(), &[grpc]].concat(), &[], &Head::get("/"));
    assert_eq!(standing(&found, "consumer"), Standing::HiddenByGrpc);
}

#[test]
fn filters_are_followed_one_after_the_other() {
    let edit = HeaderEdit {
        set: vec![("host".to_owned(), "inner.example".to_owned()), ("x-a".to_owned(), "1".to_owned())],
        add: vec![("x-b".to_owned(), "2".to_owned())],
        remove: vec!["x-c".to_owned()],
    };
    let rewrite = UrlRewrite { hostname: None, path: Some(PathRewrite::Prefix("/z".to_owned())) };
    let redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let routes = [one_rule(|rule| {
        rule.filters = vec![
            Filter::RequestHeaders(edit),
            Filter::ResponseHeaders(HeaderEdit::default()),
            Filter::Rewrite(rewrite),
            Filter::Redirect(redirect),
            Filter::ResponseHeaders(HeaderEdit::default()),
        ];
        rule.backends = vec![backend("v1", 1)];
    })];
    let head = Head::get("/a/b?q").header("x-b", "1").header("x-c", "1");
    let found = ask(&routes, &[], &head);
    let fields: Vec<&str> = found.filters.iter().map(|step| step.field.as_str()).collect();
    assert_eq!(fields, (0..4).map(|at| format!("spec.rules[0].filters[{at}]")).collect::<Vec<_>>());
    let Effect::Forwarded { path, authority, headers } = &found.filters[0].effect else {
        panic!("{found:?}")
    };
    assert_eq!((path.as_str(), authority.as_str()), ("/a/b", "inner.example"));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(headers, [("x-a", Some("1")), ("x-b", Some("1,2")), ("x-c", None)]);
    assert_eq!(found.filters[1].effect, Effect::Response);
    let location = "http://inner.example/z/b?q".to_owned();
    assert_eq!(found.verdict, Verdict::Redirect(RedirectAnswer { status: 302, location }));
    assert!(found.backends.is_empty(), "no backend is called");
}

#[test]
fn a_preflight_is_answered_and_other_requests_go_on() {
    let routes = [one_rule(|rule| {
        let cors = Cors { allow_origins: vec!["*".to_owned()], ..Cors::default() };
        rule.filters = vec![Filter::Cors(cors)];
        rule.backends = vec![backend("v1", 1)];
    })];
    let origin = |method: &str| Head::get("/a").method(method).header("origin", "https://a.com");
    let preflight = origin("OPTIONS").header("access-control-request-method", "GET");
    assert!(matches!(ask(&routes, &[], &preflight).verdict, Verdict::Preflight(_)));
    let found = ask(&routes, &[], &origin("GET"));
    assert_eq!(found.verdict, Verdict::Backends);
    assert!(matches!(found.filters[0].effect, Effect::Cors(CorsAnswer::Actual { .. })));
}

#[test]
fn shares_name_their_field_their_part_and_why_they_cannot_be_used() {
    let invalid =
        BackendTarget::Invalid { reference: "shop/none".to_owned(), reason: "no such Service".to_owned() };
    let routes = [one_rule(|rule| {
        let mirror = Mirror { target: invalid.clone(), share: Ppm(5), compare: None };
        let mut second = backend("v2", 3);
        second.filters = vec![Filter::Mirror(mirror)];
        rule.backends = vec![
            backend("v1", 0),
            second,
            Backend { target: invalid.clone(), weight: 1, filters: Vec::new(), takes: Vec::new() },
        ];
    })];
    let v2 = ServiceName::new("shop", "v2").unwrap();
    let limits =
        TrafficSettings { connect_timeout: Some(Duration::from_secs(1)), ..TrafficSettings::default() };
    let target = PolicyTarget::Service { service: v2, port: Some(80) };
    let found = ask(&routes, &[policy("p", target, limits)], &Head::get("/a"));
    assert_eq!(found.verdict, Verdict::Backends);
    let shares: Vec<(&str, f64)> =
        found.backends.iter().map(|s| (s.field.as_deref().unwrap(), s.share)).collect();
    let field = |at| format!("spec.rules[0].backendRefs[{at}]");
    assert_eq!(shares, [(field(0).as_str(), 0.0), (field(1).as_str(), 0.75), (field(2).as_str(), 0.25)]);
    assert_eq!(
        found.backends[1].filters[0].effect,
        Effect::Mirrored(Ppm(0)),
        "an invalid mirror copies nothing"
    );
    assert_eq!(found.backends[1].filters[0].field, "spec.rules[0].backendRefs[1].filters[0]");
    let connect = found.backends[1].policy.as_ref().unwrap().connect_timeout.as_ref().unwrap();
    assert_eq!(connect.origin.to_string(), "trafficpolicy/shop/p spec.connectTimeout");
    assert_eq!((found.backends[2].target.clone(), found.backends[2].policy.clone()), (invalid, None));
}

#[test]
fn settings_in_force_come_with_who_said_them_and_where() {
    let routes = [one_rule(|rule| {
        rule.backends = vec![backend("v1", 1)];
        rule.timeouts = Timeouts { request: Some(Duration::from_secs(3)), backend_request: None };
    })];
    let timeouts = RequestTimeouts { idle: Some(Duration::from_secs(9)), ..RequestTimeouts::default() };
    let settings = TrafficSettings { timeouts: Some(timeouts), ..TrafficSettings::default() };
    let target = PolicyTarget::Route { route: routes[0].id.clone(), rule: None };
    let found = ask(&routes, &[policy("p", target, settings)], &Head::get("/a"));
    assert_eq!(
        found.policy.timeouts.origin.to_string(),
        "httproute/shop/r#0 timeouts, else trafficpolicy/shop/p spec.timeouts"
    );
    assert_eq!(found.places["httproute/shop/r"], "routes.yaml:7");
    assert_eq!(found.places["trafficpolicy/shop/p"], "p.yaml:1");
}

fn any_match() -> impl Strategy<Value = Match> {
    (
        select(vec!["/", "/a", "=/a", "=/a/b", "~/a.*", "~.*b"]),
        prop::option::of(select(vec!["GET", "POST"])),
        prop::option::of(select(vec!["=1", "~.*"])),
        prop::option::of(select(vec!["=1", "="])),
    )
        .prop_map(|(path, method, header, query)| {
            let one = method.map_or_else(|| http(path), |method| http(path).with_method(method));
            let one = header.map_or(one.clone(), |spec| one.with_header("x", spec));
            query.map_or(one.clone(), |spec| one.with_query("p", spec))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn explanations_say_what_the_table_decides(
        routes in prop::collection::vec(prop::collection::vec(any_match(), 1..4), 0..4),
        path in select(vec!["/", "/a", "/a/b", "/b", "*", ""]),
        method in select(vec!["GET", "POST", "PUT"]),
        query in select(vec!["", "?p=1", "?p"]),
        header in prop::option::of(select(vec!["1", "2"])),
    ) {
        let routes: Vec<_> =
            routes.into_iter().enumerate().map(|(at, matches)| http_route(&format!("r{at}"), matches)).collect();
        let head = Head::get(&format!("{path}{query}")).method(method);
        let head = header.map_or(head.clone(), |value| head.header("x", value));
        let table = RouteTable::build(&cart(), 80, "web", &routes, &[]);
        let found = ask(&routes, &[], &head);
        let decided = table.decide(&head).map(|c| (Arc::clone(c.label), c.match_index));
        prop_assert_eq!(found.chosen.as_ref().map(|c| (Arc::clone(&c.label), c.match_index)), decided);
        prop_assert!(found.passed.iter().all(|looked| !looked.reasons.is_empty() && !looked.matched.fits(&head)));
        prop_assert!(found.chosen.iter().all(|looked| looked.reasons.is_empty()));
        let all: usize = routes.iter().flat_map(|route| &route.rules).map(|rule| rule.matches.len()).sum();
        prop_assert_eq!(found.passed.len() + usize::from(found.chosen.is_some()) + found.after, all);
    }
}
