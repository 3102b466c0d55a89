//! Which routes a table has, and which of two matches wins, as tables.

use super::*;
use crate::route::{Backend, ParentRef};
use crate::sample::{Head, backend, cart, grpc, http, http_route, route, rule};

fn table(routes: &[Arc<Route>]) -> RouteTable {
    RouteTable::build(&cart(), 80, "web", routes, &[])
}

fn grpc_route(name: &str, matches: Vec<Match>) -> Arc<Route> {
    Arc::new(route(RouteKind::Grpc, "shop", name, matches.into_iter().map(|one| rule(vec![one])).collect()))
}

/// Label of the rule that the request takes.
fn label(table: &RouteTable, head: &Head) -> Option<String> {
    table.decide(head).map(|chosen| chosen.label.to_string())
}

/// Asserts that the first match beats the second one, wherever they stand.
fn beats(make: fn(&str, Vec<Match>) -> Arc<Route>, winner: &Match, loser: &Match, head: &Head) {
    assert!(winner.fits(head) && loser.fits(head), "both must fit {head:?}: {winner:?}, {loser:?}");
    for (first, second, expected) in [(winner, loser, 0), (loser, winner, 1)] {
        let one = table(&[make("r", vec![first.clone(), second.clone()])]);
        assert_eq!(
            one.decide(head).unwrap().rule_index,
            expected,
            "{winner:?} before {loser:?}, in one route"
        );
        let two = table(&[make("a", vec![first.clone()]), make("b", vec![second.clone()])]);
        let name = two.decide(head).unwrap().route.id.name.name().to_owned();
        assert_eq!(name, ["a", "b"][expected], "{winner:?} before {loser:?}, in two routes");
    }
}

#[test]
fn http_matches_win_in_the_standards_order() {
    let head = Head::get("/a/b?p=1&q=2").header("x", "1").header("y", "2");
    let exact = || http("=/a/b");
    let root = || http("/");
    for (winner, loser) in [
        // Exact path before everything else.
        (exact(), http("/a/b").with_method("GET").with_header("x", "=1").with_query("p", "=1")),
        (exact(), http("~/a/b.*")),
        (exact(), http("~/a/b").with_method("GET")),
        // Then expressions, the longer first.
        (http("~/.*"), http("/a/b").with_method("GET")),
        (http("~/a/.*"), http("~/.*").with_method("GET")),
        // Then the longest prefix.
        (http("/a/b"), http("/a").with_method("GET").with_header("x", "=1")),
        (http("/a"), root().with_method("GET").with_header("x", "=1").with_query("p", "=1")),
        // Then method.
        (
            root().with_method("GET"),
            root().with_header("x", "=1").with_header("y", "=2").with_query("p", "=1"),
        ),
        (exact().with_method("GET"), exact().with_header("x", "=1")),
        // Then number of headers.
        (
            root().with_header("x", "=1").with_header("y", "=2"),
            root().with_header("x", "=1").with_query("p", "=1"),
        ),
        (root().with_header("y", "~.*"), root().with_query("p", "=1").with_query("q", "=2")),
        (exact().with_header("x", "=1"), exact()),
        // Then number of query parameters.
        (root().with_query("p", "=1").with_query("q", "=2"), root().with_query("p", "=1")),
        (root().with_query("p", "=1"), root()),
        // A condition that is ignored for its name counts nothing.
        (
            root().with_header("x", "=1").with_header("y", "=2"),
            root().with_header("x", "=1").with_header("x", "=9").with_header("x", "=8"),
        ),
    ] {
        beats(http_route, &winner, &loser, &head);
    }
}

#[test]
fn grpc_matches_win_in_the_standards_order() {
    let head = Head::get("/shop.Cart/Add").header("x", "1").header("y", "2");
    for (winner, loser) in [
        (grpc("=shop.Cart", ""), grpc("", "=Add").with_header("x", "=1")),
        (grpc("=shop.Cart", "=Add"), grpc("=shop.Cart", "").with_header("x", "=1").with_header("y", "=2")),
        (grpc("=shop.Cart", ""), grpc("~shop\\.(Cart|Basket|Trolley)", "~.*")),
        (grpc("~shop\\..*", ""), grpc("~.*", "~A.*")),
        (grpc("=shop.Cart", "=Add"), grpc("=shop.Cart", "~(Add|Remove)").with_header("x", "=1")),
        (grpc("", "=Add"), grpc("", "").with_header("x", "=1")),
        (grpc("", "").with_header("x", "=1").with_header("y", "=2"), grpc("", "").with_header("x", "=1")),
        (grpc("", "").with_header("x", "=1"), grpc("", "")),
    ] {
        beats(grpc_route, &winner, &loser, &head);
    }
}

/// Between equal matches: `(namespace, name, created)`, in the order in which they win.
#[test]
fn ties_go_to_the_older_route_then_to_the_first_by_namespace_and_name() {
    let head = Head::get("/x");
    for (winner, loser) in [
        (("b", 1), ("a", 2)),
        (("a", 1), ("b", 1)),
        (("a", 0), ("b", 1)),
        (("a-b", 1), ("a.b", 1)),
        (("a", 1), ("a-b", 1)),
        (("10", 1), ("9", 1)),
    ] {
        let make = |(name, created): (&str, u64)| {
            Arc::new(Route { created, ..route(RouteKind::Http, "shop", name, vec![rule(vec![http("/")])]) })
        };
        for routes in [[make(winner), make(loser)], [make(loser), make(winner)]] {
            let name = table(&routes).decide(&head).unwrap().route.id.name.name().to_owned();
            assert_eq!(name, winner.0, "{winner:?} before {loser:?}");
        }
    }
}

