//! Releases on a cluster: versions that are as good as they must be, that fail, that are slow and that end, with a controller that is killed at
//! each step.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{screen, wait};

use super::load::{self, Summary};
use super::world::{MESH, World, text};

const OBJECTS: &str = include_str!("../../assets/release.yaml");
const NAMESPACE: &str = "e2e-release";
/// For the whole of a release.
const RELEASED: Duration = Duration::from_mins(4);
const IN_FORCE: Duration = Duration::from_mins(1);
/// How every version is slow at times: p90 and p99 are told by the application, not by a busy machine.
const AS_EVER: &str = "20:100";

/// A version, and what becomes of it.
struct Version {
    name: &'static str,
    /// Arguments of the application.
    does: &'static [&'static str],
    phase: &'static str,
    /// Reasons of which one is given.
    because: &'static [&'static str],
    /// Of requests that fail at most, given what the new version answered well and how many were sent.
    may_fail: fn(&Summary) -> u64,
}

/// What requests go to.
#[derive(Clone, Copy)]
struct Serving {
    service: &'static str,
    version: &'static str,
}

/// In steps of a tenth and of a half.
const VERSIONS: &[Version] = &[
    Version {
        name: "good",
        does: &["--slow", AS_EVER],
        phase: "Promoted",
        because: &["Promoted"],
        may_fail: |_| 0,
    },
    Version {
        name: "failing",
        does: &["--slow", AS_EVER, "--fail", "2"],
        phase: "RolledBack",
        because: &["EvidenceAgainst", "CheckFailed"],
        // One of fifty that it got, and nothing of the other one's.
        may_fail: |load| load.by.get("failing").copied().unwrap_or_default() / 49 + 1,
    },
    Version {
        name: "slow",
        does: &["--slow", "20:200"],
        phase: "RolledBack",
        because: &["EvidenceAgainst", "CheckFailed"],
        may_fail: |_| 0,
    },
    Version {
        name: "crashing",
        does: &["--slow", AS_EVER, "--crash-at", "300"],
        phase: "RolledBack",
        because: &["NoReadyEndpoints", "EvidenceAgainst", "CheckFailed"],
        // Its half at most; the client cannot tell whose a lost answer was.
        may_fail: |load| load.sent / 2,
    },
];

