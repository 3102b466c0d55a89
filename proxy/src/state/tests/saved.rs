//! The store as bytes and back.

use mesh_model::address::Sought;
use mesh_proto::config::v1::ProxyId;

use super::addresses::virtual_address;
use super::*;

fn front() -> ProxyId {
    ProxyId { namespace: "shop".to_owned(), workload: "front".to_owned(), instance: "7".to_owned() }
}

/// What a proxy holds that has asked for a service with a route, for an address, and for something that is not there.
fn full() -> Store {
    let mut store = store(&["cart", "none"]);
    store.seek(&Sought::parse("10.96.0.7").unwrap());
    store.seek(&Sought::parse("192.0.2.1").unwrap());
    store.asked(1);
    let resources = [
        mesh(true),
        service("cart"),
        endpoints("cart", &[1, 2]),
        service("stock"),
        endpoints("stock", &[3]),
        route("to-stock", "cart", &["stock"]),
        policy("limits", on_service("cart", None), 7),
        own(&["front"]),
        virtual_address(7, "cart"),
    ];
    let unknown = vec![WireDestination { namespace: "shop".to_owned(), name: "none".to_owned() }];
    let unknown_sought = vec!["192.0.2.1".to_owned()];
    let watermark = Some(Watermark { revision: 42, ..Watermark::default() });
    let update = Update { unknown, unknown_sought, subscription: 1, watermark, ..update(&resources, &[]) };
    assert!(store.apply(update).rejects.is_empty());
    store
}

#[test]
fn what_was_saved_comes_back_as_it_was_and_is_told_to_the_controller_as_held() {
    let before = full();
    let bytes = before.save(&front()).unwrap();
    let mut after = Store::restore(&bytes, &ProxyId { instance: "8".to_owned(), ..front() }).unwrap();
    let held = |store: &Store| {
        let mut held: Vec<_> = store.held().into_iter().map(|held| (held.name, held.version)).collect();
        held.sort();
        held
    };
    assert_eq!(held(&before), held(&after));
    assert!(before.destinations().eq(after.destinations()) && before.sought().eq(after.sought()));
    let (one, other) = (before.snapshot(), after.snapshot());
    assert_eq!(one.revision(), other.revision());
    assert_eq!(one.settings(), other.settings());
    assert_eq!(backends(one, "cart"), backends(other, "cart"));
    assert_eq!(one.backend_policy(&name("cart"), 80), other.backend_policy(&name("cart"), 80));
    assert!(one.unknown().eq(other.unknown()) && one.unknown_sought().eq(other.unknown_sought()));
    assert_eq!(after.save(&front()).map(|again| again.len()), Ok(bytes.len()));
    // Nothing is asked again that was answered.
    after.restart();
    assert_eq!(after.not_asked().count(), 1, "what the workload serves was not asked for before either");
}

#[test]
fn a_state_that_is_not_whole_or_not_this_workloads_is_refused() {
    let bytes = full().save(&front()).unwrap();
    let refused = |bytes: &[u8]| Store::restore(bytes, &front()).err();
    assert_eq!(refused(b""), Some(Unusable::OtherVersion));
    assert_eq!(refused(&bytes[..40]), Some(Unusable::Damaged));
    assert_eq!(refused(&bytes[..bytes.len() - 1]), Some(Unusable::Damaged));
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert!(refused(&damaged).is_some(), "a changed byte at {place} is not noticed");
    }
    let other = ProxyId { workload: "back".to_owned(), ..front() };
    assert_eq!(Store::restore(&bytes, &other).err(), Some(Unusable::OtherWorkload("shop/front".to_owned())));
}

#[test]
fn a_state_beyond_the_bound_is_not_written() {
    let mut store = store(&["cart"]);
    store.asked(1);
    let long = |number: u32| {
        let ModelResource::Endpoints(mut many) = endpoints("cart", &[1]) else { unreachable!() };
        many.service = name(&format!("s{number}"));
        let one = Endpoint { zone: "z".repeat(60), ..many.ports[0].endpoints[0].clone() };
        let at = |port: u16| Endpoint { address: ([127, 0, 0, 1], port).into(), ..one.clone() };
        many.ports[0].endpoints = (1..=5_000).map(at).collect();
        ModelResource::Endpoints(many)
    };
    let many: Vec<_> = (0..30).map(long).collect();
    assert_eq!(store.apply(update(&many, &[])).rejects, []);
    let saved = store.save(&front()).map(|bytes| bytes.len());
    assert!(matches!(saved, Err(Unsaved::TooLarge(bytes)) if bytes > MAX_BYTES), "{saved:?}");
}
