//! Which routes of connections count, and where connections go.

use proptest::prelude::*;

use super::*;

fn service() -> ServiceName {
    ServiceName::new("shop", "db").unwrap()
}

fn backend(name: &str, weight: u32) -> Backend {
    let target = BackendTarget::Service { service: ServiceName::new("shop", name).unwrap(), port: 5432 };
    Backend { target, weight, filters: Vec::new(), takes: Vec::new() }
}

/// `KIND NAMESPACE/NAME`, made at that time, for these names, to a backend of its own name.
fn route(text: &str, created: u64, hosts: &[&str]) -> Arc<StreamRoute> {
    let (kind, path) = text.split_once(' ').unwrap();
    let (namespace, name) = path.split_once('/').unwrap();
    let kind = if kind == "tls" { StreamKind::Tls } else { StreamKind::Tcp };
    Arc::new(StreamRoute {
        id: StreamId { kind, name: Name::new(namespace, name).unwrap() },
        parents: vec![ParentRef { service: service(), port: None }],
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        rule: None,
        backends: vec![backend(name, 1)],
        created,
        origin: String::new(),
    })
}

fn table(namespace: &str, routes: &[Arc<StreamRoute>]) -> StreamTable {
    StreamTable::build(&service(), 5432, namespace, routes, RequestRoutes::None)
}

fn taken(table: &StreamTable, name: Option<&str>) -> String {
    match table.decide(name, 0) {
        StreamDecision::Service => "service".to_owned(),
        StreamDecision::NoRoute => "no route".to_owned(),
        StreamDecision::NoBackend(route) => format!("no backend of {}", route.id),
        StreamDecision::Backend(route, _) => route.id.to_string(),
    }
}

#[test]
fn without_routes_a_connection_goes_to_the_service() {
    assert_eq!(taken(&table("shop", &[]), Some("a.example")), "service");
    let hidden =
        StreamTable::build(&service(), 1, "shop", &[route("tcp shop/a", 0, &[])], RequestRoutes::Some);
    assert_eq!(taken(&hidden, None), "service");
}

#[test]
fn of_several_tcp_routes_the_oldest_takes_every_connection() {
    let routes = [route("tcp shop/b", 7, &[]), route("tcp shop/a", 7, &[]), route("tcp shop/c", 6, &[])];
    assert_eq!(taken(&table("shop", &routes), Some("any.example")), "tcproute/shop/c");
    assert_eq!(taken(&table("shop", &routes[..2]), None), "tcproute/shop/a");
    let standing = standing(&service(), 5432, "shop", &routes, RequestRoutes::None);
    let of = |name: &str| &standing.iter().find(|(route, _)| route.id.name.name() == name).unwrap().1;
    assert_eq!(of("c"), &StreamStanding::InForce);
    for hidden in ["a", "b"] {
        assert_eq!(of(hidden), &StreamStanding::HiddenByOlder(routes[2].id.clone()), "{hidden}");
    }
}

#[test]
fn names_decide_among_tls_routes_and_hide_tcp_routes() {
    let routes = [
        route("tls shop/wild", 1, &["*.example"]),
        route("tls shop/exact", 9, &["a.example", "b.other"]),
        route("tls shop/late", 10, &["a.example"]),
        route("tcp shop/tcp", 0, &[]),
    ];
    let table = table("shop", &routes);
    let rows = [
        (Some("A.example"), "tlsroute/shop/exact"),
        (Some("x.y.example"), "tlsroute/shop/wild"),
        (Some("b.other"), "tlsroute/shop/exact"),
        (Some("example"), "no route"),
        (Some("not a name"), "no route"),
        (None, "no route"),
    ];
    for (name, taken_by) in rows {
        assert_eq!(taken(&table, name), taken_by, "{name:?}");
    }
    assert!(table.needs_name());
    let standing = standing(&service(), 5432, "shop", &routes, RequestRoutes::None);
    let of = |name: &str| &standing.iter().find(|(route, _)| route.id.name.name() == name).unwrap().1;
    assert_eq!(of("late"), &StreamStanding::HiddenByOlder(routes[1].id.clone()));
    assert_eq!(of("tcp"), &StreamStanding::HiddenByTls);
}

#[test]
fn a_clients_own_routes_count_before_the_services() {
    let routes =
        [route("tcp shop/producer", 0, &[]), route("tcp bank/consumer", 9, &[]), route("tcp x/y", 0, &[])];
    for (client, taken_by) in [
        ("shop", "tcproute/shop/producer"),
        ("bank", "tcproute/bank/consumer"),
        ("z", "tcproute/shop/producer"),
    ] {
        assert_eq!(taken(&table(client, &routes), None), taken_by, "{client}");
    }
    let standing = standing(&service(), 5432, "bank", &routes, RequestRoutes::None);
    let shown: Vec<_> = standing.iter().map(|(route, standing)| (route.id.name.name(), standing)).collect();
    assert!(shown.contains(&("producer", &StreamStanding::HiddenByConsumer)), "{shown:?}");
    assert!(shown.contains(&("y", &StreamStanding::OtherNamespace)), "{shown:?}");
}

#[test]
fn a_route_of_another_port_does_not_count() {
    let mut other = StreamRoute::clone(&route("tcp shop/a", 0, &[]));
    other.parents[0].port = Some(1);
    assert_eq!(taken(&table("shop", &[Arc::new(other)]), None), "service");
}

#[test]
fn a_route_without_weight_refuses() {
    let mut none = StreamRoute::clone(&route("tcp shop/a", 0, &[]));
    none.backends[0].weight = 0;
    assert_eq!(taken(&table("shop", &[Arc::new(none)]), None), "no backend of tcproute/shop/a");
}

proptest! {
    #[test]
    fn every_backend_gets_its_share(weights in prop::collection::vec(0_u32..100, 1..5)) {
        let mut route = StreamRoute::clone(&route("tcp shop/a", 0, &[]));
        route.backends = weights.iter().map(|weight| backend("b", *weight)).collect();
        let table = table("shop", &[Arc::new(route)]);
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut counted = vec![0_u64; weights.len()];
        for step in 0..total {
            let random = u64::try_from((u128::from(step) << 64).div_ceil(u128::from(total))).unwrap();
            let StreamDecision::Backend(route, chosen) = table.decide(None, random) else { panic!("no backend") };
            let at = route.backends.iter().position(|backend| std::ptr::eq(backend, chosen)).unwrap();
            counted[at] += 1;
        }
        let wanted: Vec<u64> = weights.iter().map(|w| u64::from(*w)).collect();
        prop_assert_eq!(counted, if total == 0 { vec![0; weights.len()] } else { wanted });
    }

    #[test]
    fn the_order_of_routes_says_nothing(seed in prop::collection::vec((0_u64..3, "[a-c]", 0..3_usize), 0..6), shift in 0..6_usize) {
        let hosts = [&["a.x"][..], &["*.x"], &["a.x", "*.y"]];
        let mut routes: Vec<_> = seed.iter().enumerate().map(|(i, (created, name, pick))| {
            let kind = if i % 3 == 0 { "tls" } else { "tcp" };
            let host = if kind == "tls" { hosts[*pick] } else { &[] };
            route(&format!("{kind} shop/{name}{i}"), *created, host)
        }).collect();
        let names = [Some("a.x"), Some("b.x"), Some("b.y"), None];
        let before: Vec<_> = names.map(|name| taken(&table("shop", &routes), name)).to_vec();
        let by = shift.min(routes.len());
        routes.rotate_left(by);
        let after: Vec<_> = names.map(|name| taken(&table("shop", &routes), name)).to_vec();
        prop_assert_eq!(before, after);
    }
}
