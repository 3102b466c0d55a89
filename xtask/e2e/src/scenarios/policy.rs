//! What a user says about traffic: who may speak without mTLS, and which version gets how much.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{screen, wait};

use super::load;
use super::world::{SHOP, World};

/// For a change to be in force everywhere.
const IN_FORCE: Duration = Duration::from_mins(1);
const STRICT: &str = r"
apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {mtls: {mode: Strict}}
";
const PERMISSIVE: &str = r"
apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {mtls: {mode: Permissive}}
";
const STRANGER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: e2e-outside}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: e2e-outside}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: app, image: "lab.local/peer:1", imagePullPolicy: IfNotPresent, command: [/mesh-peer, serve]}
"#;

/// Members go on, strangers do not, the kubelet is no stranger.
pub(super) fn strict(world: &mut World) -> Result<()> {
    world.kubectl.apply(STRANGER)?;
    let outcome = strict_with_stranger(world);
    let back = world.kubectl.apply(PERMISSIVE);
    world.kubectl.delete(STRANGER)?;
    outcome.and(back)
}

fn strict_with_stranger(world: &World) -> Result<()> {
    let ready = ["wait", "-n", "e2e-outside", "--for=condition=Ready", "pod/stranger", "--timeout=60s"];
    world.kubectl.run(&ready)?;
    let to = format!("server.{SHOP}:80");
    let ask = || world.kubectl.exec("e2e-outside", "stranger", "app", &["/mesh-peer", "get", &to]);
    world.kubectl.apply(PERMISSIVE)?;
    wait::until(IN_FORCE, "a stranger is answered while mTLS is permissive", || {
        let ran = ask()?;
        ensure!(ran.code == 0, "{}", ran.last());
        Ok(())
    })?;
    let before = load::report(world)?;
    world.kubectl.apply(STRICT)?;
    wait::until(IN_FORCE, "a stranger is refused", || {
        ensure!(ask()?.code != 0, "it is answered");
        Ok(())
    })?;
    // A pod that starts now has to become ready by its probes.
    world.kubectl.run(&["rollout", "restart", "-n", SHOP, "deployment/server-v2"])?;
    world.kubectl.rolled_out(SHOP, &["server-v2"]).context("under strict mTLS")?;
    load::nothing_lost(&before, &load::report(world)?)
}

/// The shares are what the route says, and nothing is lost when they change.
pub(super) fn split(world: &mut World) -> Result<()> {
    let route = |old: u32, new: u32| {
        format!(
            r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: server, namespace: {SHOP}}}
spec:
  parentRefs: [{{group: '', kind: Service, name: server}}]
  rules:
    - backendRefs: [{{name: server, port: 80, weight: {old}}}, {{name: server-v2, port: 80, weight: {new}}}]
"
        )
    };
    let before = load::report(world)?;
    world.kubectl.apply(&route(90, 10))?;
    let outcome = share(world, 0.07, 0.13).and_then(|()| {
        world.kubectl.apply(&route(0, 1))?;
        share(world, 1.0, 1.0)
    });
    world.kubectl.delete(&route(0, 1))?;
    outcome?;
    share(world, 0.0, 0.0)?;
    load::nothing_lost(&before, &load::report(world)?)
}

/// Until version 2 answers this part of what HTTP/1.1 asks within three seconds.
fn share(world: &World, low: f64, high: f64) -> Result<()> {
    wait::until(IN_FORCE, "the shares are as the route says", || {
        let before = load::report(world)?;
        wait::under_load(Duration::from_secs(3));
        let after = load::report(world)?;
        let (Some(then), Some(now)) = (before.get("http1"), after.get("http1")) else {
            bail!("the client does not speak HTTP/1.1");
        };
        let grown = |name: &str| {
            let count = |by: &load::Summary| by.by.get(name).copied().unwrap_or_default();
            count(now) - count(then)
        };
        let (old, new) = (grown("v1"), grown("v2"));
        ensure!(old + new > 0, "nothing was answered");
        let share = new as f64 / (old + new) as f64;
        ensure!((low..=high).contains(&share), "version 2 has {:.1} %", share * 100.0);
        screen::detail(&format!("version 2 has {:.1} % of {}", share * 100.0, old + new));
        Ok(())
    })
}
