//! Parts of compiling that snapshots of folders (`tests/compile.rs`) do not show well.

mod asked;

use mesh_model::endpoint::Transport;
use mesh_model::route::BackendTarget;

use super::*;
use crate::sources::state::{Contents, DirState};

fn compiled(yaml: &str) -> Compiled {
    let mut state = DirState::default();
    let mut index = Index::default();
    index.apply(state.apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 1);
    assert_eq!(state.reports(), []);
    compile(&index, &TrustDomain::new("mesh.test").unwrap())
}

const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: TARGET}]}
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {address: 127.0.0.9, ports: [{name: main, port: 80, meshPort: 1}, {name: http, port: 8080, meshPort: 2}]}
";

#[test]
fn the_target_port_is_a_number_a_name_or_the_same() {
    for (target, port) in [("8080", 2), ("http", 2), ("80", 1), ("0", 1), ("null", 1), ("main", 1)] {
        let compiled = compiled(&WEB.replace("TARGET", target));
        let (_, endpoints) = compiled.services.values().next().unwrap();
        assert_eq!(endpoints.port(80)[0].address.port(), port, "{target}");
    }
}

#[test]
fn without_mtls_endpoints_show_no_identity() {
    let yaml = format!(
        "{}---\napiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata: {{name: default}}\nspec: {{mtls: {{mode: Disabled}}}}\n",
        WEB.replace("TARGET", "80")
    );
    let compiled = compiled(&yaml);
    let (_, endpoints) = compiled.services.values().next().unwrap();
    assert_eq!(endpoints.port(80)[0].transport, Transport::Plain);
}

#[test]
fn another_trust_domain_than_the_authoritys_is_told_and_not_used() {
    let compiled = compiled(
        "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {trustDomain: other.test}}",
    );
    assert_eq!(compiled.mesh.trust_domain.as_str(), "mesh.test");
    let report = compiled.objects.values().next().unwrap();
    assert_eq!(report.conditions[0].reason, "TrustDomainMismatch");
}

#[test]
fn a_rule_without_backends_of_several_ports_has_none() {
    let yaml = "
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {ports: [{name: x, port: 1}, {name: y, port: 2}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {parentRefs: [{group: '', kind: Service, name: a}], rules: [{}]}
";
    assert_eq!(compiled(yaml).routes[0].rules[0].backends, []);
}

#[test]
fn a_route_takes_effect_when_its_service_comes() {
    let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {parentRefs: [{group: '', kind: Service, name: web}], rules: [{backendRefs: [{name: web, port: 80}]}]}
";
    let target = |compiled: &Compiled| compiled.routes[0].rules[0].backends[0].target.clone();
    assert!(matches!(target(&compiled(route)), BackendTarget::Invalid { .. }));
    let both = compiled(&format!("{}---{route}", WEB.replace("TARGET", "80")));
    assert!(matches!(target(&both), BackendTarget::Service { port: 80, .. }));
}

#[test]
fn a_workload_that_serves_too_much_gets_the_first_and_is_told() {
    let services = |count: usize| {
        let one = |n: usize| {
            format!(
                "---\n{{apiVersion: v1, kind: Service, metadata: {{name: s{n:04}, namespace: shop}}, spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}}}\n"
            )
        };
        let workload = "{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {address: 127.0.0.9, ports: [{port: 80}]}}\n";
        workload.to_owned() + &(0..count).map(one).collect::<String>()
    };
    assert_eq!(own::MAX_OWN, mesh_proto::convert::bounds::OWN, "as much as a proxy takes");
    let report = |compiled: &Compiled| {
        compiled
            .objects
            .values()
            .find(|report| !report.conditions.is_empty())
            .map(|report| report.conditions[0].clone())
    };
    let full = compiled(&services(own::MAX_OWN));
    assert_eq!((full.own.values().next().unwrap().ports.len(), report(&full)), (own::MAX_OWN, None));
    let over = compiled(&services(own::MAX_OWN + 1));
    let ports = &over.own.values().next().unwrap().ports;
    assert_eq!(
        (ports.len(), ports.last().unwrap().service.to_string()),
        (own::MAX_OWN, "shop/s1023".to_owned())
    );
    assert_eq!(report(&over).unwrap().reason, "TooManyServices");
}

const SERVICE: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}\n";

fn policy(name: &str, created: &str, target: &str) -> String {
    format!(
        "---\n{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: {name}, namespace: shop, creationTimestamp: '{created}'}}, \
         spec: {{targetRefs: [{target}], timeouts: {{request: 1s}}}}}}\n"
    )
}

#[test]
fn a_policy_takes_effect_when_its_target_comes_and_when_the_winner_goes() {
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let in_force = |yaml: &str| {
        let compiled = compiled(yaml);
        compiled.policies.iter().map(|policy| policy.name.name().to_owned()).collect::<Vec<_>>()
    };
    let target = "{kind: Service, name: web}";
    let (first, second) = (policy("z", old, target), policy("a", new, target));
    assert_eq!(in_force(&first), Vec::<String>::new());
    assert_eq!(in_force(&format!("{SERVICE}{first}")), ["z"]);
    assert_eq!(in_force(&format!("{SERVICE}{first}{second}")), ["z"], "the older one");
    assert_eq!(in_force(&format!("{SERVICE}{second}")), ["a"]);
    let port = policy("a", new, "{kind: Service, name: web, port: 80}");
    assert_eq!(in_force(&format!("{SERVICE}{first}{port}")), ["a", "z"], "a port is another target");
}

#[test]
fn settings_of_one_policy_never_come_from_another_one() {
    let compiled = compiled(&format!(
        "{SERVICE}{}{}",
        policy("z", "2026-01-01T00:00:00Z", "{kind: Service, name: web}"),
        policy("a", "2026-01-02T00:00:00Z", "{kind: Service, name: web}")
            .replace("timeouts: {request: 1s}", "retries: {attempts: 5}")
    ));
    assert_eq!(compiled.policies.len(), 1);
    assert!(compiled.policies[0].settings.retries.is_none());
}

#[test]
fn a_service_with_client_ip_affinity_is_balanced_by_source_address_unless_a_policy_says_otherwise() {
    use mesh_model::traffic::{Algorithm, HashKey, effective};
    let with = |affinity: &str, policy: &str| {
        let web = WEB
            .replace("TARGET", "80")
            .replace("spec: {selector", &format!("spec: {{sessionAffinity: {affinity}, selector"));
        let compiled = compiled(&format!("{web}{policy}"));
        let service = compiled.services.keys().next().unwrap().clone();
        effective::backend_policy(&compiled.policies, &service, 80).balancing
    };
    let by_source =
        |algorithm: &Algorithm| matches!(algorithm, Algorithm::RingHash { key: HashKey::SourceAddress, .. });
    let found = with("ClientIP", "");
    assert!(by_source(&found.value.algorithm), "{found:?}");
    assert_eq!(found.origin.to_string(), "service/shop/web spec.sessionAffinity");
    assert!(!by_source(&with("None", "").value.algorithm));
    let policy = |settings: &str| {
        format!(
            "---\napiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: web, namespace: shop}}\nspec: {{targetRefs: [{{kind: Service, name: web}}], {settings}}}\n"
        )
    };
    let found = with("ClientIP", &policy("loadBalancer: {type: RoundRobin}"));
    assert_eq!(found.value.algorithm, Algorithm::RoundRobin);
    assert!(by_source(&with("ClientIP", &policy("timeouts: {request: 3s}")).value.algorithm));
}
