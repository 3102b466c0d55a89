//! Property: it does not matter by which updates a configuration came.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SERVICES: [&str; 4] = ["a", "b", "c", "d"];

/// One change of the source: a resource comes, or goes.
#[derive(Debug, Clone)]
enum Change {
    Put(ModelResource),
    Remove(String),
    Bad(ModelResource),
}

fn resource_strategy() -> impl Strategy<Value = ModelResource> {
    let any_service = || prop::sample::select(&SERVICES[..]);
    prop_oneof![
        1 => any::<bool>().prop_map(mesh),
        3 => any_service().prop_map(service),
        4 => (any_service(), prop::collection::btree_set(1u8..5, 1..4))
            .prop_map(|(of, hosts)| endpoints(of, &hosts.into_iter().collect::<Vec<_>>())),
        4 => (prop::sample::select(&["r1", "r2", "r3"][..]), any_service(), prop::collection::vec(any_service(), 1..3))
            .prop_map(|(of, parent, backends)| route(of, parent, &backends)),
        2 => (prop::sample::select(&["p1", "p2"][..]), any_service(), prop::option::of(Just(80)), 1u32..4)
            .prop_map(|(of, target, port, number)| policy(of, on_service(target, port), number)),
        1 => (prop::sample::select(&["p3", "p4"][..]), prop::sample::select(&["r1", "r2"][..]), 1u32..4)
            .prop_map(|(of, target, number)| policy(of, on_route(target), number)),
        1 => prop::collection::btree_set(any_service(), 1..3)
            .prop_map(|of| own(&of.into_iter().collect::<Vec<_>>())),
    ]
}

fn change_strategy() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => resource_strategy().prop_map(Change::Put),
        2 => resource_strategy()
            .prop_filter("settings are never removed", |resource| !matches!(resource, ModelResource::Mesh(_)))
            .prop_map(|resource| Change::Remove(resource.name())),
        1 => resource_strategy().prop_map(Change::Bad),
    ]
}

/// What a workload can see, in a form that can be compared.
fn visible(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = vec![format!("{:?} {:?}", snapshot.settings(), snapshot.own())];
    for of in SERVICES {
        let destination = match snapshot.destination(&name(of)) {
            Lookup::Known(destination) => {
                let mut routes: Vec<_> = destination
                    .table(80)
                    .unwrap()
                    .routes()
                    .iter()
                    .map(|route| format!("{route:?}"))
                    .collect();
                routes.sort();
                let table = destination.table(80).unwrap();
                let rules: BTreeMap<_, _> =
                    table.rules().map(|rule| (rule.label.to_string(), rule.policy())).collect();
                format!("{:?} {routes:?} {rules:?} {:?}", destination.service, table.default_policy())
            }
            Lookup::Unknown => "unknown".to_owned(),
            Lookup::NotAsked => "not asked".to_owned(),
        };
        lines.push(destination);
        lines.push(format!("{:?}", snapshot.endpoints(&name(of))));
        lines.push(format!("{:?}", snapshot.service(&name(of))));
        lines.push(format!("{:?}", [80, 81].map(|port| snapshot.backend_policy(&name(of), port))));
    }
    lines
}

/// Makes a set complete, as a controller's always is: every service has endpoints.
fn complete(state: &mut BTreeMap<String, ModelResource>) -> Vec<ModelResource> {
    let missing: Vec<_> = SERVICES
        .into_iter()
        .flat_map(|of| [service(of), endpoints(of, &[9])])
        .filter(|resource| !state.contains_key(&resource.name()))
        .collect();
    state.extend(missing.iter().map(|resource| (resource.name(), resource.clone())));
    missing
}

proptest! {
    #[test]
    fn any_sequence_of_updates_ends_as_the_final_state_at_once(
        batches in prop::collection::vec(prop::collection::vec(change_strategy(), 1..6), 1..12),
    ) {
        let mut step_by_step = store(&SERVICES);
        let mut state = BTreeMap::new();
        for batch in batches {
            let mut message = update(&[], &[]);
            for change in batch {
                let named = match &change {
                    Change::Put(resource) | Change::Bad(resource) => resource.name(),
                    Change::Remove(named) => named.clone(),
                };
                // One change a resource in an update, as controllers send it.
                if message.removed.contains(&named) || message.resources.iter().any(|r| r.name == named) {
                    continue;
                }
                match change {
                    Change::Put(resource) => {
                        message.resources.push(wire(&resource));
                        state.insert(named, resource);
                    }
                    Change::Bad(resource) => message.resources.push(bad(&resource)),
                    Change::Remove(named) => {
                        state.remove(&named);
                        message.removed.push(named);
                    }
                }
            }
            step_by_step.apply(message);
        }
        let missing = complete(&mut state);
        let stepped = step_by_step.apply(update(&missing, &[])).snapshot;

        let mut at_once = store(&SERVICES);
        let all: Vec<_> = state.into_values().collect();
        let whole = at_once.apply(update(&all, &[])).snapshot;
        prop_assert_eq!(visible(&stepped), visible(&whole));
        let versions = |store: &Store| {
            let mut held: Vec<_> = store.held().into_iter().map(|held| (held.name, held.version)).collect();
            held.sort();
            held
        };
        prop_assert_eq!(versions(&step_by_step), versions(&at_once));
    }

    #[test]
    fn what_did_not_change_keeps_its_arc_whatever_else_does(
        batches in prop::collection::vec(prop::collection::vec(change_strategy(), 1..6), 1..12),
    ) {
        let mut store = store(&SERVICES);
        for batch in batches {
            let before = Arc::clone(store.snapshot());
            let resources: BTreeMap<_, _> = batch
                .into_iter()
                .filter_map(|change| match change {
                    Change::Put(resource) => Some((resource.name(), resource)),
                    Change::Bad(_) | Change::Remove(_) => None,
                })
                .collect();
            let after = store.apply(update(&resources.into_values().collect::<Vec<_>>(), &[])).snapshot;
            for of in SERVICES {
                if let (Some(a), Some(b)) = (before.endpoints(&name(of)), after.endpoints(&name(of))) {
                    prop_assert_eq!(Arc::ptr_eq(a, b), a == b);
                }
                for port in [80, 81] {
                    let policy = |snapshot: &Snapshot| snapshot.backend_policy(&name(of), port);
                    let (a, b) = (policy(&before), policy(&after));
                    prop_assert_eq!(Arc::ptr_eq(&a, &b), a == b);
                }
            }
        }
    }
}
