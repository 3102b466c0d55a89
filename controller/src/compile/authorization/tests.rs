//! Whom policies protect, and that nothing which cannot be found makes them protect less.

use mesh_model::policy::Action;
use mesh_model::spiffe::TrustDomain;

use super::*;
use crate::compile::{Compiled, compile as compile_all};
use crate::sources::state::{Contents, DirState};

const MEMBERS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: admin, port: 81, targetPort: admin}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: web-1, namespace: shop, labels: {app: web, tier: front}}, spec: {address: 10.0.0.1, ports: [{port: 8080, meshPort: 15006}, {name: admin, port: 9000, meshPort: 15007}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cart-1, namespace: shop, labels: {app: cart, tier: front}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-3, namespace: bank, labels: {app: web}}}
---
{apiVersion: v1, kind: Service, metadata: {name: vault, namespace: bank}, spec: {selector: {app: web}, ports: [{port: 80}]}}
";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}"
    )
}

/// Folders one after the other, each with its files; what is compiled in the end.
fn after(folders: &[&[(&str, &str)]]) -> Compiled {
    let (mut state, mut index) = (DirState::default(), Index::default());
    for files in folders {
        for (file, text) in *files {
            let contents =
                if text.is_empty() { Contents::Gone } else { Contents::Bytes(text.as_bytes().to_vec()) };
            index.apply(state.apply(file, contents), 1);
        }
    }
    compile_all(&index, &TrustDomain::new("mesh.test").unwrap())
}

fn compiled(policies: &[String]) -> Compiled {
    let text = format!("{MEMBERS}---\n{}", policies.join("\n---\n"));
    after(&[&[("f.yaml", &text)]])
}

/// The policies of a workload, each with its ports, `*` for all of them.
fn of(compiled: &Compiled, namespace: &str, name: &str) -> Vec<String> {
    let show = |policy: &Arc<AuthorizationPolicy>| match &policy.scope {
        Scope::All => format!("{} *", policy.name.name()),
        Scope::Ports(ports) => format!("{} {ports:?}", policy.name.name()),
    };
    let workload = WorkloadName::new(namespace, name).unwrap();
    compiled.authorization.of(&workload).iter().map(show).collect()
}

/// `REASON FIELD: MESSAGE` of all conditions of a policy.
fn said(compiled: &Compiled, name: &str) -> Vec<String> {
    let key = ObjectKey::new(Kind::AuthorizationPolicy, "shop", name);
    let conditions = &compiled.objects[&key].conditions;
    conditions.iter().map(|it| format!("{} {}: {}", it.reason, it.field, it.message)).collect()
}

#[test]
fn a_policy_without_target_protects_its_namespace_and_no_other() {
    let compiled = compiled(&[policy("default", "action: Allow")]);
    for name in ["web-1", "web-2", "cart-1", "nobody-knows-it"] {
        assert_eq!(of(&compiled, "shop", name), ["default *"], "{name}");
    }
    assert_eq!(of(&compiled, "bank", "web-3"), Vec::<String>::new());
}

#[test]
fn a_selector_protects_pods_and_workloads_by_labels() {
    let all = "action: Allow, rules: [{}]";
    let compiled = compiled(&[
        policy("front", &format!("selector: {{matchLabels: {{tier: front}}}}, {all}")),
        policy("both", &format!("selector: {{matchLabels: {{tier: front, app: web}}}}, {all}")),
        policy("nobody", &format!("selector: {{matchLabels: {{app: nobody}}}}, {all}")),
    ]);
    assert_eq!(of(&compiled, "shop", "web-1"), ["both *", "front *"]);
    assert_eq!(of(&compiled, "shop", "cart-1"), ["front *"]);
    assert_eq!(of(&compiled, "shop", "web-2"), Vec::<String>::new());
    assert_eq!(
        said(&compiled, "nobody"),
        [
            "NothingSelected spec.selector.matchLabels: selects no pod and no Workload of namespace shop now; it takes effect when there is one"
        ]
    );
}

#[test]
fn a_service_means_the_ports_of_those_that_it_selects() {
    let target = |name: &str, rest: &str| {
        policy(
            name,
            &format!("targetRefs: [{{kind: Service, name: web{rest}}}], action: Allow, rules: [{{}}]"),
        )
    };
    let compiled = compiled(&[
        target("all", ""),
        target("number", ", port: 80"),
        target("section", ", sectionName: admin"),
        target("wrong", ", port: 443"),
        policy("one", "targetRefs: [{kind: Workload, name: web-1}], action: Allow"),
    ]);
    assert_eq!(
        of(&compiled, "shop", "web-1"),
        ["all [8080, 9000]", "number [8080]", "one *", "section [9000]", "wrong *"]
    );
    // Nothing says which port of a pod has the name.
    assert_eq!(of(&compiled, "shop", "web-2"), ["all *", "number [8080]", "section *", "wrong *"]);
    assert_eq!(of(&compiled, "shop", "cart-1"), Vec::<String>::new());
    assert_eq!(
        said(&compiled, "wrong"),
        [
            "TargetNotFound spec.targetRefs[0].port: Service shop/web has no port 443; the policy holds at every port of its workloads until it has"
        ]
    );
}

