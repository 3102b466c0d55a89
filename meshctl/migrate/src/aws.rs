//! What `aws appmesh describe-…` prints, and what `aws appmesh create-… --cli-input-json` takes, as objects of App Mesh's controller: the
//! same fields under other references. There are no namespaces at AWS, so everything is of `default`. It must not know what becomes of
//! objects.
//!
//! Source: AWS CLI command reference, `appmesh`.

use serde_json::{Map, Value, json};

/// The version by which they are told from the controller's.
pub(crate) const VERSION: &str = "appmesh.k8s.aws/aws-cli";

/// The key of an answer, the field that names the object, and its kind.
const KINDS: [(&str, &str, &str); 7] = [
    ("mesh", "meshName", "Mesh"),
    ("virtualNode", "virtualNodeName", "VirtualNode"),
    ("virtualRouter", "virtualRouterName", "VirtualRouter"),
    ("route", "routeName", "Route"),
    ("virtualService", "virtualServiceName", "VirtualService"),
    ("virtualGateway", "virtualGatewayName", "VirtualGateway"),
    ("gatewayRoute", "gatewayRouteName", "GatewayRoute"),
];

/// References by name, and how the controller's objects write them.
const REFERENCES: [(&str, &str); 3] = [
    ("virtualNodeName", "virtualNodeRef"),
    ("virtualRouterName", "virtualRouterRef"),
    ("virtualServiceName", "virtualServiceRef"),
];

/// Whether a name is one of a Service in a cluster.
pub(crate) fn is_of_cluster(host: &str) -> bool {
    host.ends_with(".svc.cluster.local")
}

/// The object of the controller that says the same. `None`: it is nothing of the AWS CLI.
pub(crate) fn object(value: &Value) -> Option<Value> {
    let map = value.as_object()?;
    for (key, name, kind) in KINDS {
        let inner = map.get(key).and_then(Value::as_object);
        if let Some(inner) = inner.filter(|inner| map.len() == 1 && inner.contains_key(name)) {
            return Some(of(inner, name, kind));
        }
    }
    if map.contains_key("kind") || !map.contains_key("spec") {
        return None;
    }
    // Of several names the object's own is the one that is furthest inside: a route names its router and its mesh too.
    let order =
        ["Route", "GatewayRoute", "VirtualNode", "VirtualRouter", "VirtualService", "VirtualGateway", "Mesh"];
    let mut kinds = order.iter().filter_map(|kind| KINDS.iter().find(|(_, _, of)| of == kind));
    let (_, name, kind) = kinds.find(|(_, name, _)| map.contains_key(*name))?;
    Some(of(map, name, kind))
}

fn of(inner: &Map<String, Value>, name: &str, kind: &str) -> Value {
    let mut spec = inner.get("spec").cloned().unwrap_or_else(|| json!({}));
    references(&mut spec);
    let mut object = json!({
        "apiVersion": VERSION, "kind": kind,
        "metadata": { "name": inner.get(name).cloned().unwrap_or_default(), "namespace": "default" },
    });
    if let Some(spec) = spec.as_object_mut() {
        for (key, reference) in
            [("virtualRouterName", "virtualRouterRef"), ("virtualGatewayName", "virtualGatewayRef")]
        {
            if let Some(other) = inner.get(key).filter(|_| key != name) {
                spec.insert(reference.to_owned(), json!({ "name": other }));
            }
        }
        for (of, field) in [("VirtualService", "awsName"), ("Route", "name")] {
            if kind == of {
                spec.insert(field.to_owned(), inner.get(name).cloned().unwrap_or_default());
            }
        }
    }
    object["spec"] = spec;
    // What AWS says of the object, and tags.
    let rest = inner.iter().filter(|(key, _)| !["spec", name].contains(&key.as_str()));
    object["status"] = Value::Object(rest.map(|(key, value)| (key.clone(), value.clone())).collect());
    object
}

/// `virtualNode: NAME` and `virtualNodeName: NAME` become `virtualNodeRef: { name: NAME }`, wherever they stand.
fn references(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, reference) in REFERENCES.into_iter().chain([("virtualNode", "virtualNodeRef")]) {
                if let Some(Value::String(name)) = map.get(key) {
                    let name = json!({ "name": name });
                    map.remove(key);
                    map.insert(reference.to_owned(), name);
                }
            }
            map.values_mut().for_each(references);
        }
        Value::Array(list) => list.iter_mut().for_each(references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_an_input_become_the_same_object() {
        let spec = json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": [{ "virtualNode": "red", "weight": 1 }] } } });
        let answer = json!({ "route": { "meshName": "m", "virtualRouterName": "r", "routeName": "all", "spec": spec, "status": { "status": "ACTIVE" } } });
        let input = json!({ "meshName": "m", "virtualRouterName": "r", "routeName": "all", "spec": spec });
        let (answer, input) = (object(&answer).unwrap(), object(&input).unwrap());
        assert_eq!((&answer["kind"], &answer["metadata"]["name"]), (&json!("Route"), &json!("all")));
        assert_eq!(answer["spec"], input["spec"]);
        assert_eq!(answer["spec"]["virtualRouterRef"]["name"], "r");
        let target = &answer["spec"]["httpRoute"]["action"]["weightedTargets"][0];
        assert_eq!(target["virtualNodeRef"]["name"], "red");
    }

    #[test]
    fn a_virtual_service_is_called_by_its_name() {
        let found = object(
            &json!({ "virtualService": { "virtualServiceName": "color.local", "spec": { "provider": { "virtualRouter": { "virtualRouterName": "r" } } } } }),
        );
        let found = found.unwrap();
        assert_eq!(found["spec"]["awsName"], "color.local");
        assert_eq!(found["spec"]["provider"]["virtualRouter"]["virtualRouterRef"]["name"], "r");
    }

    #[test]
    fn what_is_none_of_it_is_left_alone() {
        for other in
            [json!({ "kind": "Mesh", "spec": {} }), json!({ "spec": {} }), json!([]), json!({ "mesh": 1 })]
        {
            assert_eq!(object(&other), None);
        }
    }
}
