//! The CNI plugin: whether it is ready on the nodes where Pods are to be captured by it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Verdict;
use super::facts::{annotation, full_name, list, name, some, text};
use super::state::State;

/// Written by injection into Pods that the plugin captures.
const CAPTURED: &str = "amime.io/cni";

pub(super) fn ready(state: &State) -> Verdict {
    let captured: Vec<&Value> =
        state.members.iter().filter(|pod| annotation(pod, CAPTURED).is_some() && !is_over(pod)).collect();
    let default = state.injection_setting("capture").as_deref() == Some("cni");
    if state.plugin.set.is_none() {
        return without(state, &captured, default);
    }
    let there = state.plugin.pods.iter().filter(|pod| is_ready(pod));
    let there: BTreeSet<&str> = there.filter_map(|pod| text(pod, "/spec/nodeName")).collect();
    // Its Pods tolerate everything: what runs Linux and is well has one.
    let nodes = state.nodes.iter().filter(|node| is_linux(node) && is_ready(node)).map(name);
    let used = captured.iter().filter_map(|pod| text(pod, "/spec/nodeName"));
    let nodes: BTreeSet<&str> = nodes.chain(used).collect();
    let missing = nodes.into_iter().filter(|node| !there.contains(node));
    Verdict::errors(missing.map(|node| bare(state, &captured, node)).take(5).collect())
}

/// There is no DaemonSet of ours.
fn without(state: &State, captured: &[&Value], default: bool) -> Verdict {
    match state.plugin.external {
        _ if captured.is_empty() && !default => Verdict::Passed,
        Some(true) => Verdict::skipped("the CNI plugin is installed by somebody else (cni.external)"),
        None => Verdict::skipped("whether somebody else installs the CNI plugin is not known"),
        Some(false) if captured.is_empty() => Verdict::errors(vec![
            "injection.capture is cni, and there is no DaemonSet amime-cni/mesh-cni".to_owned(),
        ]),
        Some(false) => {
            let subjects = captured.iter().map(|pod| full_name(pod)).collect();
            Verdict::errors(some(subjects, "is captured by the CNI plugin, and there is no DaemonSet of it"))
        }
    }
}

/// What is said of a node without a plugin that is ready.
fn bare(state: &State, captured: &[&Value], node: &str) -> String {
    let on = |pod: &&Value| text(pod, "/spec/nodeName") == Some(node);
    let why = match state.plugin.pods.iter().find(on) {
        Some(pod) => format!("{} is not ready", full_name(pod)),
        None => "has no Pod of the plugin".to_owned(),
    };
    match captured.iter().copied().filter(on).count() {
        0 => format!("node {node}: {why}"),
        pods => format!("node {node}: {why}; it has {pods} Pods that the plugin captures"),
    }
}

fn is_ready(object: &Value) -> bool {
    let ready =
        list(object, "/status/conditions").find(|condition| text(condition, "/type") == Some("Ready"));
    ready.is_some_and(|condition| text(condition, "/status") == Some("True"))
}

fn is_linux(node: &Value) -> bool {
    text(node, "/status/nodeInfo/operatingSystem").is_none_or(|system| system == "linux")
}

fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"))
}
