//! Routes of the Gateway API in the files of another mesh: they mean here what they mean there, and are taken over word by word, in this
//! mesh's group. It must not know annotations of the meshes.

use serde_json::Value;

use crate::ledger::{Effect, Node};
use crate::{Context, out};

/// Takes over the spec; gives namespace and name of the route. Linkerd's own group had the kinds first, with fewer fields.
pub(crate) fn take(context: &mut Context<'_>, at: usize, kind: &str) -> Option<(String, String)> {
    let document = context.documents.get(at)?;
    let (namespace, wanted, from) =
        (document.namespace().to_owned(), document.name().to_owned(), document.label());
    let root = context.ledger.root(context.documents, at)?;
    let name = context.out.name(kind, &namespace, &wanted);
    let label = out::label(kind, &namespace, &name);
    let spec = root.get("spec")?;
    let mut value = spec.value().clone();
    keep_services(&mut value);
    take_rest(&spec, &label);
    context.out.put(kind, &namespace, &name, value, &from);
    Some((namespace, name))
}

/// Parents of the core group, whichever way they were written.
fn keep_services(spec: &mut Value) {
    if let Some(Value::Array(parents)) = spec.get_mut("parentRefs") {
        for parent in parents {
            if parent.get("kind").and_then(Value::as_str) == Some("Service") {
                parent["group"] = Value::from("");
            }
        }
    }
}

fn take_rest(spec: &Node<'_>, label: &str) {
    for (key, field) in spec.fields() {
        if key != "parentRefs" {
            field.whole(label, &format!("spec.{key}"));
            continue;
        }
        for parent in field.items() {
            if parent.text_of("kind") == Some("Service") {
                parent.whole(label, "spec.parentRefs");
            } else {
                parent.lost(
                    Effect::Behaviour,
                    "the mesh has no gateway of its own: routes of a Gateway are served by that Gateway's controller",
                    "keep the Gateway, and give its pods a sidecar",
                );
            }
        }
    }
}
