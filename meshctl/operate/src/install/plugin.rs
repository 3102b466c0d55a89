//! The last instruction to the Pods of the CNI plugin's DaemonSet. Pure.

use serde_json::{Value, json};

const KEEP: &str = "--on-exit=keep";
const REMOVE: &str = "--on-exit=remove";

/// The DaemonSet whose Pods take the plugin off their nodes when they end, all at once; None where they do already, or
/// where nothing says that they could.
pub fn farewell(live: &Value) -> Option<Value> {
    let mut spec = live.get("spec")?.clone();
    let containers = spec.pointer_mut("/template/spec/containers")?.as_array_mut()?;
    let arguments = containers.iter_mut().filter_map(|container| container.get_mut("args")?.as_array_mut());
    let keep = arguments.flatten().find(|argument| argument.as_str() == Some(KEEP))?;
    *keep = REMOVE.into();
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}});
    spec.as_object_mut()?.insert("updateStrategy".to_owned(), strategy);
    let metadata = live.get("metadata")?;
    let kept =
        ["name", "namespace", "labels"].iter().filter_map(|key| Some((*key, metadata.get(*key)?.clone())));
    let metadata: serde_json::Map<String, Value> = kept.map(|(key, value)| (key.to_owned(), value)).collect();
    Some(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Options, plan};

    #[test]
    fn the_plugin_is_told_to_go_once() {
        let options = Options {
            namespace: "amime-system".to_owned(),
            sets: vec!["cni.enabled=true".to_owned()],
            ..Options::default()
        };
        let plan = plan(&options).unwrap();
        let set = plan.objects.iter().find(|document| document.object["kind"] == "DaemonSet").unwrap();
        let mut live = set.object.clone();
        live["metadata"]["resourceVersion"] = json!("7");
        live["status"] = json!({"numberAvailable": 1});
        let told = farewell(&live).unwrap();
        assert_eq!(told.pointer("/spec/template/spec/containers/0/args"), Some(&json!(["install", REMOVE])));
        assert_eq!(told.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable"), Some(&json!("100%")));
        assert!(told.get("status").is_none() && told.pointer("/metadata/resourceVersion").is_none());
        assert_eq!(farewell(&told), None);
        assert_eq!(farewell(&json!({})), None);
    }
}
