//! Which policy counts where, what that means for callers, and what is said of policies that do not count.

use mesh_model::endpoint::Transport;
use mesh_model::name::ServiceName;
use mesh_model::settings::MtlsMode::{self, Disabled, Permissive, Strict};
use mesh_model::spiffe::TrustDomain;

use crate::api::{Kind, ObjectKey};
use crate::compile::{Compiled, compile};
use crate::index::Index;
use crate::sources::refused;
use crate::sources::state::{Contents, DirState};

/// A pod `web` behind Service web (80 → 8080), a pod `db` that nothing selects, and a Workload whose sidecar has ports of its own.
const SHOP: &str = "
apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {mtls: {mode: Permissive}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, amime.io/injected: 'true'}}
status: {podIP: 10.0.0.1}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-1, namespace: shop}}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: shop, labels: {app: db, amime.io/injected: 'true'}}
status: {podIP: 10.0.0.2}
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {name: vm, namespace: shop, labels: {app: vm}}
spec: {address: 10.0.0.3, ports: [{port: 8080, meshPort: 18080}]}
---
";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: AuthenticationPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn compiled(policies: &[String]) -> Compiled {
    let mut state = DirState::default();
    let yaml = format!("{SHOP}{}", policies.concat());
    let changes = state.apply("f.yaml", Contents::Bytes(yaml.into_bytes()));
    let mut index = Index::default();
    index.refused = refused(&state.reports());
    index.apply(changes, 1);
    compile(&index, &TrustDomain::new("mesh.test").unwrap())
}

fn mode(compiled: &Compiled, workload: &str, port: u16) -> MtlsMode {
    let workload = mesh_model::name::WorkloadName::new("shop", workload).unwrap();
    compiled.authentication.of_workload(&workload).mode(port)
}

/// Reason, field and message of what is wrong with a policy.
fn said(compiled: &Compiled, policy: &str) -> Vec<(&'static str, String, String)> {
    let key = ObjectKey::new(Kind::AuthenticationPolicy, "shop", policy);
    let report = &compiled.objects[&key];
    report.conditions.iter().map(|one| (one.reason, one.field.clone(), one.message.clone())).collect()
}

#[test]
fn a_policy_is_for_its_namespace_for_who_serves_a_service_for_one_workload_or_for_labels() {
    let to_web = "{targetRefs: [{kind: Service, name: web}], mtls: {mode: Strict}}";
    let to_vm = "{targetRefs: [{group: amime.io, kind: Workload, name: vm}], mtls: {mode: Strict}}";
    let by_label = "{selector: {matchLabels: {app: db}}, mtls: {mode: Strict}}";
    for (spec, web, db, vm) in [
        ("{mtls: {mode: Strict}}", Strict, Strict, Strict),
        (to_web, Strict, Permissive, Permissive),
        (to_vm, Permissive, Permissive, Strict),
        (by_label, Permissive, Strict, Permissive),
    ] {
        let compiled = compiled(&[policy("p", spec)]);
        let found = ["web-1", "db-1", "vm"].map(|workload| mode(&compiled, workload, 8080));
        assert_eq!(found, [web, db, vm], "{spec}");
        assert_eq!(said(&compiled, "p"), [], "{spec}");
        assert_eq!(compiled.authentication.of("bank", None).mode(1), Permissive, "another namespace");
    }
}

#[test]
fn a_workload_that_nobody_knows_has_the_mode_of_its_namespace() {
    let compiled = compiled(&[policy("p", "{mtls: {mode: Strict}}")]);
    assert_eq!(mode(&compiled, "nobody-has-seen-it", 1), Strict);
    assert_eq!(compiled.authentication.of("shop", None).mode(1), Strict);
}

#[test]
fn a_port_is_where_the_application_listens_and_the_sidecar_is_told_its_own() {
    let ports = "mtls: {ports: [{port: 8080, mode: Strict}]}";
    let compiled = compiled(&[
        policy("web", &format!("{{targetRefs: [{{kind: Service, name: web}}], {ports}}}")),
        policy("vm", &format!("{{selector: {{matchLabels: {{app: vm}}}}, {ports}}}")),
    ]);
    assert_eq!((mode(&compiled, "web-1", 8080), mode(&compiled, "web-1", 80)), (Strict, Permissive));
    assert_eq!((mode(&compiled, "vm", 18080), mode(&compiled, "vm", 8080)), (Strict, Permissive));
}

