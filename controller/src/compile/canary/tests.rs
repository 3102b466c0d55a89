//! What lies over routes, and what does not.

use mesh_release::state::{Pause, Phase};

use super::*;
use crate::compile::{Compiled, compile};
use crate::sources::state::{Contents, DirState};

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v1, namespace: shop}
spec: {selector: {app: cart-v1}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v2, namespace: shop}
spec: {selector: {app: cart-v2}, ports: [{port: 8080}]}
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {name: cart-v1, namespace: shop, labels: {app: cart-v1}}
spec: {address: 127.0.0.1, ports: [{port: 80}]}
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {name: cart-v2, namespace: shop, labels: {app: cart-v2}}
spec: {address: 127.0.0.2, ports: [{port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  rules:
    - backendRefs: BACKENDS
---
";

fn canary(name: &str, created: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1
kind: Canary
metadata: {{name: {name}, namespace: shop, creationTimestamp: '{created}'}}
spec: {{stable: cart-v1, canary: cart-v2, version: v2, steps: [{{weight: 10}}, {{shadow: 20}}, {{weight: 50}}]}}
---
"
    )
}

fn compiled(yaml: &str, state: Option<State>) -> Compiled {
    let mut files = DirState::default();
    let mut index = Index::default();
    index.apply(files.apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 1);
    assert_eq!(files.reports(), []);
    let key = ObjectKey::new(crate::api::Kind::Canary, "shop", "cart");
    index.releases = Some(Arc::new(state.map(|state| (key, state)).into_iter().collect()));
    compile(&index, &mesh_model::spiffe::TrustDomain::new("mesh.test").unwrap())
}

fn with(backends: &str, state: Option<State>) -> Compiled {
    let text = format!("{}{}", SHOP.replace("BACKENDS", backends), canary("cart", "2026-01-01T00:00:00Z"));
    compiled(&text, state)
}

fn at(phase: Phase, step: usize) -> State {
    State { phase, step, ..State::of("v2", Vec::new()) }
}

/// Name, port and weight of each backend.
fn weights(compiled: &Compiled) -> Vec<(String, u16, u32)> {
    let backends = compiled.routes[0].rules[0].backends.iter();
    let one = |backend: &Backend| match &backend.target {
        BackendTarget::Service { service, port } => (service.0.name().to_owned(), *port, backend.weight),
        BackendTarget::Invalid { reference, .. } => panic!("{reference}"),
    };
    backends.map(one).collect()
}

fn named(list: &[(&str, u16, u32)]) -> Vec<(String, u16, u32)> {
    list.iter().map(|(name, port, weight)| ((*name).to_owned(), *port, *weight)).collect()
}

const ONE: &str = "[{name: cart-v1, port: 80}]";

#[test]
fn before_anything_was_decided_routes_keep_their_weights() {
    let both = "[{name: cart-v1, port: 80, weight: 9}, {name: cart-v2, port: 8080, weight: 1}]";
    assert_eq!(weights(&with(both, None)), named(&[("cart-v1", 80, 9), ("cart-v2", 8080, 1)]));
    let edited = State { pause: Some(Pause::Edited), ..at(Phase::Paused, 0) };
    assert_eq!(weights(&with(both, Some(edited))), named(&[("cart-v1", 80, 9), ("cart-v2", 8080, 1)]));
}

#[test]
fn what_goes_to_both_is_divided_and_a_rule_need_not_name_the_new_version() {
    let states = [
        (at(Phase::Waiting, 0), 0),
        (at(Phase::Progressing, 0), 100_000),
        (at(Phase::Paused, 2), 500_000),
        (at(Phase::Promoted, 2), 1_000_000),
        (at(Phase::RolledBack, 2), 0),
    ];
    for (state, share) in states {
        let wanted = named(&[("cart-v1", 80, 1_000_000 - share), ("cart-v2", 8080, share)]);
        assert_eq!(weights(&with(ONE, Some(state.clone()))), wanted, "{state:?}");
        let both = "[{name: cart-v2, port: 8080, weight: 3}, {name: cart-v1, port: 80, weight: 1}]";
        assert_eq!(weights(&with(both, Some(state.clone()))), wanted, "{state:?}");
    }
}

#[test]
fn other_backends_keep_their_share() {
    let three = "[{name: cart, port: 80, weight: 50}, {name: cart-v1, port: 80, weight: 50}]";
    let compiled = with(three, Some(at(Phase::Progressing, 0)));
    assert_eq!(
        weights(&compiled),
        named(&[("cart", 80, 1_000_000), ("cart-v1", 80, 900_000), ("cart-v2", 8080, 100_000)])
    );
    let none = "[{name: cart, port: 80, weight: 50}, {name: cart-v1, port: 80, weight: 0}]";
    let compiled = with(none, Some(at(Phase::Progressing, 0)));
    assert_eq!(weights(&compiled), named(&[("cart", 80, 50), ("cart-v1", 80, 0)]), "nothing is sent there");
}

#[test]
fn a_shadow_gets_copies_and_nothing_else() {
    let compiled = with(ONE, Some(at(Phase::Progressing, 1)));
    assert_eq!(weights(&compiled), named(&[("cart-v1", 80, 1_000_000), ("cart-v2", 8080, 0)]));
    let mirror = Mirror {
        target: BackendTarget::Service { service: ServiceName::new("shop", "cart-v2").unwrap(), port: 8080 },
        share: Ppm(200_000),
        compare: None,
    };
    assert_eq!(compiled.routes[0].rules[0].backends[0].filters, [Filter::Mirror(mirror)]);
}

#[test]
fn a_version_without_ready_endpoints_gets_nothing_at_once() {
    let text = SHOP
        .replace("BACKENDS", ONE)
        .replace("app: cart-v2}}\nspec: {address", "app: gone}}\nspec: {address");
    let text = format!("{text}{}", canary("cart", "2026-01-01T00:00:00Z"));
    let compiled = compiled(&text, Some(at(Phase::Progressing, 2)));
    assert_eq!(compiled.canaries[0].ready, (1, 0));
    assert_eq!(weights(&compiled), named(&[("cart-v1", 80, 1_000_000), ("cart-v2", 8080, 0)]));
}

#[test]
fn of_two_canaries_on_one_service_the_older_one_counts() {
    let text = format!(
        "{}{}{}",
        SHOP.replace("BACKENDS", ONE),
        canary("cart", "2026-01-02T00:00:00Z"),
        canary("older", "2026-01-01T00:00:00Z")
    );
    let compiled = compiled(&text, Some(at(Phase::Progressing, 0)));
    assert_eq!(weights(&compiled), named(&[("cart-v1", 80, 1)]), "what is refused has no effect");
    let report = &compiled.objects[&ObjectKey::new(crate::api::Kind::Canary, "shop", "cart")];
    assert_eq!(
        (report.conditions[0].reason, report.conditions[0].field.as_str()),
        ("Conflicted", "spec.stable")
    );
    assert_eq!(
        compiled.canaries[0].refused.as_deref(),
        Some(
            "Canary shop/older releases Service shop/cart-v1 already, and came first; this one does nothing"
        )
    );
    assert_eq!(compiled.canaries[1].refused, None);
}

#[test]
fn a_canary_that_divides_nothing_is_told() {
    let compiled = with("[{name: cart, port: 80}]", None);
    let report = &compiled.objects[&ObjectKey::new(crate::api::Kind::Canary, "shop", "cart")];
    assert_eq!(report.conditions[0].reason, "NoRoute");
}

#[test]
fn the_mark_changes_with_the_users_own_weights_only() {
    let mark = |backends: &str, state: Option<State>| with(backends, state).canaries[0].own_weights;
    let both = "[{name: cart-v1, port: 80, weight: 9}, {name: cart-v2, port: 8080, weight: 1}]";
    assert_eq!(mark(both, None), mark(both, Some(at(Phase::Progressing, 2))));
    assert_ne!(mark(both, None), mark(&both.replace('9', "8"), None));
}
