//! An application becomes a member: its pods, its init containers, its Jobs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{screen, wait};

use super::load;
use super::world::{SHOP, World};

const APPLICATION: &str = include_str!("../../assets/shop.yaml");
/// For a client that has just started.
const SETTLED: Duration = Duration::from_mins(2);
/// How long load goes on where nothing else happens.
const QUIET: Duration = Duration::from_secs(15);

/// Everything that is deployed has a sidecar, and is ready.
pub(super) fn inject(world: &mut World) -> Result<()> {
    let rate = world.rate.to_string();
    // A call is a stream of half a second: a fifth of them are as many streams at once as requests of the others.
    let calls = (world.rate / 5).max(1).to_string();
    let objects = APPLICATION.replace("{HTTP1}", &rate).replace("{HTTP2}", &rate).replace("{GRPC}", &calls);
    world.kubectl.apply(&objects)?;
    world.kubectl.rolled_out(SHOP, &["server", "server-v2", "load"])?;
    let pods = world.kubectl.json(&["get", "pods", "-n", SHOP])?;
    let pods = pods.get("items").and_then(Value::as_array).context("no pods")?;
    for pod in pods {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?");
        let sidecar = pod.pointer("/spec/initContainers").and_then(Value::as_array);
        let has = sidecar
            .into_iter()
            .flatten()
            .any(|container| container.get("name").is_some_and(|n| n == "mesh-proxy"));
        ensure!(has, "pod {name} has no sidecar");
    }
    screen::detail(&format!("{} pods have a sidecar and are ready", pods.len()));
    // The client may have begun before the others were ready: from now on it counts.
    wait::until(SETTLED, "the client's requests are answered", || {
        let before = load::report(world)?;
        wait::under_load(Duration::from_secs(2));
        let after = load::report(world)?;
        ensure!(!after.is_empty(), "the client sends nothing");
        for (protocol, now) in &after {
            let then = before.get(protocol).cloned().unwrap_or_default();
            ensure!(now.ok > then.ok && now.failed == then.failed, "{protocol} fails: {:?}", now.reasons);
        }
        Ok(())
    })
}

/// Nothing fails, and every edge is secured.
pub(super) fn traffic(world: &mut World) -> Result<()> {
    let before = load::report(world)?;
    wait::under_load(QUIET);
    load::nothing_lost(&before, &load::report(world)?)?;
    let stat = world.meshctl_json(&["stat", "-n", SHOP, "--window", "10"])?;
    let rows = stat.get("rows").and_then(Value::as_array).context("meshctl stat has no rows")?;
    let ours: Vec<&Value> = rows.iter().filter(|row| row.to_string().contains("server")).collect();
    ensure!(!ours.is_empty(), "meshctl stat shows no traffic to `server`: {stat}");
    for row in &ours {
        ensure!(row.to_string().to_lowercase().contains("mtls"), "this edge is not mTLS: {row}");
    }
    screen::detail(&format!("meshctl stat shows {} edges to the servers, all mTLS", ours.len()));
    Ok(())
}

/// What an init container asks for is answered, before the application starts.
pub(super) fn init_container(world: &mut World) -> Result<()> {
    let pod = format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: with-init, namespace: {SHOP}}}
spec:
  restartPolicy: Never
  serviceAccountName: load
  terminationGracePeriodSeconds: 5
  initContainers:
    - {{name: first, image: "lab.local/peer:1", imagePullPolicy: IfNotPresent, command: [/mesh-peer, get, "server:80"]}}
  containers:
    - {{name: app, image: "lab.local/peer:1", imagePullPolicy: IfNotPresent, command: [/mesh-peer, serve]}}
"#
    );
    world.kubectl.apply(&pod)?;
    let ready = world
        .kubectl
        .run(&["wait", "-n", SHOP, "--for=condition=Ready", "pod/with-init", "--timeout=90s"])
        .and_then(|_| world.kubectl.run(&["logs", "-n", SHOP, "with-init", "-c", "first"]));
    world.kubectl.delete(&pod)?;
    let printed = ready.context("the pod is not ready")?;
    ensure!(printed.trim() == "v1", "the init container printed `{}`", printed.trim());
    Ok(())
}

/// Its sidecar does not keep it.
pub(super) fn job(world: &mut World) -> Result<()> {
    let job = format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: {SHOP}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      serviceAccountName: load
      containers:
        - {{name: once, image: "lab.local/peer:1", imagePullPolicy: IfNotPresent, command: [/mesh-peer, get, "server:80"]}}
"#
    );
    world.kubectl.apply(&job)?;
    let completed =
        world.kubectl.run(&["wait", "-n", SHOP, "--for=condition=Complete", "job/once", "--timeout=120s"]);
    let pod = world.kubectl.json(&["get", "pods", "-n", SHOP, "-l", "job-name=once"]);
    world.kubectl.delete(&job)?;
    completed.context("the Job does not complete")?;
    let pod = pod?;
    let phase = pod.pointer("/items/0/status/phase").and_then(Value::as_str).unwrap_or("?");
    ensure!(phase == "Succeeded", "its pod is {phase}");
    Ok(())
}