#[test]
fn callers_use_no_mutual_tls_where_it_is_disabled_and_only_there() {
    let spec = "{selector: {matchLabels: {app: web}}, mtls: {ports: [{port: 8080, mode: Disabled}, {port: 9090, mode: Disabled}]}}";
    let compiled = compiled(&[policy("p", spec)]);
    let (_, endpoints) = &compiled.services[&ServiceName::new("shop", "web").unwrap()];
    assert_eq!(endpoints.port(80)[0].transport, Transport::Plain);
    let dialled = |ip: &str, port| {
        let ip = ip.parse().unwrap();
        let mesh_model::address::Meaning::Served(served) = &compiled.addresses[&ip].meaning else {
            panic!("{ip} is a virtual address")
        };
        served.port(ip, port).unwrap().endpoint.transport
    };
    assert_eq!(dialled("10.0.0.1", 8080), Transport::Plain);
    assert_eq!(dialled("10.0.0.1", 9090), Transport::Plain, "a port that no Service names");
    assert!(matches!(dialled("10.0.0.1", 9091), Transport::Mesh(_)), "every other port");
    assert!(matches!(dialled("10.0.0.2", 8080), Transport::Mesh(_)), "another workload");
}

#[test]
fn a_workload_may_have_mutual_tls_in_a_namespace_that_has_none() {
    let compiled = compiled(&[
        policy("all", "{mtls: {mode: Disabled}}"),
        policy("web", "{targetRefs: [{kind: Service, name: web}], mtls: {mode: Strict}}"),
    ]);
    let (_, endpoints) = &compiled.services[&ServiceName::new("shop", "web").unwrap()];
    assert!(matches!(endpoints.port(80)[0].transport, Transport::Mesh(_)));
    assert_eq!((mode(&compiled, "web-1", 1), mode(&compiled, "db-1", 1)), (Strict, Disabled));
}

#[test]
fn of_two_at_one_level_the_stricter_one_counts_and_the_other_is_told() {
    let compiled = compiled(&[
        policy("a", "{selector: {matchLabels: {app: web}}, mtls: {mode: Disabled}}"),
        policy(
            "b",
            "{targetRefs: [{kind: Service, name: web}], mtls: {mode: Strict, ports: [{port: 1, mode: Permissive}]}}",
        ),
        policy("c", "{mtls: {mode: Disabled}}"),
        policy("d", "{selector: {matchLabels: {app: web}}, mtls: {ports: [{port: 1, mode: Strict}]}}"),
        policy("e", "{mtls: {mode: Permissive}}"),
    ]);
    assert_eq!((mode(&compiled, "web-1", 8080), mode(&compiled, "web-1", 1)), (Strict, Strict));
    assert_eq!(mode(&compiled, "db-1", 1), Permissive);
    let expected = [
        (
            "a",
            "spec.mtls.mode",
            "AuthenticationPolicy shop/b says something stricter of workload shop/web-1, and that counts; make the two agree or remove one",
        ),
        (
            "b",
            "spec.mtls.ports",
            "AuthenticationPolicy shop/d says something stricter of port 1 of workload shop/web-1, and that counts; make the two agree or remove one",
        ),
        (
            "c",
            "spec.mtls.mode",
            "AuthenticationPolicy shop/e says something stricter of namespace shop, and that counts; make the two agree or remove one",
        ),
    ];
    for (policy, field, message) in expected {
        assert_eq!(
            said(&compiled, policy),
            [("Conflicted", field.to_owned(), message.to_owned())],
            "{policy}"
        );
    }
    for counts in ["d", "e"] {
        assert_eq!(said(&compiled, counts), [], "{counts}");
    }
}

#[test]
fn a_target_that_is_not_there_is_told_and_a_policy_that_cannot_be_read_opens_nothing() {
    let gone = compiled(&[
        policy("p", "{targetRefs: [{kind: Service, name: gone}], mtls: {mode: Disabled}}"),
        policy("q", "{selector: {matchLabels: {app: gone}}, mtls: {mode: Disabled}}"),
    ]);
    assert_eq!((mode(&gone, "web-1", 1), mode(&gone, "db-1", 1)), (Permissive, Permissive));
    assert_eq!(
        said(&gone, "p"),
        [(
            "TargetNotFound",
            "spec.targetRefs[0].name".to_owned(),
            "there is no Service shop/gone; the policy takes effect once there is".to_owned()
        )]
    );
    assert_eq!(said(&gone, "q")[0].0, "NoWorkload");

    let open = || policy("open", "{selector: {matchLabels: {app: web}}, mtls: {mode: Disabled}}");
    for broken in [
        "{mtls: {mode: Sometimes}}",
        "{mtls: {mode: Permissive}, selektor: {matchLabels: {app: web}}}",
        "{mtls: {ports: [{port: 80, mode: Permissive}]}}",
        "{mtls: {mode: Permissive, ports: [{port: 0, mode: Strict}]}, selector: {matchLabels: {a: b}}}",
        "{mtls: {mode: Permissive}, selector: {matchLabels: {}}}",
        "{mtls: {mode: Permissive}, selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: web}]}",
        "{mtls: {mode: Permissive}, targetRefs: [{kind: Pod, name: web}]}",
        "{}",
    ] {
        let compiled = compiled(&[open(), policy("broken", broken)]);
        assert_eq!((mode(&compiled, "web-1", 80), mode(&compiled, "db-1", 1)), (Strict, Strict), "{broken}");
        assert_eq!(compiled.authentication.of("bank", None).mode(1), Permissive, "not beyond its namespace");
    }
}
