//! Waiting for an installation, with the reason why it is not ready yet.

use std::time::Duration;

use anyhow::bail;
use mesh_operate::install::{Plan, webhook_is_ready};
use mesh_operate::object::{Kind, ObjectRef};
use mesh_operate::readiness::{self, Progress};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::Api;
use crate::output;

const PACE: Duration = Duration::from_secs(1);
const PARTS: [&str; 2] = ["mesh-ca", "mesh-controller"];

/// Waits for both Deployments, for the plugin on nodes where it is installed, and for the injector's webhook.
pub(crate) async fn until_ready(
    api: &Api,
    plan: &Plan,
    namespace: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + timeout;
    output::line(&format!("\nWaiting until it is ready, at most {} s:", timeout.as_secs()));
    let refs = plan.refs();
    let plugins = refs.iter().filter(|object| object.kind == "DaemonSet");
    let plugins =
        plugins.map(|set| ("DaemonSet", set.namespace.as_deref().unwrap_or_default(), set.name.as_str()));
    for (kind, namespace, part) in
        PARTS.map(|part| ("Deployment", namespace, part)).into_iter().chain(plugins)
    {
        let mut last = String::new();
        loop {
            let progress = progress(api, kind, namespace, part).await?;
            if progress.words != last {
                let mark = if progress.ready { "√" } else { "…" };
                output::line(&format!("  {mark} {part}: {}", progress.words));
                last.clone_from(&progress.words);
            }
            if progress.ready {
                break;
            }
            if Instant::now() > deadline {
                bail!(
                    "{part} was not ready within {} s: {last}; `kubectl describe pods -n {namespace} -l \
                     app.kubernetes.io/name={part}` says more, and `meshctl install` goes on from here",
                    timeout.as_secs()
                );
            }
            tokio::time::sleep(PACE).await;
        }
    }
    webhook(api, deadline).await
}

/// How far a Deployment or DaemonSet is.
pub(crate) async fn progress(api: &Api, kind: &str, namespace: &str, part: &str) -> anyhow::Result<Progress> {
    let name = ObjectRef::namespaced("apps/v1", kind, namespace, part);
    let object = api.get(&name).await?.unwrap_or_default();
    let selector = format!("labelSelector=app.kubernetes.io%2Fname%3D{part}");
    let pods = api.list(&format!("/api/v1/namespaces/{namespace}/pods"), &selector).await?;
    let events = format!("/api/v1/namespaces/{namespace}/events");
    let events = api.list(&events, "fieldSelector=type%3DWarning").await.unwrap_or_default();
    let warning = |pod: &str| {
        let about =
            |event: &&Value| event.pointer("/involvedObject/name").and_then(Value::as_str) == Some(pod);
        let newest = events.iter().rfind(about)?;
        newest.get("message").and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let mut progress = match kind {
        "DaemonSet" => readiness::daemon_set(&object, &pods, warning),
        _ => readiness::deployment(&object, &pods, warning),
    };
    if let Some(pod) = &progress.look_into
        && let Some(words) = api.last_words(namespace, pod).await
    {
        progress.words = format!("{}; its log ends: {words}", progress.words);
    }
    Ok(progress)
}

/// The API server must know by which certificate to trust the injector.
async fn webhook(api: &Api, deadline: Instant) -> anyhow::Result<()> {
    let kind = Kind::find("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
    let Some(kind) = kind else { return Ok(()) };
    let name = ObjectRef::cluster(kind.api_version, kind.kind, "amime-injector");
    loop {
        let injector = api.get(&name).await?.unwrap_or_default();
        if webhook_is_ready(&injector) {
            output::line("  √ injection: the API server trusts the controller's webhook");
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "the controller has not written its certificate into {name}; its log says why: `kubectl logs -l \
                 app.kubernetes.io/name=mesh-controller`"
            );
        }
        tokio::time::sleep(PACE).await;
    }
}
