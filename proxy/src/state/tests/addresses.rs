//! Addresses: what is known of them, and the services that they bring along.

use std::net::IpAddr;

use mesh_model::address::{Address, Meaning, Served, Sought};

use super::*;

const VIRTUAL: [u8; 4] = [10, 96, 0, 1];

pub(crate) fn virtual_address(last: u8, of: &str) -> ModelResource {
    let [a, b, c, _] = VIRTUAL;
    ModelResource::Address(Address { ip: [a, b, c, last].into(), meaning: Meaning::Service(name(of)) })
}

fn seek(store: &mut Store, last: u8) -> Sought {
    let [a, b, c, _] = VIRTUAL;
    let sought = Sought::Address([a, b, c, last].into());
    store.seek(&sought);
    sought
}

fn known(snapshot: &Snapshot, last: u8) -> &'static str {
    let [a, b, c, _] = VIRTUAL;
    match snapshot.address(IpAddr::from([a, b, c, last])) {
        LookupAddress::Known(known) => match known.address.meaning {
            Meaning::Service(_) => "service",
            Meaning::Served(_) => "served",
        },
        LookupAddress::Unknown => "unknown",
        LookupAddress::NotAsked => "not asked",
    }
}

fn unknown(last: &str) -> Vec<String> {
    vec![format!("10.96.0.{last}")]
}

#[test]
fn a_virtual_address_brings_its_service_at_once_and_the_service_is_then_asked_for_by_name() {
    let mut store = Store::new("shop");
    seek(&mut store, 1);
    assert_eq!(store.sought_not_asked().count(), 1);
    store.asked(2);
    assert_eq!(store.sought_not_asked().count(), 0);
    let all = [mesh(false), virtual_address(1, "cart"), service("cart"), endpoints("cart", &[1])];
    let applied = store.apply(Update { subscription: 2, ..update(&all, &[]) });
    assert_eq!(known(&applied.snapshot, 1), "service");
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::Known(_)));
    assert_eq!(store.not_asked().collect::<Vec<_>>(), [&name("cart")], "so that it outlives the address");
    store.asked(3);
    let applied = store.apply(Update { subscription: 3, ..Update::default() });
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::Known(_)));
}

#[test]
fn an_address_that_moves_to_another_service_brings_that_one() {
    let mut store = Store::new("shop");
    seek(&mut store, 1);
    store.asked(2);
    store.apply(update(&[virtual_address(1, "cart"), service("cart"), endpoints("cart", &[1])], &[]));
    let moved = [virtual_address(1, "stock"), service("stock"), endpoints("stock", &[2])];
    let applied = store.apply(update(&moved, &[]));
    assert!(matches!(applied.snapshot.destination(&name("stock")), Lookup::Known(_)));
}

#[test]
fn what_is_not_known_is_unknown_until_it_is_told() {
    let mut store = Store::new("shop");
    seek(&mut store, 1);
    store.asked(2);
    assert_eq!(known(store.snapshot(), 1), "not asked");
    let applied = store.apply(Update { unknown_sought: unknown("1"), ..Update::default() });
    assert_eq!(known(&applied.snapshot, 1), "unknown");
    let served =
        ModelResource::Address(Address { ip: VIRTUAL.into(), meaning: Meaning::Served(Served::default()) });
    let applied = store.apply(update(&[served], &[]));
    assert_eq!(known(&applied.snapshot, 1), "served");
    let gone = Update { unknown_sought: unknown("1"), ..update(&[], &["address/10.96.0.1"]) };
    assert_eq!(known(&store.apply(gone).snapshot, 1), "unknown");
}

#[test]
fn the_echo_of_what_was_given_up_says_nothing_of_what_is_asked_anew() {
    let mut store = Store::new("shop");
    let sought = seek(&mut store, 1);
    store.asked(2);
    let all = [virtual_address(1, "cart"), service("cart"), endpoints("cart", &[1])];
    store.apply(Update { subscription: 2, ..update(&all, &[]) });
    store.forget_sought(&sought);
    store.forget(&name("cart"));
    assert_eq!(known(store.snapshot(), 1), "not asked");
    seek(&mut store, 1);
    assert_eq!(known(store.snapshot(), 1), "service", "what is still held is of use at once");
    assert!(matches!(store.snapshot().destination(&name("cart")), Lookup::Known(_)));
    let echo = ["address/10.96.0.1", "service/shop/cart", "endpoints/shop/cart"];
    let applied = store.apply(Update { subscription: 3, ..update(&[], &echo) });
    assert_eq!(known(&applied.snapshot, 1), "not asked");
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::NotAsked));
    store.asked(4);
    let applied = store.apply(Update { subscription: 4, ..update(&all, &[]) });
    assert_eq!(known(&applied.snapshot, 1), "service");
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::Known(_)));
}

#[test]
fn what_is_the_same_keeps_its_place_and_what_is_bad_changes_nothing() {
    let mut store = Store::new("shop");
    seek(&mut store, 1);
    store.asked(2);
    let applied = store.apply(update(&[virtual_address(1, "cart")], &[]));
    let entry = |snapshot: &Snapshot| match snapshot.address(VIRTUAL.into()) {
        LookupAddress::Known(known) => Arc::clone(known),
        other => panic!("{other:?}"),
    };
    let before = entry(&applied.snapshot);
    let applied = store.apply(update(&[mesh(true), virtual_address(1, "cart")], &[]));
    assert!(Arc::ptr_eq(&before, &entry(&applied.snapshot)));
    let bad = Update { resources: vec![bad(&virtual_address(1, "stock"))], ..Update::default() };
    let applied = store.apply(bad);
    assert_eq!(applied.rejects[0].resource, "address/10.96.0.1");
    assert!(Arc::ptr_eq(&before, &entry(&applied.snapshot)));
    let held: Vec<_> = store.held().into_iter().map(|held| held.name).collect();
    assert!(held.contains(&"address/10.96.0.1".to_owned()), "{held:?}");
}

#[test]
fn use_is_noted_until_it_is_taken() {
    let mut store = Store::new("shop");
    let sought = seek(&mut store, 1);
    let applied = store.apply(update(&[virtual_address(1, "cart")], &[]));
    assert_eq!(store.take_used_sought(), [(sought.clone(), false)]);
    let LookupAddress::Known(known) = applied.snapshot.address(VIRTUAL.into()) else { panic!("it is known") };
    known.mark_used();
    assert_eq!(store.take_used_sought(), [(sought.clone(), true)]);
    assert_eq!(store.take_used_sought(), [(sought, false)]);
}
