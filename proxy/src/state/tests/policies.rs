//! Policies and what the workload serves, as tables of updates and what is in force after them.

use super::*;

fn cart_with(more: &[ModelResource]) -> Store {
    let mut store = store(&["cart"]);
    store.apply(update(&[service("cart"), endpoints("cart", &[1])], &[]));
    store.apply(update(more, &[]));
    store
}

/// The timeout in force for requests that take a rule of the table, or none; seconds.
fn timeout(snapshot: &Snapshot, of: &str) -> Option<u64> {
    let destination = known(snapshot, of);
    let table = destination.table(80).unwrap();
    let policy = table.rules().next().map_or_else(|| table.default_policy(), |rule| rule.policy());
    policy.timeouts.value.request.map(|d| d.as_secs())
}

fn breaker(snapshot: &Snapshot, of: &str, port: u16) -> Option<u32> {
    snapshot.backend_policy(&name(of), port).circuit_breaker.value.requests
}

#[test]
fn a_policy_comes_into_force_changes_and_goes() {
    let mut store = cart_with(&[]);
    assert_eq!(timeout(store.snapshot(), "cart"), None);
    for number in [1, 2] {
        let applied = store.apply(update(&[policy("p", on_service("cart", None), number)], &[]));
        assert_eq!(timeout(&applied.snapshot, "cart"), Some(number.into()));
        assert_eq!(breaker(&applied.snapshot, "cart", 80), Some(number));
    }
    assert!(store.held().iter().any(|held| held.name == "trafficpolicy/shop/p"));
    let applied = store.apply(update(&[], &["trafficpolicy/shop/p"]));
    assert_eq!((timeout(&applied.snapshot, "cart"), breaker(&applied.snapshot, "cart", 80)), (None, None));
    assert!(store.held().iter().all(|held| held.name != "trafficpolicy/shop/p"));
}

#[test]
fn a_policy_on_a_route_is_in_force_for_its_rules() {
    let mut store = cart_with(&[
        route("r", "cart", &["cart"]),
        policy("wide", on_service("cart", None), 1),
        policy("narrow", on_route("r"), 2),
    ]);
    assert_eq!(timeout(store.snapshot(), "cart"), Some(2));
    assert_eq!(breaker(store.snapshot(), "cart", 80), Some(1), "a route has no breaker");
    let applied = store.apply(update(&[], &["httproute/shop/r"]));
    assert_eq!(timeout(&applied.snapshot, "cart"), Some(1));
}

#[test]
fn ports_that_a_policy_names_have_settings_of_their_own() {
    let store = cart_with(&[
        policy("all", on_service("cart", None), 1),
        policy("one", on_service("cart", Some(81)), 2),
    ]);
    let ports = [80, 81, 82].map(|port| breaker(store.snapshot(), "cart", port));
    assert_eq!(ports, [Some(1), Some(2), Some(1)]);
}

#[test]
fn settings_keep_their_arc_until_they_change() {
    let mut store = cart_with(&[policy("p", on_service("cart", None), 1)]);
    let of = |snapshot: &Snapshot, service: &str| snapshot.backend_policy(&name(service), 80);
    let before = Arc::clone(store.snapshot());
    assert!(Arc::ptr_eq(&of(&before, "stock"), &of(&Snapshot::default(), "cart")), "the default is one");
    let after = store.apply(update(&[policy("q", on_service("stock", None), 7)], &[])).snapshot;
    assert!(Arc::ptr_eq(&of(&before, "cart"), &of(&after, "cart")));
    assert!(Arc::ptr_eq(&known(&before, "cart"), &known(&after, "cart")), "it is none of its policies");
    let after = store.apply(update(&[policy("p", on_service("cart", None), 2)], &[])).snapshot;
    assert!(!Arc::ptr_eq(&of(&before, "cart"), &of(&after, "cart")));
    assert!(!Arc::ptr_eq(&known(&before, "cart"), &known(&after, "cart")));
}

#[test]
fn a_changed_policy_does_not_bring_a_route_into_force_before_its_backends() {
    let mut store = cart_with(&[route("r", "cart", &["cart"]), policy("p", on_route("r"), 1)]);
    let applied = store.apply(update(&[route("r", "cart", &["v1"]), policy("p", on_route("r"), 2)], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["cart"]);
    assert_eq!(timeout(&applied.snapshot, "cart"), Some(1), "the former table stays as it was");
    let applied = store.apply(update(&[endpoints("v1", &[1])], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["v1"]);
    assert_eq!(timeout(&applied.snapshot, "cart"), Some(2));
}

#[test]
fn a_policy_that_cannot_be_used_leaves_its_last_good_form() {
    let mut store = cart_with(&[policy("p", on_service("cart", None), 1)]);
    let mut with_bad = update(&[policy("q", on_service("stock", None), 5)], &[]);
    with_bad.resources.push(bad(&policy("p", on_service("cart", None), 2)));
    let applied = store.apply(with_bad);
    let [reject] = &applied.rejects[..] else { panic!("{:?}", applied.rejects) };
    assert_eq!((reject.resource.as_str(), reject.field.as_str()), ("trafficpolicy/shop/p", "settings"));
    assert_eq!(timeout(&applied.snapshot, "cart"), Some(1));
    assert_eq!(breaker(&applied.snapshot, "stock", 80), Some(5), "the others of the update count");
}

#[test]
fn what_the_workload_serves_is_wanted_without_being_called() {
    let mut store = Store::new("shop");
    store.asked(1);
    let applied = store.apply(update(&[own(&["cart", "stock"])], &[]));
    assert_eq!(applied.snapshot.own().ports.len(), 2);
    assert_eq!(store.not_asked().collect::<Vec<_>>(), [&name("cart"), &name("stock")]);
    assert_eq!(store.without_answer().count(), 0, "it makes no room for others");
    store.asked(2);
    let all = [service("cart"), endpoints("cart", &[1]), policy("p", on_service("cart", None), 3)];
    let applied = store.apply(Update { subscription: 2, ..update(&all, &[]) });
    assert_eq!(timeout(&applied.snapshot, "cart"), Some(3));
    assert_eq!(store.take_used(), [(name("cart"), true), (name("stock"), true)], "it is in use");
    assert!(store.held().iter().any(|held| held.name == "own"));
}

#[test]
fn what_the_workload_no_longer_serves_is_as_any_other_destination() {
    let mut store = Store::new("shop");
    store.apply(update(&[own(&["cart", "stock"])], &[]));
    let applied = store.apply(update(&[own(&["cart"])], &[]));
    assert_eq!(applied.snapshot.own().ports.len(), 1);
    assert_eq!(store.take_used(), [(name("cart"), true), (name("stock"), false)]);
    let applied = store.apply(update(&[], &["own"]));
    assert!(applied.snapshot.own().ports.is_empty());
    assert_eq!(store.take_used(), [(name("cart"), false), (name("stock"), false)]);
}
