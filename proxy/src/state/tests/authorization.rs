//! Who may call the workload, as updates and what is in force after them: nothing that cannot be read opens anything.

use mesh_model::name::Name;
use mesh_model::policy::{Action, AuthorizationPolicy, Rule, Scope};

use super::*;

fn allow(name: &str, rules: usize) -> ModelResource {
    ModelResource::Authorization(AuthorizationPolicy {
        name: Name::new("shop", name).unwrap(),
        action: Action::Allow,
        rules: vec![Rule::default(); rules],
        external: None,
        scope: Scope::All,
        refused: None,
        origin: "f.yaml:1".to_owned(),
    })
}

/// Name, number of rules, and whether it stands in for one that cannot be read.
fn shown(snapshot: &Snapshot) -> Vec<(String, usize, bool)> {
    let show =
        |it: &Arc<AuthorizationPolicy>| (it.name.name().to_owned(), it.rules.len(), it.refused.is_some());
    snapshot.authorization().iter().map(show).collect()
}

/// As which it is told to the controller.
fn version(store: &Store, name: &str) -> String {
    let name = format!("authorizationpolicy/shop/{name}");
    store.held().into_iter().find(|held| held.name == name).unwrap().version
}

fn with_bad(store: &mut Store, resource: &ModelResource) -> Applied {
    store.apply(Update { resources: vec![bad(resource)], ..update(&[], &[]) })
}

#[test]
fn policies_come_change_and_go_and_the_rest_keeps_its_arc() {
    let mut store = store(&[]);
    let first = store.apply(update(&[allow("a", 1), allow("b", 1)], &[])).snapshot;
    assert_eq!(shown(&first), [("a".to_owned(), 1, false), ("b".to_owned(), 1, false)]);
    let same = store.apply(update(&[allow("a", 1), service("cart")], &[])).snapshot;
    assert!(Arc::ptr_eq(first.authorization(), same.authorization()));
    let changed = store.apply(update(&[allow("a", 2)], &["authorizationpolicy/shop/b"])).snapshot;
    assert_eq!(shown(&changed), [("a".to_owned(), 2, false)]);
    assert!(store.held().iter().any(|held| held.name == "authorizationpolicy/shop/a"));
}

#[test]
fn a_restart_opens_nothing_that_was_closed() {
    use mesh_proto::config::v1::ProxyId;
    let front = ProxyId { namespace: "shop".to_owned(), workload: "front".to_owned(), ..ProxyId::default() };
    let mut before = store(&[]);
    before.apply(update(&[mesh(true), allow("a", 2)], &[]));
    with_bad(&mut before, &allow("b", 1));
    let after = Store::restore(&before.save(&front).unwrap(), &front).unwrap();
    assert_eq!(shown(after.snapshot()), [("a".to_owned(), 2, false), ("b".to_owned(), 0, true)]);
    assert_eq!(version(&after, "b"), "", "no version of the controller's, so it is sent again");
}

// T47
#[test]
fn a_policy_that_cannot_be_read_closes_unless_a_good_form_is_held() {
    let mut store = store(&[]);
    let applied = with_bad(&mut store, &allow("a", 1));
    assert_eq!((applied.rejects.len(), applied.rejects[0].field.as_str()), (1, "action"));
    assert_eq!(shown(&applied.snapshot), [("a".to_owned(), 0, true)]);
    assert_eq!(version(&store, "a"), "");
    let mended = store.apply(update(&[allow("a", 1)], &[]));
    assert_eq!(shown(&mended.snapshot), [("a".to_owned(), 1, false)]);
    let kept = with_bad(&mut store, &allow("a", 2));
    assert_eq!(shown(&kept.snapshot), [("a".to_owned(), 1, false)], "the last good form stays");
    let gone = store.apply(update(&[], &["authorizationpolicy/shop/a"]));
    assert_eq!(shown(&gone.snapshot), []);
}
