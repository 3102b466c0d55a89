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
fn what_was_said_of_another_version_or_of_other_services_is_not_said_of_this_one() {
    let backends = "[{name: cart-v1, port: 80, weight: 1}, {name: cart-v2, port: 8080, weight: 0}]";
    let promoted = |version: &str| State { phase: Phase::Promoted, ..State::of(version, Vec::new()) };
    let all_to_stable = named(&[("cart-v1", 80, 1_000_000), ("cart-v2", 8080, 0)]);
    let other_version = with(backends, Some(promoted("v1")));
    assert_eq!(weights(&other_version), all_to_stable);
    let other_sides = with(backends, Some(State { sides: 7, ..promoted("v2") }));
    assert_eq!(weights(&other_sides), all_to_stable, "the two may have changed places");
    assert_eq!(other_sides.canaries[0].current().phase, Phase::Waiting);
    let same = with(backends, Some(State { sides: other_sides.canaries[0].sides, ..promoted("v2") }));
    assert_eq!(weights(&same), named(&[("cart-v1", 80, 0), ("cart-v2", 8080, 1_000_000)]));
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

/// One Service with both versions behind it, told apart by labels.
fn with_target(target: &str, more: &str, state: Option<State>) -> Compiled {
    let workload = |name: &str, version: &str, address: &str| {
        format!(
            "apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: cart, version: {version}}}}}
spec: {{address: {address}, ports: [{{port: 80}}]}}
---
"
        )
    };
    let service = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: web, port: 80}, {name: db, port: 81, targetPort: 80, appProtocol: tcp}], sessionAffinity: ClientIP}
---
";
    let canary = format!(
        "apiVersion: amime.io/v1alpha1
kind: Canary
metadata: {{name: cart, namespace: shop}}
spec:
  target: {{service: cart, {target}}}
  version: v2
  cohort: [{{header: X-Group, value: beta}}]
  steps: [{{cohort: true}}, {{weight: 0}}, {{weight: 10}}, {{shadow: 5}}]
---
"
    );
    let members = [
        workload("a", "v1", "127.0.0.1"),
        workload("b", "v2", "127.0.0.2"),
        workload("c", "v0", "127.0.0.3"),
    ]
    .concat();
    compiled(&format!("{service}{members}{canary}{more}"), state)
}

const NEW: &str = "canary: {labels: {version: v2}}";

fn endpoints(compiled: &Compiled, service: &str) -> Vec<String> {
    let (_, endpoints) = &compiled.services[&ServiceName::new("shop", service).unwrap()];
    endpoints.port(80).iter().map(|endpoint| endpoint.address.ip().to_string()).collect()
}

#[test]
fn one_service_is_divided_by_labels_without_a_route_and_before_anything_was_decided() {
    let nothing = with_target(NEW, "", None);
    assert_eq!(weights(&nothing), named(&[("cart.stable", 80, 1_000_000), ("cart.canary", 80, 0)]));
    assert_eq!(endpoints(&nothing, "cart.stable"), ["127.0.0.1", "127.0.0.3"], "all that are not new");
    assert_eq!(endpoints(&nothing, "cart.canary"), ["127.0.0.2"]);
    assert_eq!(nothing.routes.len(), 1, "none for what is no HTTP");
    assert_eq!(nothing.routes[0].id.to_string(), "httproute/shop/cart.canary.80");
    assert_eq!((nothing.canaries[0].ready, nothing.canaries[0].routing), ((2, 1), Routing::Stable));
    let served = &nothing.own.values().next().unwrap().ports;
    assert!(
        served.iter().all(|port| port.service.0.name() == "cart"),
        "the called side knows the Service only"
    );
    assert_eq!(nothing.policies[0].targets.len(), 3, "policies of the Service count for both versions");
    let both = format!("stable: {{labels: {{version: v1}}}}, {NEW}");
    assert_eq!(endpoints(&with_target(&both, "", None), "cart.stable"), ["127.0.0.1"]);
    let running = with_target(NEW, "", Some(at(Phase::Progressing, 2)));
    assert_eq!(weights(&running), named(&[("cart.stable", 80, 900_000), ("cart.canary", 80, 100_000)]));
    let promoted = with_target(NEW, "", Some(at(Phase::Promoted, 3)));
    assert_eq!(weights(&promoted), named(&[("cart.stable", 80, 0), ("cart.canary", 80, 1_000_000)]));
}

