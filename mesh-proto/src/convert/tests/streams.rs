//! What is refused of a route of connections, and what counts for its version.

use mesh_model::stream::StreamRoute;

use super::*;

fn good() -> wire::StreamRoute {
    let service = wire::ServiceTarget { namespace: "shop".to_owned(), name: "db".to_owned(), port: 5432 };
    let target = Some(wire::backend::Target::Service(service));
    wire::StreamRoute {
        kind: wire::StreamKind::Tls.into(),
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        parents: vec![wire::ParentRef { namespace: "shop".to_owned(), name: "db".to_owned(), port: 0 }],
        hosts: vec!["*.db.example".to_owned()],
        rule: "main".to_owned(),
        backends: vec![wire::Backend { target, weight: 1, filters: Vec::new(), takes: Vec::new() }],
        created: 7,
        origin: "routes.yaml:3".to_owned(),
    }
}

fn read(route: wire::StreamRoute) -> Result<StreamRoute, (String, String)> {
    match decode(resource("tlsroute/shop/db", wire::resource::Body::Stream(route))) {
        Ok(ModelResource::Stream(route)) => Ok(route),
        Ok(other) => panic!("a route became {other:?}"),
        Err(invalid) => Err((invalid.field, invalid.reason)),
    }
}

#[test]
fn what_cannot_be_read_of_a_route_of_connections_is_refused() {
    assert_eq!(read(good()).unwrap().label(), "tlsroute/shop/db#main");
    type Change = fn(&mut wire::StreamRoute);
    let filter = |route: &mut wire::StreamRoute| {
        let filter = wire::filter::Filter::RequestHeaders(wire::HeaderEdit::default());
        route.backends[0].filters = vec![wire::Filter { filter: Some(filter) }];
    };
    let changes: &[(Change, &str)] = &[
        (|route| route.kind = 77, "kind"),
        (|route| route.kind = 0, "kind"),
        (|route| route.kind = wire::StreamKind::Tcp.into(), "hosts"),
        (|route| route.hosts.clear(), "hosts"),
        (|route| route.hosts[0] = "*".to_owned(), "hosts[0]"),
        (|route| route.hosts = vec!["a".to_owned(); bounds::HOSTS + 1], "hosts"),
        (|route| route.parents[0].port = 70_000, "parents[0].port"),
        (|route| route.backends[0].target = None, "backends[0].target"),
        (|route| route.name = "Db".to_owned(), "name"),
        (filter, "backends[0].filters"),
    ];
    for (change, field) in changes {
        let mut route = good();
        change(&mut route);
        assert_eq!(read(route).unwrap_err().0, *field);
    }
}

#[test]
fn where_a_route_was_read_says_nothing_of_its_meaning() {
    let version = |change: fn(&mut wire::StreamRoute)| {
        let mut route = good();
        change(&mut route);
        ModelResource::Stream(read(route).unwrap()).version()
    };
    assert_eq!(version(|_| {}), version(|route| route.origin = "elsewhere:1".to_owned()));
    assert_ne!(version(|_| {}), version(|route| route.created = 8));
}
