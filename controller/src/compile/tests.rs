//! Parts of compiling that snapshots of folders (`tests/compile.rs`) do not show well.

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