#[test]
fn names_are_ordered_as_one_text_with_the_slash() {
    let route =
        |namespace: &str, name: &str| route(RouteKind::Http, namespace, name, vec![rule(vec![http("/")])]);
    let (a, b) = (route("a-b", "x"), route("a", "x"));
    let key = |route| (Specificity::of(&http("/")), route, 0, 0);
    // `a-b/x` is before `a/x` in the alphabet of the standard, though the namespace `a` is before `a-b`.
    assert!(compare(key(&a), key(&b)).is_lt());
}

#[test]
fn ties_within_a_route_go_to_the_first_rule_then_to_the_first_match() {
    let rules = vec![rule(vec![http("/other"), http("/"), http("/")]), rule(vec![http("/")])];
    let table = table(&[Arc::new(route(RouteKind::Http, "shop", "r", rules))]);
    let chosen = table.decide(&Head::get("/x")).unwrap();
    assert_eq!((chosen.rule_index, chosen.match_index), (0, 1));
    assert_eq!(chosen.matched(), &http("/"));
    assert_eq!(chosen.rule().matches.len(), 3);
}

#[test]
fn no_route_means_the_service_itself_and_no_match_means_nothing() {
    let none = table(&[]);
    assert!(none.is_empty());
    assert!(none.decide(&Head::get("/")).is_none());
    let some = table(&[http_route("r", vec![http("/a")])]);
    assert!(!some.is_empty());
    assert!(some.decide(&Head::get("/b")).is_none());
    let without_rules = table(&[http_route("r", Vec::new())]);
    assert!(!without_rules.is_empty(), "an attached route without rules takes no request, but it is there");
    assert!(without_rules.decide(&Head::get("/")).is_none());
}

#[test]
fn labels_name_route_and_rule() {
    let mut named = rule(vec![http("/named")]);
    named.name = Some("checkout".to_owned());
    let table = table(&[Arc::new(route(RouteKind::Http, "shop", "r", vec![rule(vec![http("/")]), named]))]);
    assert_eq!(label(&table, &Head::get("/x")).as_deref(), Some("httproute/shop/r#0"));
    assert_eq!(label(&table, &Head::get("/named")).as_deref(), Some("httproute/shop/r#checkout"));
}

fn attached(name: &str, parents: Vec<ParentRef>) -> Arc<Route> {
    Arc::new(Route { parents, ..route(RouteKind::Http, "shop", name, vec![rule(vec![http("/")])]) })
}

#[test]
fn a_route_counts_on_the_ports_that_it_names() {
    let parent =
        |service: &str, port| ParentRef { service: ServiceName::new("shop", service).unwrap(), port };
    let routes = [
        attached("all", vec![parent("cart", None)]),
        attached("p80", vec![parent("cart", Some(80))]),
        attached(
            "p81-and-82",
            vec![parent("other", None), parent("cart", Some(81)), parent("cart", Some(82))],
        ),
        attached("other", vec![parent("other", Some(80))]),
    ];
    for (port, expected) in [
        (80, vec!["all", "p80"]),
        (81, vec!["all", "p81-and-82"]),
        (82, vec!["all", "p81-and-82"]),
        (83, vec!["all"]),
    ] {
        let table = RouteTable::build(&cart(), port, "web", &routes, &[]);
        let names: Vec<&str> = table.routes().iter().map(|route| route.id.name.name()).collect();
        assert_eq!(names, expected, "port {port}");
    }
}

#[test]
fn consumer_routes_replace_producer_routes_for_their_own_namespace_only() {
    let of = |namespace: &str, kind| Arc::new(route(kind, namespace, "r", vec![rule(vec![http("/")])]));
    let routes = [of("shop", RouteKind::Http), of("web", RouteKind::Http), of("mobile", RouteKind::Http)];
    for (client, expected) in [("shop", "shop"), ("web", "web"), ("mobile", "mobile"), ("elsewhere", "shop")]
    {
        let table = RouteTable::build(&cart(), 80, client, &routes, &[]);
        let namespaces: Vec<&str> = table.routes().iter().map(|route| route.id.name.namespace()).collect();
        assert_eq!(namespaces, [expected], "client in {client}");
    }
    // Without a producer, other clients have no route at all.
    assert!(RouteTable::build(&cart(), 80, "elsewhere", &routes[1..], &[]).is_empty());
    // A consumer's HTTPRoute also replaces a producer's GRPCRoute.
    let mixed = [of("shop", RouteKind::Grpc), of("web", RouteKind::Http)];
    assert_eq!(RouteTable::build(&cart(), 80, "web", &mixed, &[]).routes()[0].id.kind, RouteKind::Http);
}

#[test]
fn an_attached_grpc_route_takes_the_port_from_http_routes() {
    let routes = [http_route("h", vec![http("/")]), grpc_route("g", vec![grpc("=shop.Cart", "")])];
    let table = table(&routes);
    assert_eq!(label(&table, &Head::get("/shop.Cart/Add")).as_deref(), Some("grpcroute/shop/g#0"));
    assert_eq!(label(&table, &Head::get("/")), None, "the HTTPRoute's catch-all is not in force");
}

#[test]
fn a_table_lists_the_backends_of_all_rules() {
    let with = |backends: Vec<Backend>| Rule { backends, ..rule(vec![http("/")]) };
    let rules =
        vec![with(vec![backend("v1", 1), backend("v2", 0)]), with(vec![backend("v1", 1)]), with(Vec::new())];
    let table = table(&[Arc::new(route(RouteKind::Http, "shop", "r", rules))]);
    let names: Vec<String> = table
        .backends()
        .map(|target| match target {
            BackendTarget::Service { service, .. } => service.to_string(),
            BackendTarget::Invalid { reference, .. } => reference.clone(),
        })
        .collect();
    assert_eq!(names, ["shop/v1", "shop/v2", "shop/v1"]);
}
