//! The chart itself: what it yields for values that people use, and what must hold for all of them.

use serde_json::{Value, json};

use crate::values::merge;
use crate::{Chart, Document, Release, RenderError};

pub(crate) fn release() -> Release {
    let text = ToOwned::to_owned;
    Release { name: text("amime"), namespace: text("amime-system"), service: text("meshctl") }
}

fn render(over: Value) -> Result<Vec<Document>, RenderError> {
    let chart = Chart::embedded();
    let mut values = chart.defaults()?;
    merge(&mut values, over);
    chart.render(&values, &release())
}

/// Sets of values that reach every branch of the templates.
fn sets() -> Vec<Value> {
    let texts = [
        include_str!("../../samples/default.yaml"),
        include_str!("../../samples/ha.yaml"),
        include_str!("../../samples/everything.yaml"),
        include_str!("../../samples/settings.yaml"),
        include_str!("../../samples/cni.yaml"),
    ];
    texts.iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

fn name(document: &Document) -> String {
    let text = |path: &str| document.object.pointer(path).and_then(Value::as_str).unwrap_or("-");
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

#[test]
fn the_objects_of_an_installation_by_default() {
    let names: Vec<String> = render(json!({})).unwrap().iter().map(name).collect();
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn every_object_is_labelled_named_and_in_the_meshs_namespace() {
    for set in sets() {
        let documents = render(set).unwrap();
        let mut names: Vec<String> = documents.iter().map(name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "an object is there twice");
        for document in documents {
            let label = |name: &str| {
                let labels = document.object.pointer("/metadata/labels")?;
                labels.get(name)?.as_str().map(ToOwned::to_owned)
            };
            let shown = name(&document);
            assert!(document.object.get("apiVersion").is_some(), "{shown}");
            assert_eq!(label("app.kubernetes.io/part-of").as_deref(), Some("amime"), "{shown}");
            assert_eq!(label("app.kubernetes.io/managed-by").as_deref(), Some("meshctl"), "{shown}");
            let namespace = document.object.pointer("/metadata/namespace").and_then(Value::as_str);
            assert!(matches!(namespace, None | Some("amime-system" | "amime-cni")), "{shown}");
        }
    }
}

#[test]
fn capture_by_the_node_needs_the_plugin_and_brings_it() {
    let names = |over: Value| -> Vec<String> {
        let documents = render(over).unwrap();
        documents.iter().map(name).filter(|name| name.contains("cni")).collect()
    };
    let all = ["Namespace -/amime-cni", "ServiceAccount amime-cni/mesh-cni", "DaemonSet amime-cni/mesh-cni"];
    assert_eq!(names(json!({"injection": {"capture": "cni"}, "cni": {"enabled": true}})), all);
    assert_eq!(names(json!({"cni": {"enabled": true}})), all, "Pods may ask for it one by one");
    assert_eq!(names(json!({"injection": {"capture": "cni"}, "cni": {"external": true}})), [""; 0]);
    for (over, what) in [
        (json!({"injection": {"capture": "cni"}}), "set cni.enabled=true"),
        (json!({"cni": {"enabled": true, "external": true}}), "contradict each other"),
    ] {
        let error = render(over).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn the_plugins_pods_are_root_without_what_root_may() {
    let documents = render(json!({"cni": {"enabled": true}})).unwrap();
    let daemon_set = documents.iter().find(|document| name(document).starts_with("DaemonSet")).unwrap();
    let spec = daemon_set.object.pointer("/spec/template/spec").unwrap();
    assert_eq!(spec.pointer("/automountServiceAccountToken"), Some(&json!(false)));
    let security = spec.pointer("/containers/0/securityContext").unwrap();
    assert_eq!(
        security,
        &json!({
            "runAsUser": 0, "runAsGroup": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
}

#[test]
fn our_own_pods_are_restricted_as_pod_security_says() {
    for document in render(json!({})).unwrap() {
        let Some(spec) = document.object.pointer("/spec/template/spec") else { continue };
        let shown = name(&document);
        assert_eq!(spec.pointer("/securityContext/runAsNonRoot"), Some(&json!(true)), "{shown}");
        assert_eq!(
            spec.pointer("/securityContext/seccompProfile/type"),
            Some(&json!("RuntimeDefault")),
            "{shown}"
        );
        for container in spec.pointer("/containers").and_then(Value::as_array).unwrap() {
            let security = container.get("securityContext").unwrap();
            assert_eq!(security.get("allowPrivilegeEscalation"), Some(&json!(false)), "{shown}");
            assert_eq!(security.get("readOnlyRootFilesystem"), Some(&json!(true)), "{shown}");
            assert_eq!(security.pointer("/capabilities/drop"), Some(&json!(["ALL"])), "{shown}");
            for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
                assert!(container.get(probe).is_some(), "{shown} {probe}");
            }
            assert!(container.pointer("/resources/requests/memory").is_some(), "{shown}");
        }
    }
}

#[test]
fn no_role_writes_secrets_at_large_or_specs_of_others() {
    for document in render(json!({})).unwrap() {
        for rule in document.object.pointer("/rules").and_then(Value::as_array).into_iter().flatten() {
            let list = |key: &str| -> Vec<&str> {
                rule.get(key)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect()
            };
            let (resources, verbs) = (list("resources"), list("verbs"));
            assert!(!resources.contains(&"*") && !verbs.contains(&"*"), "{rule}");
            for forbidden in ["escalate", "bind", "impersonate", "delete", "deletecollection"] {
                assert!(!verbs.contains(&forbidden), "{rule}");
            }
            if resources.contains(&"secrets") {
                assert!(!list("resourceNames").is_empty(), "{rule}");
            }
        }
    }
}

#[test]
fn the_charts_version_is_the_programs() {
    let about = Chart::embedded().about().unwrap();
    for key in ["version", "appVersion"] {
        assert_eq!(about.get(key).and_then(Value::as_str), Some(env!("CARGO_PKG_VERSION")), "{key}");
    }
}

#[test]
fn values_that_the_schema_refuses_are_named() {
    let error = render(json!({"controler": {}, "ca": {"replicas": 0}})).unwrap_err().to_string();
    assert!(error.contains("ca.replicas: must be at least 1"), "{error}");
    assert!(error.contains("controler: there is no such value; there are ca, cni, controller"), "{error}");
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    fn keys(schema: &Value, values: &Value, path: &str, unknown: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (key, inner) in properties {
            match values.get(key) {
                Some(value) => keys(inner, value, &format!("{path}.{key}"), unknown),
                None => unknown.push(format!("{path}.{key}")),
            }
        }
    }
    let chart = Chart::embedded();
    let mut unknown = Vec::new();
    keys(&chart.schema().unwrap(), &chart.defaults().unwrap(), "", &mut unknown);
    // Helm adds `global` by itself.
    assert_eq!(unknown, [".global"], "the schema has values that values.yaml does not");
}

#[test]
fn definitions_are_there() {
    let crds = Chart::embedded().crds().unwrap();
    assert!(crds.len() >= 4);
    let gateway = crate::gateway_api().unwrap();
    assert!(gateway.iter().any(|crd| name(crd).ends_with("httproutes.gateway.networking.k8s.io")));
    assert!(
        crds.iter()
            .chain(&gateway)
            .all(|crd| crd.object.get("kind") == Some(&json!("CustomResourceDefinition")))
    );
}
