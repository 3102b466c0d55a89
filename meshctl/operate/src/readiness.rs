//! Whether a Deployment or DaemonSet has come up, and if not, why, in words that lead on. Pure: objects in, words out.

use serde_json::Value;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Whether every wanted replica of the newest template is available and none of an older one is left.
    pub ready: bool,
    /// `1 of 3 ready` and the first reason why a Pod is not.
    pub words: String,
    /// A Pod whose last words in the log would tell more.
    pub look_into: Option<String>,
}

fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

fn number(object: &Value, path: &str) -> u64 {
    object.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// Judges a Deployment with its Pods. `events` are warnings about a Pod, newest first, by the Pod's name.
pub fn deployment(deployment: &Value, pods: &[Value], warning: impl Fn(&str) -> Option<String>) -> Progress {
    let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let seen = number(deployment, "/status/observedGeneration") >= number(deployment, "/metadata/generation");
    let status = |name: &str| number(deployment, &format!("/status/{name}"));
    let updated = status("updatedReplicas");
    // Those of an older template count for nothing: the new one has to prove itself.
    let available = if seen { status("availableReplicas").min(updated) } else { 0 };
    let ready = seen && updated >= wanted && available >= wanted && status("replicas") == updated;
    if ready {
        return Progress { ready, words: format!("{wanted} of {wanted} ready"), look_into: None };
    }
    waiting(deployment, format!("{available} of {wanted} ready"), pods, warning)
}

/// Judges a DaemonSet in the same way: every node that it is for counts.
pub fn daemon_set(set: &Value, pods: &[Value], warning: impl Fn(&str) -> Option<String>) -> Progress {
    let observed = set.pointer("/status/observedGeneration").and_then(Value::as_u64);
    let seen = observed.is_some_and(|observed| observed >= number(set, "/metadata/generation"));
    let status = |name: &str| number(set, &format!("/status/{name}"));
    let wanted = status("desiredNumberScheduled");
    let updated = status("updatedNumberScheduled");
    let available = if seen { status("numberAvailable").min(updated) } else { 0 };
    if seen && available >= wanted {
        let words = format!("{wanted} of {wanted} nodes ready");
        return Progress { ready: true, words, look_into: None };
    }
    // Before it is seen nobody has counted the nodes.
    let head =
        if seen { format!("{available} of {wanted} nodes ready") } else { "is being rolled out".to_owned() };
    waiting(set, head, pods, warning)
}

/// What is not ready, with the first reason that leads on.
fn waiting(
    owner: &Value,
    head: String,
    pods: &[Value],
    warning: impl Fn(&str) -> Option<String>,
) -> Progress {
    let trouble = pods.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
    let trouble = trouble.filter(|pod| !is_ready(pod)).find_map(|pod| {
        let name = text(pod, "/metadata/name")?;
        let (why, crashed) = reason(pod, &warning)?;
        Some((format!("{name}: {why}"), crashed.then(|| name.to_owned())))
    });
    let condition = || {
        let conditions = owner.pointer("/status/conditions").and_then(Value::as_array)?;
        let failed = conditions
            .iter()
            .find(|c| text(c, "/type") == Some("ReplicaFailure") && text(c, "/status") == Some("True"))?;
        Some((text(failed, "/message")?.to_owned(), None))
    };
    match trouble.or_else(condition) {
        Some((why, look_into)) => Progress { ready: false, words: format!("{head}; {why}"), look_into },
        None => Progress { ready: false, words: head, look_into: None },
    }
}

/// Whether a Pod says that it is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        text(condition, "/type") == Some("Ready") && text(condition, "/status") == Some("True")
    })
}

/// Why a Pod is not ready, and whether a container of it ended.
pub fn reason(pod: &Value, warning: impl Fn(&str) -> Option<String>) -> Option<(String, bool)> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions.into_iter().flatten().find(|condition| {
        text(condition, "/type") == Some("PodScheduled") && text(condition, "/status") == Some("False")
    });
    if let Some(condition) = unscheduled {
        let message = text(condition, "/message").unwrap_or("no node takes it");
        return Some((format!("is not scheduled: {message}"), false));
    }
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = statuses.iter().filter_map(|path| pod.pointer(path)?.as_array()).flatten();
    for container in containers {
        let name = text(container, "/name").unwrap_or_default();
        if let Some(waiting) = container.pointer("/state/waiting") {
            let why = text(waiting, "/reason").unwrap_or("waits");
            let message = text(waiting, "/message").unwrap_or_default();
            match why {
                "ContainerCreating" | "PodInitializing" => continue,
                "CrashLoopBackOff" => return Some((ended(container, name), true)),
                _ if message.is_empty() => return Some((format!("container {name}: {why}"), false)),
                _ => return Some((format!("container {name}: {why}: {message}"), false)),
            }
        }
        let failed = number(container, "/state/terminated/exitCode") != 0;
        if failed {
            return Some((ended(container, name), true));
        }
    }
    let pod_name = text(pod, "/metadata/name").unwrap_or_default();
    if let Some(warning) = warning(pod_name) {
        return Some((warning, false));
    }
    match text(pod, "/status/phase") {
        Some("Running") => Some(("runs and is not ready yet".to_owned(), false)),
        Some("Pending") => Some(("is being started".to_owned(), false)),
        Some(phase) => Some((format!("is {phase}"), false)),
        None => None,
    }
}

