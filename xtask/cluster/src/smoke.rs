//! Whether a cluster does what tests rely on: pods, probes, services, names, logs, and images of ours. Knows nothing of what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Request, left_behind};
use crate::folders::{Folders, write};
use crate::program::{Program, wait_until};
use crate::screen;

const MANIFEST: &str = include_str!("../assets/smoke.yaml");
const READY: Duration = Duration::from_mins(3);
/// A Service's endpoints reach every node a moment after its pods are ready.
const REACHED: Duration = Duration::from_secs(30);

/// Brings a cluster up, uses it, takes it down, and looks for what it left. `images` are archives to load; each image's program has to
/// print its version.
pub fn smoke(folders: Folders, request: Request, images: &[(String, PathBuf)]) -> Result<()> {
    let lent = Cluster::lend(folders.clone(), request)?;
    let used = use_it(lent.cluster(), &folders, images);
    if used.is_err() {
        explain(lent.cluster());
    }
    drop(lent);
    used?;
    let left = left_behind(&folders)?;
    ensure!(left.is_empty(), "the cluster left behind: {}", left.join(", "));
    screen::step("the cluster left nothing behind");
    Ok(())
}

fn use_it(cluster: &Cluster, folders: &Folders, images: &[(String, PathBuf)]) -> Result<()> {
    let manifest = folders.state().join("smoke.yaml");
    write(&manifest, MANIFEST)?;
    apply(cluster, &manifest)?;
    cluster.kubectl(["rollout", "status", "deployment/echo", "--timeout=120s"])?.limit(READY).output()?;
    cluster
        .kubectl(["wait", "--for=condition=Ready", "pod/client", "--timeout=120s"])?
        .limit(READY)
        .output()?;
    screen::step("pods are ready");
    by_name(cluster)?;
    by_node_port(cluster)?;
    for (name, archive) in images {
        cluster.load(archive)?;
        version(cluster, folders, name).with_context(|| format!("run {name}"))?;
    }
    Ok(())
}

/// What the cluster says of itself, before it is gone.
fn explain(cluster: &Cluster) {
    let questions: [&[&str]; 2] = [
        &["get", "pods", "--all-namespaces", "--output=wide"],
        &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"],
    ];
    for question in questions {
        match cluster.kubectl(question).and_then(Program::run) {
            Ok(printed) => screen::step(&format!("kubectl {}:\n{}", question.join(" "), printed.tail())),
            Err(error) => screen::step(&format!("kubectl {}: {error:#}", question.join(" "))),
        }
    }
}

fn apply(cluster: &Cluster, manifest: &Path) -> Result<()> {
    cluster.kubectl(["apply", "--filename"])?.arg(manifest).output()?;
    Ok(())
}

/// Both replicas answer, over HTTP/1 and HTTP/2, by the Service's short and full name.
fn by_name(cluster: &Cluster) -> Result<()> {
    let calls = [
        (vec!["http://echo/one"], "/one", "HTTP/1.1"),
        (vec!["--http2-prior-knowledge", "http://echo.default.svc.cluster.local/two"], "/two", "HTTP/2.0"),
    ];
    for (words, path, protocol) in calls {
        let mut pods = BTreeSet::new();
        wait_until("both replicas answer", REACHED, || {
            let curl = ["exec", "client", "--", "curl", "--silent", "--show-error", "--max-time", "5"];
            let printed = cluster.kubectl(curl.iter().chain(&words))?.run()?;
            // Until every node knows the endpoints a call may fail.
            let Ok(answer) = serde_json::from_str::<Value>(&printed.out) else { return Ok(false) };
            let said = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default();
            ensure!(said("path") == path && said("protocol") == protocol, "the server saw {answer}");
            pods.insert(said("pod").to_owned());
            Ok(pods.len() == 2)
        })?;
        screen::step(&format!("{protocol}: both replicas answer"));
    }
    Ok(())
}

/// A program outside the pods reaches them at the node's own address.
fn by_node_port(cluster: &Cluster) -> Result<()> {
    let address = cluster
        .kubectl([
            "get",
            "nodes",
            r#"-o=jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#,
        ])?
        .output()?;
    let url = format!("http://{}:30080/three", address.trim());
    wait_until("the node's port answers", REACHED, || {
        let printed = cluster.call("curl")?.args(["--silent", "--max-time", "5", &url]).run()?;
        Ok(printed.out.contains("\"/three\""))
    })?;
    screen::step("the node's port answers");
    Ok(())
}

/// The image's program runs as nobody, with nothing that it could do or write, and says its version.
fn version(cluster: &Cluster, folders: &Folders, image: &str) -> Result<()> {
    let word =
        image.rsplit('/').next().and_then(|name| name.split(':').next()).context("an image has a name")?;
    let secure: BTreeMap<&str, Value> = BTreeMap::from([
        ("runAsNonRoot", json!(true)),
        ("readOnlyRootFilesystem", json!(true)),
        ("allowPrivilegeEscalation", json!(false)),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ]);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": word},
        "spec": {"restartPolicy": "Never", "containers": [{
            "name": word, "image": image, "imagePullPolicy": "Never", "args": ["--version"], "securityContext": secure,
        }]},
    });
    let manifest = folders.state().join(format!("smoke-{word}.json"));
    write(&manifest, pod.to_string())?;
    apply(cluster, &manifest)?;
    let done = ["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", "pod", word];
    let waited = cluster.kubectl(done)?.limit(READY).output();
    let said = cluster.kubectl(["logs", word])?.run()?;
    waited.with_context(|| format!("it says:\n{}", said.tail()))?;
    ensure!(said.out.contains(word), "it says `{}`", said.out.trim());
    screen::step(&format!("{image} runs: {}", said.out.trim()));
    Ok(())
}
