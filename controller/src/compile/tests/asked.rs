//! Services that are asked about requests: resolved where they are written, and refused, never skipped, where they lead nowhere.

use mesh_model::asking::ExternalAuth;
use mesh_model::name::WorkloadName;
use mesh_model::policy::Action;
use mesh_model::route::{BackendTarget, Filter};
use mesh_model::spiffe::TrustDomain;

use crate::compile::{Compiled, compile};
use crate::index::Index;
use crate::sources::state::{Contents, DirState};
use crate::status::ConditionType;

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: opa, namespace: auth}, spec: {ports: [{port: 9191}]}}
---
";

fn compiled(object: &str) -> Compiled {
    let (mut state, mut index) = (DirState::default(), Index::default());
    let text = format!("{SERVICES}{object}");
    index.apply(state.apply("f.yaml", Contents::Bytes(text.into_bytes())), 1);
    assert_eq!(state.reports(), []);
    compile(&index, &TrustDomain::new("mesh.test").unwrap())
}

/// What is said about references: `KIND REASON FIELD`.
fn said(compiled: &Compiled, name: &str) -> Vec<String> {
    let of = compiled.objects.iter().filter(|(key, _)| &*key.name == name);
    let conditions = of.flat_map(|(_, report)| &report.conditions);
    conditions
        .filter(|condition| matches!(condition.kind, ConditionType::ResolvedRefs))
        .map(|condition| format!("{} {} {}", condition.reason, condition.field, condition.message))
        .collect()
}

/// References, and where each leads: the port of a service, or the field that does not.
const REFERENCES: [(&str, Result<u16, &str>); 5] = [
    ("{name: opa, namespace: auth, port: 9191}", Ok(9191)),
    ("{name: opa, port: 9191}", Err("backendRef.name")),
    ("{name: opa, namespace: auth, port: 1}", Err("backendRef.port")),
    ("{name: opa, namespace: auth}", Err("backendRef.port")),
    ("{group: example.com, kind: Plugin, name: opa, port: 9191}", Err("backendRef.kind")),
];

fn check(target: &BackendTarget, said: &[String], want: Result<u16, &str>, meaning: &str) {
    match (target, want) {
        (BackendTarget::Service { service, port }, Ok(wanted)) => {
            assert_eq!((service.to_string().as_str(), *port, said.len()), ("auth/opa", wanted, 0));
        }
        (BackendTarget::Invalid { .. }, Err(field)) => {
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(field) && said[0].ends_with(meaning), "{said:?}, wanted {field}");
        }
        (target, want) => panic!("{target:?}, wanted {want:?}"),
    }
}

#[test]
fn a_filter_is_resolved_or_refuses_the_requests_of_its_rule() {
    for (reference, want) in REFERENCES {
        let compiled = compiled(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: shop}}, spec: {{ \
            parentRefs: [{{group: '', kind: Service, name: web}}], rules: [{{ \
            filters: [{{type: ExternalAuth, externalAuth: {{protocol: GRPC, backendRef: {reference}}}}}], \
            backendRefs: [{{name: web, port: 80}}]}}]}}}}"
        ));
        let [Filter::ExternalAuth(auth)] = compiled.routes[0].rules[0].filters.as_slice() else {
            panic!("the filter is gone");
        };
        assert_eq!(auth.timeout, ExternalAuth::TIMEOUT);
        check(&auth.target, &said(&compiled, "r"), want, "requests of the rule are refused");
    }
}

#[test]
fn a_policy_is_resolved_or_refuses_what_fits_it() {
    for (reference, want) in REFERENCES {
        let compiled = compiled(&format!(
            "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, spec: {{ \
            action: External, rules: [{{}}], external: {{protocol: GRPC, backendRef: {reference}}}}}}}"
        ));
        let policies = compiled.authorization.of(&WorkloadName::new("shop", "web-1").unwrap());
        assert_eq!((policies.len(), policies[0].action), (1, Action::External));
        let target = &policies[0].external.as_ref().unwrap().target;
        check(target, &said(&compiled, "p"), want, "requests that fit the policy are refused");
    }
}

#[test]
fn a_limit_is_resolved_or_is_without_an_answer() {
    for (closed, meaning) in [(false, "nothing is limited"), (true, "requests are refused")] {
        for (reference, want) in REFERENCES {
            let compiled = compiled(&format!(
                "{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: t, namespace: shop}}, spec: {{ \
                targetRefs: [{{kind: Service, name: web}}], globalRateLimit: {{failClosed: {closed}, domain: shop, \
                backendRef: {reference}, descriptors: [{{entries: [{{key: path, type: Path}}]}}]}}}}}}"
            ));
            let rate = compiled.policies[0].settings.global_rate.as_ref().unwrap();
            check(&rate.target, &said(&compiled, "t"), want, meaning);
        }
    }
}