// T40
#[test]
fn a_target_of_another_namespace_is_as_unknown_as_one_that_is_nowhere() {
    let target = |kind: &str, name: &str| {
        policy("p", &format!("targetRefs: [{{kind: {kind}, name: {name}}}], action: Allow"))
    };
    for kind in ["Service", "Workload"] {
        let (there, nowhere) = (compiled(&[target(kind, "vault")]), compiled(&[target(kind, "nobody")]));
        let text = said(&there, "p").join("").replace("vault", "nobody");
        assert_eq!([text], said(&nowhere, "p").as_slice(), "{kind}");
        assert_eq!(of(&there, "bank", "web-3"), Vec::<String>::new(), "{kind}");
    }
}

// T47: a policy's target goes away while the policy stays.
#[test]
fn a_service_that_is_gone_leaves_its_workloads_protected() {
    let (members, service) =
        MEMBERS.trim_start().split_once("---").map(|(service, rest)| (rest, service)).unwrap();
    let closed = policy("p", "targetRefs: [{kind: Service, name: web}], action: Allow");
    let first: &[(&str, &str)] = &[("members.yaml", members), ("web.yaml", service), ("p.yaml", &closed)];
    let gone = after(&[first, &[("web.yaml", "")]]);
    assert_eq!(of(&gone, "shop", "web-1"), ["p [8080, 9000]"]);
    assert_eq!(
        said(&gone, "p"),
        [
            "TargetNotFound spec.targetRefs[0].name: Service shop/web is gone; the policy stays where the Service last was"
        ]
    );
    let never: &[(&str, &str)] = &[("members.yaml", members), ("p.yaml", &closed)];
    assert_eq!(of(&after(&[never]), "shop", "web-1"), Vec::<String>::new());
    let back = after(&[
        first,
        &[("web.yaml", "")],
        &[("web.yaml", &service.replace("targetPort: 8080", "targetPort: 1"))],
    ]);
    assert_eq!(of(&back, "shop", "web-1"), ["p [1, 9000]"]);
    assert_eq!(said(&back, "p"), Vec::<String>::new());
}

// T47
#[test]
fn a_policy_that_cannot_be_read_closes_what_it_protects_unless_it_was_good_before() {
    let good = policy("p", "selector: {matchLabels: {app: web}}, action: Allow, rules: [{}]");
    let bad = policy(
        "p",
        "selector: {matchLabels: {app: web}}, action: Allow, rules: [{from: [{namespaces: [a], identites: [x]}]}]",
    );
    let unclear = policy("p", "selector: {matchLabel: {app: web}}, action: Allow, rules: [{}]");
    let with = |policies: &[&str]| {
        let folders: Vec<Vec<(&str, &str)>> =
            policies.iter().map(|policy| vec![("m.yaml", MEMBERS), ("p.yaml", *policy)]).collect();
        after(&folders.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let rules = |compiled: &Compiled, name: &str| {
        let found = compiled.authorization.of(&WorkloadName::new("shop", name).unwrap()).to_vec();
        found
            .iter()
            .map(|policy| (policy.action, policy.rules.len(), policy.refused.clone()))
            .collect::<Vec<_>>()
    };
    let why = "spec.rules[0].from[0].identites: AuthorizationPolicy has no such field";
    let first = with(&[&bad]);
    assert_eq!(rules(&first, "web-1"), [(Action::Deny, 0, Some(why.to_owned()))]);
    assert_eq!(rules(&first, "cart-1"), []);
    assert_eq!(rules(&with(&[&good, &bad]), "web-1"), [(Action::Allow, 1, None)], "the last good form stays");
    assert_eq!(rules(&with(&[&bad, &good]), "web-1"), [(Action::Allow, 1, None)]);
    let all = with(&[&unclear]);
    for name in ["web-1", "cart-1"] {
        assert!(
            matches!(rules(&all, name).as_slice(), [(Action::Deny, 0, Some(_))]),
            "whom it means is not clear: {name}"
        );
    }
}

#[test]
fn more_policies_than_a_workload_may_have_close_it() {
    let many: Vec<String> =
        (0..=MAX_POLICIES).map(|n| policy(&format!("p{n:03}"), "action: Allow, rules: [{}]")).collect();
    let compiled = compiled(&many);
    let policies = compiled.authorization.of_namespace("shop");
    assert_eq!(policies.len(), MAX_POLICIES);
    assert!(policies.last().unwrap().refused.as_ref().unwrap().contains("more than 256"));
    assert!(said(&compiled, "p256")[0].starts_with("TooManyPolicies spec"));
    assert_eq!(said(&compiled, "p000"), Vec::<String>::new());
}
