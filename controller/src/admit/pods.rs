//! The verdict on a pod: its sidecar as a patch, or why it has none. It must not know the wire.

use std::collections::BTreeMap;

use mesh_inject::settings::OnRefusal;
use mesh_inject::{Asked, Decision, Settings, Subject, inject};

use super::review::{Request, Verdict};

/// Judges one pod. `asked`: which of the two webhooks the API server chose, by labels that it knows better than we do.
pub fn judge(
    request: &Request,
    asked: Asked,
    namespace_labels: Option<&BTreeMap<String, String>>,
    settings: &Settings,
) -> Verdict {
    let subject =
        Subject { pod: &request.object, namespace: &request.namespace, namespace_labels, asked: Some(asked) };
    let refused = |why: String| match settings.on_refusal {
        OnRefusal::Deny => Verdict::denied(format!("no sidecar can be injected: {why}")),
        OnRefusal::Admit => Verdict::allowed().warning(format!("started without a sidecar: {why}")),
    };
    match inject(subject, settings) {
        Ok(Decision::Inject(injected)) => match serde_json::to_value(&injected.patch) {
            Ok(patch) => Verdict { patch: Some(patch), ..Verdict::default() },
            Err(error) => refused(error.to_string()),
        },
        Ok(Decision::Skip(reason)) => {
            tracing::debug!(namespace = request.namespace, %reason, "a pod gets no sidecar");
            match reason {
                mesh_inject::Reason::AlreadyInjected => Verdict::allowed(),
                reason => Verdict::allowed().warning(format!("no sidecar: {reason}")),
            }
        }
        Ok(Decision::Refuse(reason)) => {
            tracing::info!(namespace = request.namespace, %reason, "a pod that asks for a sidecar cannot have one");
            refused(reason.to_string())
        }
        Err(error) => {
            tracing::error!(%error, "the settings of injection cannot be used");
            refused(format!("the settings of injection cannot be used: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(object: Value) -> Request {
        Request { uid: "u".into(), namespace: "shop".into(), operation: "CREATE".into(), object }
    }

    fn pod(spec: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec })
    }

    #[test]
    fn a_pod_gets_a_patch_once() {
        let fine = request(pod(json!({ "containers": [{ "name": "app" }] })));
        let verdict = judge(&fine, Asked::Namespace, None, &Settings::default());
        assert!(verdict.denied.is_none() && verdict.patch.is_some(), "{verdict:?}");
        let subject =
            Subject { pod: &fine.object, namespace: "shop", namespace_labels: None, asked: Some(Asked::Pod) };
        let Ok(Decision::Inject(injected)) = inject(subject, &Settings::default()) else { panic!() };
        assert_eq!(judge(&request(injected.pod), Asked::Pod, None, &Settings::default()), Verdict::allowed());
    }

    #[test]
    fn what_cannot_be_injected_fails_as_the_settings_say() {
        let clash = request(pod(json!({ "containers": [{ "name": "istio-proxy" }] })));
        let denied = judge(&clash, Asked::Namespace, None, &Settings::default());
        assert!(denied.denied.unwrap().contains("Istio is in it already"));
        let open = Settings { on_refusal: OnRefusal::Admit, ..Settings::default() };
        let admitted = judge(&clash, Asked::Namespace, None, &open);
        assert!(admitted.denied.is_none() && admitted.warnings[0].contains("Istio"), "{admitted:?}");
        let broken = Settings { ca: "x".into(), ..Settings::default() };
        assert!(judge(&clash, Asked::Namespace, None, &broken).denied.unwrap().contains("ca: `x`"));
    }

    #[test]
    fn who_need_not_have_one_passes_with_a_warning() {
        let node = request(pod(json!({ "hostNetwork": true, "containers": [{ "name": "a" }] })));
        let passed = judge(&node, Asked::Namespace, None, &Settings::default());
        assert!(passed.denied.is_none() && passed.warnings[0].contains("hostNetwork"), "{passed:?}");
        assert!(judge(&node, Asked::Pod, None, &Settings::default()).denied.is_some());
    }
}
