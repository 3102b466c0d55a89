//! The verdict on an object of the mesh: the faults that its status would tell, before it is stored. The same reading and the same check
//! as for a folder of YAML. It must not know other objects.

use super::review::{Request, Verdict};
use crate::sources::documents::{Document, read_documents};

/// Judges one object. A route that a Gateway of somebody else serves too is never denied: only its owner's controller may.
pub fn judge(request: &Request) -> Verdict {
    if request.operation == "DELETE" || request.object.is_null() {
        return Verdict::allowed();
    }
    // JSON is YAML. The API server's own bookkeeping is none of the user's fields.
    let mut object = request.object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let Some(document) = read_documents(object.to_string().as_bytes()).into_iter().next() else {
        return Verdict::allowed();
    };
    match document {
        Document::Good(object) => {
            let told = object.notes.iter().map(|note| note.fault.to_string());
            Verdict { warnings: told.collect(), ..Verdict::default() }
        }
        Document::Bad(problems) | Document::Closed(_, problems) => {
            let faults: Vec<String> = problems.iter().map(|problem| problem.fault.to_string()).collect();
            if serves_others(&object) {
                return Verdict { warnings: faults, ..Verdict::default() };
            }
            Verdict::denied(faults.join("; "))
        }
    }
}

/// Whether the object has a parent that is not a Service.
fn serves_others(object: &serde_json::Value) -> bool {
    let parents = object.pointer("/spec/parentRefs").and_then(serde_json::Value::as_array);
    let is_service =
        |parent: &serde_json::Value| parent.get("kind").and_then(|kind| kind.as_str()) == Some("Service");
    parents.is_some_and(|parents| !parents.iter().all(is_service))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(object: Value) -> Verdict {
        judge(&Request { uid: "u".into(), namespace: "shop".into(), operation: "UPDATE".into(), object })
    }

    fn route(parents: Value, weight: i64) -> Value {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": "r", "namespace": "shop", "uid": "x", "generation": 2, "managedFields": [{ "manager": "m" }] },
            "spec": { "parentRefs": parents, "rules": [{ "backendRefs": [{ "name": "a", "port": 80, "weight": weight }] }] },
            "status": { "parents": [] },
        })
    }

    fn service() -> Value {
        json!({ "group": "", "kind": "Service", "name": "a" })
    }

    #[test]
    fn a_good_object_passes() {
        assert_eq!(judged(route(json!([service()]), 1)), Verdict::allowed());
        assert_eq!(judged(Value::Null), Verdict::allowed());
    }

    #[test]
    fn a_fault_names_its_field() {
        let bad = judged(json!({
            "apiVersion": "amime.io/v1alpha1", "kind": "Workload", "metadata": { "name": "w", "namespace": "shop" },
            "spec": { "address": "10.0.0.1", "ports": [{ "port": 0 }] },
        }));
        let why = bad.denied.unwrap();
        assert!(why.contains("spec.ports[0].port: 0 is not a port"), "{why}");
    }

    #[test]
    fn routes_of_others_are_warned_about_and_never_denied() {
        let gateway = json!({ "name": "g" });
        assert!(judged(route(json!([service()]), -1)).denied.is_some());
        let mixed = judged(route(json!([service(), gateway]), -1));
        assert!(mixed.denied.is_none() && !mixed.warnings.is_empty(), "{mixed:?}");
    }
}