fn ended(container: &Value, name: &str) -> String {
    let terminated =
        ["/lastState/terminated", "/state/terminated"].iter().find_map(|path| container.pointer(path));
    let restarts = number(container, "/restartCount");
    let how = match terminated {
        Some(state) => match text(state, "/reason") {
            Some("OOMKilled") => "needs more memory than its limit (OOMKilled)".to_owned(),
            _ => format!("ends with exit code {}", number(state, "/exitCode")),
        },
        None => "ends".to_owned(),
    };
    format!("container {name} {how}, restarted {restarts} times")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(status: &Value, pods: &[Value]) -> Progress {
        let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        deployment(&object, pods, |pod| (pod == "warned").then(|| "configmap \"x\" not found".to_owned()))
    }

    fn pod(name: &str, status: Value) -> Value {
        json!({"metadata": {"name": name}, "status": status})
    }

    #[test]
    fn ready_is_what_the_newest_template_is() {
        let all =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert!(with(&all, &[]).ready);
        for (key, value) in
            [("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)]
        {
            let mut status = all.clone();
            status[key] = json!(value);
            assert!(!with(&status, &[]).ready, "{key}");
        }
    }

    #[test]
    fn a_daemon_set_is_ready_on_every_node_of_its_newest_template() {
        let judged = |status: Value| {
            daemon_set(&json!({"metadata": {"generation": 2}, "status": status}), &[], |_| None)
        };
        let all = json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
            "numberAvailable": 3});
        assert_eq!(judged(all.clone()).words, "3 of 3 nodes ready");
        for (key, value, words) in [
            ("observedGeneration", 1, "is being rolled out"),
            ("updatedNumberScheduled", 1, "1 of 3 nodes ready"),
            ("numberAvailable", 2, "2 of 3 nodes ready"),
        ] {
            let mut status = all.clone();
            status[key] = json!(value);
            let progress = judged(status);
            assert_eq!((progress.ready, progress.words.as_str()), (false, words), "{key}");
        }
        assert!(!judged(json!({})).ready, "nothing was counted yet");
        assert!(!daemon_set(&Value::Null, &[], |_| None).ready, "it is not there");
    }

    #[test]
    fn why_a_pod_is_not_ready() {
        let waiting = |reason: &str, message: &str| {
            json!({"phase": "Pending", "containerStatuses": [
            {"name": "c", "restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}},
             "lastState": {"terminated": {"exitCode": 2}}}]})
        };
        let oom = json!({"phase": "Running", "containerStatuses": [
            {"name": "c", "restartCount": 1, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]});
        let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: insufficient memory."}]});
        for (pod, words, look) in [
            (
                pod("p", waiting("ImagePullBackOff", "Back-off pulling image \"x\"")),
                "0 of 2 ready; p: container c: ImagePullBackOff: Back-off pulling image \"x\"",
                None,
            ),
            (
                pod("p", waiting("CrashLoopBackOff", "back-off")),
                "0 of 2 ready; p: container c ends with exit code 2, restarted 3 times",
                Some("p"),
            ),
            (
                pod("p", oom),
                "0 of 2 ready; p: container c needs more memory than its limit (OOMKilled), restarted 1 times",
                Some("p"),
            ),
            (
                pod("p", unscheduled),
                "0 of 2 ready; p: is not scheduled: 0/1 nodes are available: insufficient memory.",
                None,
            ),
            (
                pod("warned", waiting("ContainerCreating", "")),
                "0 of 2 ready; warned: configmap \"x\" not found",
                None,
            ),
            (pod("p", waiting("ContainerCreating", "")), "0 of 2 ready; p: is being started", None),
            (pod("p", json!({"phase": "Running"})), "0 of 2 ready; p: runs and is not ready yet", None),
        ] {
            let progress = with(&json!({}), &[pod]);
            assert_eq!((progress.words.as_str(), progress.look_into.as_deref()), (words, look));
        }
    }

    #[test]
    fn refused_pods_are_told() {
        let status = json!({"observedGeneration": 2, "conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota"}]});
        assert_eq!(with(&status, &[]).words, "0 of 2 ready; pods \"x\" is forbidden: exceeded quota");
    }
}
