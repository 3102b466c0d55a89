//! What a snapshot shares and who needs what.

use mesh_model::spiffe::TrustDomain;

use super::*;
use crate::compile::{Compiled, compile};
use crate::index::Index;
use crate::serve::Touched;
use crate::sources::state::{Contents, DirState};

pub(in crate::serve) fn compiled(yaml: &str) -> Compiled {
    let mut state = DirState::default();
    let mut index = Index::default();
    index.apply(state.apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 1);
    assert_eq!(state.reports(), []);
    compile(&index, &TrustDomain::new("mesh.test").unwrap())
}

pub(in crate::serve) const SHOP: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: v1, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: v2, namespace: shop}, spec: {ports: [{port: 80}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, labels: {x: a}}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules: [{backendRefs: [{name: v1, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: bank}
spec:
  parentRefs: [{group: '', kind: Service, name: web, namespace: shop}]
  rules: [{backendRefs: [{name: v1, namespace: shop, port: 80}]}]
";

pub(in crate::serve) fn snapshot(
    yaml: &str,
    revision: u64,
    before: Option<&Snapshot>,
) -> (Snapshot, Touched) {
    Snapshot::build(&compiled(yaml), revision, 100 + revision, before)
}

fn closure(snapshot: &Snapshot, service: &str, namespace: &str) -> Option<Vec<String>> {
    let mut names = std::collections::BTreeSet::new();
    let known = snapshot.closure(&ServiceName::new("shop", service).unwrap(), namespace, |resource| {
        names.insert(resource.name.to_string());
    });
    known.then(|| names.into_iter().collect())
}

#[test]
fn a_client_gets_the_service_its_routes_and_their_backends() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    assert_eq!(
        closure(&snapshot, "web", "shop").unwrap(),
        [
            "endpoints/shop/v1",
            "endpoints/shop/v2",
            "endpoints/shop/web",
            "httproute/shop/web",
            "service/shop/v1",
            "service/shop/v2",
            "service/shop/web"
        ]
    );
    assert!(
        closure(&snapshot, "web", "bank").unwrap().contains(&"httproute/bank/web".to_owned()),
        "a consumer route of its own namespace"
    );
    assert!(
        !closure(&snapshot, "web", "other").unwrap().contains(&"httproute/bank/web".to_owned()),
        "nobody else's"
    );
    assert_eq!(closure(&snapshot, "v1", "shop").unwrap(), ["endpoints/shop/v1", "service/shop/v1"]);
    assert_eq!(closure(&snapshot, "nobody", "shop"), None);
}

#[test]
fn a_client_gets_the_routes_of_connections_and_their_backends() {
    let tcp = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: tcp, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: v1}]
  rules: [{backendRefs: [{name: v2, port: 80, weight: WEIGHT}]}]
";
    let yaml = format!("{SHOP}{tcp}");
    let (first, _) = snapshot(&yaml.replace("WEIGHT", "1"), 1, None);
    assert_eq!(
        closure(&first, "v1", "shop").unwrap(),
        ["endpoints/shop/v1", "endpoints/shop/v2", "service/shop/v1", "service/shop/v2", "tcproute/shop/tcp"]
    );
    let (_, news) = snapshot(&yaml.replace("WEIGHT", "2"), 2, Some(&first));
    assert!(!news.is_nothing());
}

/// A policy for each target, `NAME: TARGET`.
fn policies(targets: &[(&str, &str)]) -> String {
    let one = |(name, target): &(&str, &str)| {
        format!(
            "---\n{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: {name}, namespace: shop}}, \
             spec: {{targetRefs: [{target}], timeouts: {{request: 1s}}}}}}\n"
        )
    };
    targets.iter().map(one).collect()
}

#[test]
fn a_client_gets_the_policies_on_all_that_it_uses_and_no_others() {
    let targets = [
        ("web", "{kind: Service, name: web}"),
        ("route", "{kind: HTTPRoute, name: web}"),
        ("v1", "{kind: Service, name: v1, port: 80}"),
        ("lone", "{kind: Service, name: lone}"),
    ];
    let lone = "---\n{apiVersion: v1, kind: Service, metadata: {name: lone, namespace: shop}, spec: {ports: [{port: 80}]}}\n";
    let (snapshot, _) = snapshot(&format!("{SHOP}{lone}{}", policies(&targets)), 1, None);
    let policies_of = |service: &str, namespace: &str| {
        let names = closure(&snapshot, service, namespace).unwrap();
        names.into_iter().filter(|name| name.starts_with("trafficpolicy/")).collect::<Vec<_>>()
    };
    assert_eq!(
        policies_of("web", "shop"),
        ["trafficpolicy/shop/route", "trafficpolicy/shop/v1", "trafficpolicy/shop/web"]
    );
    assert_eq!(policies_of("v1", "shop"), ["trafficpolicy/shop/v1"]);
    assert_eq!(policies_of("v2", "shop"), Vec::<String>::new());
    assert_eq!(policies_of("lone", "shop"), ["trafficpolicy/shop/lone"]);
}

#[test]
fn the_services_that_copies_go_to_are_told_too() {
    let yaml = SHOP.replace(
        "rules: [{backendRefs: [{name: v1, namespace: shop, port: 80}]}]",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, namespace: shop, port: 80}}}], \
         backendRefs: [{name: v1, namespace: shop, port: 80}]}]",
    );
    let (snapshot, _) = snapshot(&yaml, 1, None);
    assert!(closure(&snapshot, "web", "bank").unwrap().contains(&"endpoints/shop/v2".to_owned()));
}