#[test]
fn without_a_stable_endpoint_before_a_release_the_service_is_whole() {
    let nobody = format!("stable: {{labels: {{version: gone}}}}, {NEW}");
    for state in [None, Some(at(Phase::Waiting, 0))] {
        let compiled = with_target(&nobody, "", state);
        assert_eq!(weights(&compiled), named(&[("cart", 80, 1)]));
    }
}

#[test]
fn a_route_of_the_users_is_divided_in_place_of_one_of_ours() {
    let own = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
";
    let compiled = with_target(NEW, own, Some(at(Phase::Progressing, 2)));
    assert_eq!(compiled.routes.len(), 1);
    assert_eq!(weights(&compiled), named(&[("cart.stable", 80, 900_000), ("cart.canary", 80, 100_000)]));
    let edited =
        with_target(NEW, &own.replace("port: 80}", "port: 80, weight: 7}"), Some(at(Phase::Progressing, 2)));
    assert_eq!(
        edited.canaries[0].own_weights, compiled.canaries[0].own_weights,
        "no route can say these weights"
    );
}

#[test]
fn a_cohort_goes_to_the_new_version_while_it_is_tried() {
    let takes = |state: Option<State>| {
        let compiled = with_target(NEW, "", state);
        let backends = &compiled.routes[0].rules[0].backends;
        (
            weights(&compiled)[1].2,
            backends[1].takes.iter().map(|wanted| wanted.name.clone()).collect::<Vec<_>>(),
        )
    };
    let beta = || vec!["x-group".to_owned()];
    assert_eq!(takes(None), (0, vec![]));
    assert_eq!(takes(Some(at(Phase::Progressing, 0))), (0, beta()));
    assert_eq!(takes(Some(at(Phase::Progressing, 1))), (0, beta()), "a preview");
    assert_eq!(takes(Some(at(Phase::Paused, 2))), (100_000, beta()), "who has seen it stays with it");
    assert_eq!(takes(Some(at(Phase::Progressing, 3))), (0, vec![]), "answers to copies reach nobody");
    assert_eq!(takes(Some(at(Phase::RolledBack, 2))), (0, vec![]));
}

#[test]
fn pods_of_a_deployment_are_a_version() {
    let pod = |name: &str, address: &str| {
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: {name}-5d8f-x, namespace: shop, labels: {{app: cart, pod-template-hash: 5d8f}}}}
status: {{phase: Running, podIP: {address}}}
---
"
        )
    };
    let endpoint = |name: &str, address: &str| {
        format!("{{addresses: [{address}], targetRef: {{kind: Pod, name: {name}-5d8f-x, namespace: shop}}}}")
    };
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: cart-1, namespace: shop, labels: {{kubernetes.io/service-name: cart}}}}
addressType: IPv4
ports: [{{name: web, port: 8080}}]
endpoints: [{}, {}]
---
",
        endpoint("cart", "10.0.0.1"),
        endpoint("cart-next", "10.0.0.2")
    );
    let more = format!("{}{}{slice}", pod("cart", "10.0.0.1"), pod("cart-next", "10.0.0.2"));
    let target = "stable: {deployment: cart}, canary: {deployment: cart-next}";
    let compiled = with_target(target, &more, None);
    assert_eq!(endpoints(&compiled, "cart.stable"), ["10.0.0.1"]);
    assert_eq!(endpoints(&compiled, "cart.canary"), ["10.0.0.2"]);
}

#[test]
fn two_canaries_on_one_service_with_both_versions_are_refused_too() {
    let other = "apiVersion: amime.io/v1alpha1
kind: Canary
metadata: {name: zzz, namespace: shop}
spec: {stable: cart, canary: other, version: v3, steps: [{weight: 10}]}
";
    let compiled = with_target(NEW, other, None);
    let refused = compiled.canaries.iter().map(|release| release.refused.is_some()).collect::<Vec<_>>();
    assert_eq!(refused, [false, true]);
}

#[test]
fn more_endpoints_of_a_version_change_no_share() {
    let more = |address: &str| {
        format!(
            "apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {{name: b{address}, namespace: shop, labels: {{app: cart, version: v2}}}}
spec: {{address: 127.0.1.{address}, ports: [{{port: 80}}]}}
---
"
        )
    };
    let running = || Some(at(Phase::Progressing, 2));
    let scaled = with_target(NEW, &[more("1"), more("2"), more("3")].concat(), running());
    assert_eq!(endpoints(&scaled, "cart.canary").len(), 4);
    assert_eq!(weights(&scaled), weights(&with_target(NEW, "", running())));
    assert_eq!(scaled.canaries[0].own_weights, with_target(NEW, "", running()).canaries[0].own_weights);
}
