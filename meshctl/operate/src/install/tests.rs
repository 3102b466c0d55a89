//! Plans, what is remembered, and what is refused.

use serde_json::{Value, json};

use super::*;
use crate::object::Kind;

fn options() -> Options {
    Options { namespace: "amime-system".to_owned(), ..Options::default() }
}

#[test]
fn later_sources_of_values_win() {
    let options = Options {
        ha: true,
        files: vec![json!({"controller": {"replicas": 5}}), json!({"image": {"tag": "file"}})],
        image_tag: Some("flag".to_owned()),
        sets: vec!["image.hub=set".to_owned()],
        ..options()
    };
    let plan = plan(&options).unwrap();
    assert_eq!(plan.values.pointer("/controller/replicas"), Some(&json!(5)));
    assert_eq!(plan.values.pointer("/ca/replicas"), Some(&json!(3)));
    let image = |document: &Document| {
        document
            .object
            .pointer("/spec/template/spec/containers/0/image")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    let images: Vec<String> = plan.objects.iter().filter_map(image).collect();
    assert_eq!(images, ["set/mesh-ca:flag", "set/mesh-controller:flag"]);
}

#[test]
fn every_object_has_a_path() {
    let everything = Options {
        files: vec![json!({
            "networkPolicies": {"enabled": true},
            "podDisruptionBudgets": {"enabled": true},
            "controller": {"autoscaling": {"enabled": true}},
        })],
        has_xmesh: true,
        ..options()
    };
    let plan = plan(&everything).unwrap();
    for object in plan.refs() {
        let kind = Kind::find(&object.api_version, &object.kind).unwrap_or_else(|| panic!("{object}"));
        assert_eq!(kind.namespaced, object.namespace.is_some(), "{object}");
    }
    assert!(plan.refs().iter().any(|object| object.kind == "XMesh"));
}

#[test]
fn what_is_remembered_comes_back_and_tells_leftovers() {
    let plan = plan(&options()).unwrap();
    let inventory = plan.inventory("0.1.0", true);
    assert_eq!(Inventory::read(&inventory.object("amime-system")), Ok(inventory.clone()));
    assert_eq!(inventory.leftovers(&plan.refs()), []);
    let fewer: Vec<_> =
        plan.refs().into_iter().filter(|object| object.kind != "ValidatingWebhookConfiguration").collect();
    let left: Vec<String> = inventory.leftovers(&fewer).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["ValidatingWebhookConfiguration amime-validator"]);
    assert!(Inventory::read(&json!({"data": {"version": "1"}})).is_err());
}

#[test]
fn contradictions_name_what_to_do() {
    let plan = plan(&options()).unwrap();
    let none = Existing { server: (1, 34), ..Existing::default() };
    assert_eq!(none.contradictions(&plan, "amime-system", "0.1.0", Intent::Install), [""; 0]);
    let same = Existing {
        inventory: Some(plan.inventory("0.1.0", true)),
        trust_domain: Some("cluster.local".to_owned()),
        ..none
    };
    assert_eq!(same.contradictions(&plan, "amime-system", "0.1.0", Intent::Install), [""; 0]);
    let everything = Existing {
        server: (1, 28),
        namespace: None,
        controller: Some(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}})),
        injector: Some(json!({"webhooks": [{"clientConfig": {"service": {"namespace": "mesh"}}}]})),
        inventory: Some(plan.inventory("0.0.9", false)),
        trust_domain: Some("example.org".to_owned()),
    };
    let found = everything.contradictions(&plan, "amime-system", "0.1.0", Intent::Install);
    insta::assert_snapshot!(found.join("\n"));
    assert_eq!(everything.contradictions(&plan, "amime-system", "0.1.0", Intent::Upgrade).len(), 4);
}

#[test]
fn definitions_of_others_are_kept() {
    let crd = |name: &str, bundle: &str| json!({"metadata": {"name": name, "annotations": {"gateway.networking.k8s.io/bundle-version": bundle}}});
    assert_eq!(gateway_plan(&[crd("meshconfigs.amime.io", "x")]), Gateway::Apply);
    let there = [crd("httproutes.gateway.networking.k8s.io", "v1.3.0")];
    assert_eq!(gateway_plan(&there), Gateway::Keep { bundle: "v1.3.0".to_owned() });
}

#[test]
fn webhooks_are_removed_first_and_namespaces_by_whoever_made_them() {
    let inventory = plan(&options()).unwrap().inventory("0.1.0", true);
    let order: Vec<String> =
        removal_order(&inventory, "amime-system").iter().map(ToString::to_string).collect();
    assert!(order.iter().take(2).all(|object| object.contains("WebhookConfiguration")), "{order:?}");
    assert!(order.iter().skip(2).take(2).all(|object| object.starts_with("Deployment")), "{order:?}");
    assert!(!order.iter().any(|object| object.starts_with("Namespace")));
    let theirs =
        Existing { namespace: Some(json!({"metadata": {"labels": {"team": "x"}}})), ..Existing::default() };
    assert!(theirs.foreign_namespace() && !Existing::default().foreign_namespace());
    let plan = plan(&Options { foreign_namespace: true, ..options() }).unwrap();
    assert!(plan.namespace.is_none() && !plan.refs().iter().any(|object| object.kind == "Namespace"));
}
