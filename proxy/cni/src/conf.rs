//! The list of plugins of a network with our plugin in it, and without. Pure. It must not know where it is kept.
//!
//! Source: CNI specification 1.1.0, "Network configuration".

use serde_json::{Value, json};

/// The plugin's name, which is that of its binary.
pub(crate) const TYPE: &str = "mesh-cni";
/// What the runtime hands to the plugin when asked: the annotations of the pod.
pub(crate) const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// Why a configuration cannot hold our plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It is no JSON.
    #[error("it is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It names one plugin only.
    #[error(
        "it has no list `plugins`: the network of the node must be a .conflist, so that plugins can be chained"
    )]
    NotAList,
}

/// With our plugin at the end; `None`: it is there already, as it should be.
pub(crate) fn with_plugin(text: &str) -> Result<Option<String>, Unusable> {
    let ours = json!({ "type": TYPE, "capabilities": { ANNOTATIONS: true } });
    edit(text, |plugins| {
        if plugins.last() != Some(&ours) {
            plugins.retain(|plugin| !is_ours(plugin));
            plugins.push(ours);
        }
    })
}

/// Without our plugin; `None`: it is not there.
pub(crate) fn without_plugin(text: &str) -> Result<Option<String>, Unusable> {
    edit(text, |plugins| plugins.retain(|plugin| !is_ours(plugin)))
}

fn is_ours(plugin: &Value) -> bool {
    plugin.get("type").and_then(Value::as_str) == Some(TYPE)
}

fn edit(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> Result<Option<String>, Unusable> {
    let mut conf: Value = serde_json::from_str(text)?;
    let before = conf.clone();
    change(conf.get_mut("plugins").and_then(Value::as_array_mut).ok_or(Unusable::NotAList)?);
    if conf == before {
        return Ok(None);
    }
    Ok(Some(format!("{}\n", serde_json::to_string_pretty(&conf)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str =
        r#"{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge","ipam":{}},{"type":"portmap"}]}"#;

    #[test]
    fn the_plugin_comes_last_and_once_and_goes_without_a_trace() {
        let with = with_plugin(CONF).unwrap().unwrap();
        assert_eq!(with_plugin(&with).unwrap(), None);
        let value: Value = serde_json::from_str(&with).unwrap();
        assert_eq!(value["plugins"][2], json!({ "type": "mesh-cni", "capabilities": { ANNOTATIONS: true } }));
        let without = without_plugin(&with).unwrap().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&without).unwrap(),
            serde_json::from_str::<Value>(CONF).unwrap()
        );
        assert_eq!(without_plugin(CONF).unwrap(), None);
    }

    #[test]
    fn one_that_is_elsewhere_or_old_is_set_right() {
        let odd = CONF.replace(r#"{"type":"bridge""#, r#"{"type":"mesh-cni"},{"type":"bridge""#);
        let value: Value = serde_json::from_str(&with_plugin(&odd).unwrap().unwrap()).unwrap();
        let types: Vec<&str> =
            value["plugins"].as_array().unwrap().iter().map(|p| p["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["bridge", "portmap", "mesh-cni"]);
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        assert!(matches!(with_plugin("{"), Err(Unusable::NotJson(_))));
        assert!(matches!(with_plugin(r#"{"type":"bridge"}"#), Err(Unusable::NotAList)));
    }
}