/// Every version ends as it must, and the application of the other scenarios loses nothing meanwhile.
pub(super) fn released(world: &mut World) -> Result<()> {
    let before = load::report(world)?;
    world.kubectl.apply(OBJECTS)?;
    let outcome = released_all(world);
    if outcome.is_err() {
        describe(world);
    }
    world.kubectl.run(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    outcome?;
    load::nothing_lost(&before, &load::report(world)?)
}

fn released_all(world: &World) -> Result<()> {
    let (mut serves, mut other) = (Serving { service: "blue", version: "first" }, "green");
    world.kubectl.apply(&deployment(serves.service, serves.version, &["--slow", AS_EVER]))?;
    for version in VERSIONS {
        // Beside the one that serves: nobody is sent there before the release begins.
        world.kubectl.apply(&deployment(other, version.name, version.does))?;
        world.kubectl.rolled_out(NAMESPACE, &["blue", other, "load"])?;
        released_one(world, serves, other, version).with_context(|| format!("version {}", version.name))?;
        if version.phase == "Promoted" {
            let free = serves.service;
            (serves, other) = (Serving { service: other, version: version.name }, free);
        }
    }
    let history = world.meshctl_json(&["canary", "history", "shop", "-n", NAMESPACE])?;
    let told: Vec<&str> =
        history.as_array().into_iter().flatten().map(|past| text(past, "/version")).collect();
    ensure!(told == ["crashing", "slow", "failing", "good"], "the history tells {told:?}");
    Ok(())
}

fn released_one(world: &World, serves: Serving, other: &str, version: &Version) -> Result<()> {
    let before = settled(world)?;
    let began = Instant::now();
    world.kubectl.apply(&canary(serves.service, other, version.name))?;
    let mut killed = BTreeSet::new();
    let end = wait::until(RELEASED, "the release ends", || {
        let status = status(world)?;
        ensure!(text(&status, "/version") == version.name, "it has not begun: {status}");
        let (phase, step) = (text(&status, "/phase").to_owned(), status.get("step").and_then(Value::as_u64));
        if phase == "Progressing" && killed.insert(step) {
            let controller = "app.kubernetes.io/name=mesh-controller";
            world.kubectl.run(&[
                "delete",
                "pod",
                "-n",
                MESH,
                "-l",
                controller,
                "--force",
                "--grace-period=0",
            ])?;
            world.kubectl.rolled_out(MESH, &["mesh-controller"])?;
        }
        ensure!(phase == "Promoted" || phase == "RolledBack", "it is {phase}: {status}");
        Ok(status)
    })?;
    let took = began.elapsed().as_secs();
    ensure!(text(&end, "/phase") == version.phase, "it is {end}");
    ensure!(version.because.contains(&text(&end, "/reason")), "for another reason: {end}");
    let who = if version.phase == "Promoted" { version.name } else { serves.version };
    alone(world, who)?;
    let load = since(&before, &asked(world)?);
    let failed = load.failed;
    screen::detail(&format!(
        "{}: {} after {took} s ({}); {} of {} requests were its, {failed} failed; the controller was killed {} times",
        version.name,
        version.phase,
        text(&end, "/reason"),
        load.by.get(version.name).copied().unwrap_or_default(),
        load.sent,
        killed.len(),
    ));
    let most = (version.may_fail)(&load);
    ensure!(failed <= most, "{failed} requests failed, {most} may: {:?}", load.reasons);
    let steps = killed.into_iter().flatten().collect::<Vec<_>>();
    // What is bad may be taken back while the first step goes on; what is good has been at every one.
    let all = if version.phase == "Promoted" { vec![0, 1] } else { vec![0] };
    ensure!(steps.starts_with(&all), "the controller was killed at the steps {steps:?} only");
    Ok(())
}

/// Until all that is asked for is answered: what failed before this version began is not its.
fn settled(world: &World) -> Result<Summary> {
    wait::until(IN_FORCE, "the client is answered", || {
        let then = asked(world)?;
        wait::under_load(Duration::from_secs(1));
        let now = asked(world)?;
        let grown = since(&then, &now);
        ensure!(grown.ok > 0 && grown.failed == 0, "{grown:?}");
        Ok(now)
    })
}

/// Until nobody else answers.
fn alone(world: &World, name: &str) -> Result<()> {
    wait::until(IN_FORCE, "one version answers alone", || {
        let then = asked(world)?;
        wait::under_load(Duration::from_secs(1));
        let grown = since(&then, &asked(world)?);
        let others = grown.by.iter().filter(|(by, count)| *by != name && **count > 0).count();
        ensure!(grown.ok > 0 && grown.failed == 0 && others == 0, "not {name} alone: {grown:?}");
        Ok(())
    })
}

fn status(world: &World) -> Result<Value> {
    let ran = world.meshctl_any(&["canary", "status", "shop", "-n", NAMESPACE, "-o", "json"])?;
    serde_json::from_str(&ran.stdout).with_context(|| format!("meshctl canary status: {}", ran.last()))
}

fn asked(world: &World) -> Result<Summary> {
    let report = load::report_of(world, NAMESPACE)?;
    report.get("http1").cloned().context("the client does not speak HTTP/1.1")
}

/// What came between two reports.
fn since(then: &Summary, now: &Summary) -> Summary {
    let grown = |before: &std::collections::BTreeMap<String, u64>,
                 after: &std::collections::BTreeMap<String, u64>| {
        after
            .iter()
            .map(|(key, count)| (key.clone(), count - before.get(key).copied().unwrap_or_default()))
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    Summary {
        sent: now.sent - then.sent,
        ok: now.ok - then.ok,
        failed: now.failed - then.failed,
        late: now.late - then.late,
        reasons: grown(&then.reasons, &now.reasons),
        by: grown(&then.by, &now.by),
        ..now.clone()
    }
}

fn describe(world: &World) {
    for args in [
        ["get", "pods", "-n", NAMESPACE, "-o", "wide"].as_slice(),
        &["get", "canary", "-n", NAMESPACE, "shop", "-o", "yaml"],
    ] {
        if let Ok(text) = world.kubectl.run(args) {
            screen::line(&format!("--- kubectl {}\n{text}", args.join(" ")));
        }
    }
}

fn deployment(name: &str, version: &str, does: &[&str]) -> String {
    // A list of JSON is one of YAML too.
    let command = Value::from([&["/mesh-peer", "serve", "--name", version], does].concat());
    format!(
        r"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, part: shop}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: app
          image: lab.local/peer:1
          imagePullPolicy: IfNotPresent
          command: {command}
          readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}
"
    )
}

fn canary(stable: &str, canary: &str, version: &str) -> String {
    format!(
        "
apiVersion: amime.io/v1alpha1
kind: Canary
metadata: {{name: shop, namespace: {NAMESPACE}}}
spec:
  stable: {stable}
  canary: {canary}
  version: {version}
  steps: [{{weight: 10}}, {{weight: 50}}]
  analysis:
    interval: 5s
    minRequests: 300
    failedChecks: 1
    successRate: 99
    compare: {{latency: [{{quantile: 90, margin: 40}}]}}
"
    )
}