#[test]
fn a_policy_is_the_same_where_only_its_place_in_the_file_differs() {
    let policy = policies(&[("web", "{kind: Service, name: web}")]);
    let (first, _) = snapshot(&format!("{SHOP}{policy}"), 1, None);
    let (moved, news) = snapshot(&format!("{SHOP}\n\n{policy}"), 2, Some(&first));
    assert!(news.is_nothing());
    let (_, news) = snapshot(&format!("{SHOP}{}", policy.replace("1s", "2s")), 3, Some(&moved));
    assert!(!news.is_nothing());
}

#[test]
fn what_is_the_same_is_the_same_bytes() {
    let (first, news) = snapshot(SHOP, 1, None);
    assert!(!news.is_nothing());
    let (second, _) = snapshot(&SHOP.replace("weight: 90", "weight: 80"), 2, Some(&first));
    for (name, resource) in &*second.resources {
        let shared = Arc::ptr_eq(resource, first.resource(name).unwrap());
        assert_eq!(shared, &**name != "httproute/shop/web", "{name}");
    }
}

#[test]
fn an_edit_without_meaning_is_no_news() {
    let (first, _) = snapshot(SHOP, 1, None);
    let edited = format!(
        "# A comment moves every line.\n{}",
        SHOP.replace("labels: {x: a}", "labels: {x: b}, annotations: {y: z}")
    );
    let (_, news) = snapshot(&edited, 2, Some(&first));
    assert!(news.is_nothing());
    let (_, news) = snapshot(SHOP.split("---\napiVersion").next().unwrap(), 3, Some(&first));
    assert!(!news.is_nothing(), "something is gone");
}

/// Services that are asked about requests to `web`: by a route, by a limit and by a policy about its workloads.
const ASKED: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-route, namespace: auth}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-limit, namespace: auth}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-policy, namespace: auth}, spec: {ports: [{port: 80}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
    - filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: by-route, namespace: auth, port: 80}}}]
      backendRefs: [{name: web, port: 80}]
---
apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  globalRateLimit:
    backendRef: {name: by-limit, namespace: auth, port: 80}
    domain: shop
    descriptors: [{entries: [{key: path, type: Path}]}]
---
apiVersion: amime.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  action: External
  rules: [{}]
  external: {protocol: HTTP, backendRef: {name: by-policy, namespace: auth, port: 80}}
";

#[test]
fn who_asks_gets_the_services_that_are_asked() {
    let (snapshot, _) = snapshot(ASKED, 1, None);
    assert_eq!(
        closure(&snapshot, "web", "shop").unwrap(),
        [
            "endpoints/auth/by-limit",
            "endpoints/auth/by-route",
            "endpoints/shop/web",
            "httproute/shop/web",
            "service/auth/by-limit",
            "service/auth/by-route",
            "service/shop/web",
            "trafficpolicy/shop/web",
        ]
    );
    let told = |namespace: &str| {
        let mut names = std::collections::BTreeSet::new();
        snapshot.closure_of_authorization(None, namespace, |resource| {
            names.insert(resource.name.to_string());
        });
        names.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        told("shop"),
        ["authorizationpolicy/shop/web", "endpoints/auth/by-policy", "service/auth/by-policy"]
    );
    assert_eq!(told("bank"), [] as [String; 0]);
}
