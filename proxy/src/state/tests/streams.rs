//! Routes of connections: which are in force, and only with the endpoints of their backends.

use mesh_model::stream::{StreamDecision, StreamId, StreamKind, StreamRoute};

use super::*;

fn stream(of: &str, parent: &str, backends: &[&str]) -> ModelResource {
    let backend = |service: &&str| Backend {
        target: BackendTarget::Service { service: name(service), port: 80 },
        weight: 1,
        filters: Vec::new(),
        takes: Vec::new(),
    };
    ModelResource::Stream(StreamRoute {
        id: StreamId { kind: StreamKind::Tcp, name: Name::new("shop", of).unwrap() },
        parents: vec![ParentRef { service: name(parent), port: None }],
        hosts: Vec::new(),
        rule: None,
        backends: backends.iter().map(backend).collect(),
        created: 0,
        origin: String::new(),
    })
}

/// The backend of a connection to port 80 of `cart`, or `-` where the service itself takes it.
fn backend(snapshot: &Snapshot) -> String {
    let Lookup::Known(cart) = snapshot.destination(&name("cart")) else { panic!("cart is known") };
    match cart.streams(80).unwrap().decide(None, 0) {
        StreamDecision::Service => "-".to_owned(),
        StreamDecision::Backend(_, Backend { target: BackendTarget::Service { service, .. }, .. }) => {
            service.0.name().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn known() -> Store {
    let mut store = Store::new("shop");
    store.want(&name("cart"));
    store.asked(1);
    store.apply(update(&[mesh(false), service("cart"), endpoints("cart", &[1])], &[]));
    store
}

#[test]
fn a_route_of_connections_counts_once_the_endpoints_of_its_backends_are_here() {
    let mut store = known();
    assert_eq!(backend(store.snapshot()), "-");
    let applied = store.apply(update(&[stream("r", "cart", &["v2"]), service("v2")], &[]));
    assert_eq!(backend(&applied.snapshot), "-", "without endpoints the former table stays");
    let applied = store.apply(update(&[endpoints("v2", &[2])], &[]));
    assert_eq!(backend(&applied.snapshot), "v2");
    let held: Vec<_> = store.held().into_iter().map(|held| held.name).collect();
    assert!(held.contains(&"tcproute/shop/r".to_owned()), "{held:?}");
    let applied = store.apply(update(&[], &["tcproute/shop/r"]));
    assert_eq!(backend(&applied.snapshot), "-");
}

#[test]
fn a_route_of_requests_hides_those_of_connections() {
    let mut store = known();
    store.apply(update(&[stream("r", "cart", &["v2"]), service("v2"), endpoints("v2", &[2])], &[]));
    let applied = store.apply(update(&[route("h", "cart", &["cart"])], &[]));
    assert_eq!(backend(&applied.snapshot), "-");
    let Lookup::Known(cart) = applied.snapshot.destination(&name("cart")) else { panic!("cart is known") };
    assert!(!cart.table(80).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_leaves_the_last_good_form() {
    let mut store = known();
    store.apply(update(&[stream("r", "cart", &["v2"]), service("v2"), endpoints("v2", &[2])], &[]));
    let bad = Update { resources: vec![bad(&stream("r", "cart", &["cart"]))], ..Update::default() };
    let applied = store.apply(bad);
    assert_eq!((applied.rejects[0].field.as_str(), backend(&applied.snapshot)), ("kind", "v2".to_owned()));
}
