//! What changes while requests are under way: the application's pods, and the mesh's own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{screen, wait};

use super::control_plane::sum;
use super::load;
use super::world::{MESH, SHOP, World};

const UPDATES: u32 = 5;
/// Between two, so that load has to do with the new ones.
const BREATH: Duration = Duration::from_secs(5);
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Every replica is replaced five times.
pub(super) fn rolling_updates(world: &mut World) -> Result<()> {
    let before = load::report(world)?;
    for update in 1..=UPDATES {
        world.kubectl.run(&["rollout", "restart", "-n", SHOP, "deployment/server"])?;
        world.kubectl.rolled_out(SHOP, &["server"]).with_context(|| format!("update {update}"))?;
        wait::under_load(BREATH);
    }
    screen::detail(&format!(
        "{UPDATES} rolling updates of 3 replicas at {} requests a second of each protocol",
        world.rate
    ));
    load::nothing_lost(&before, &load::report(world)?)
}

/// Each of the two is replaced, and then both die at once.
pub(super) fn restarts(world: &mut World) -> Result<()> {
    let before = load::report(world)?;
    for name in ["mesh-controller", "mesh-ca"] {
        let target = format!("deployment/{name}");
        world.kubectl.run(&["rollout", "restart", "-n", MESH, &target])?;
        world.kubectl.rolled_out(MESH, &[name])?;
        wait::under_load(BREATH);
    }
    let ours = "app.kubernetes.io/name in (mesh-controller,mesh-ca)";
    world.kubectl.run(&["delete", "pod", "-n", MESH, "-l", ours, "--force", "--grace-period=0"])?;
    world.kubectl.rolled_out(MESH, &["mesh-controller", "mesh-ca"])?;
    wait::under_load(BREATH);
    load::nothing_lost(&before, &load::report(world)?)?;
    alone(world)?;
    // What is told to proxies is told again: a restarted pod becomes a member.
    world.kubectl.run(&["rollout", "restart", "-n", SHOP, "deployment/server-v2"])?;
    world.kubectl.rolled_out(SHOP, &["server-v2"]).context("after the restarts")
}

/// The client's sidecar is started again while there is no controller: it goes on with what it has saved.
fn alone(world: &World) -> Result<()> {
    let scale = |replicas: &str| {
        world.kubectl.run(&["scale", "-n", MESH, "deployment/mesh-controller", replicas]).map(drop)
    };
    let was = world.kubectl.run(&[
        "get",
        "-n",
        MESH,
        "deployment/mesh-controller",
        "-o",
        "jsonpath={.spec.replicas}",
    ])?;
    scale("--replicas=0")?;
    let outcome = restarted_alone(world);
    scale(&format!("--replicas={}", was.trim()))?;
    outcome?;
    world.kubectl.rolled_out(MESH, &["mesh-controller"])?;
    let age = || sum(world, SHOP, 15020, "mesh_config_saved_state_age_seconds")("app=load");
    wait::until(PATIENCE, "the controller counts again", || {
        ensure!(age()? == 0, "the sidecar still serves from its saved state");
        Ok(())
    })
}

fn restarted_alone(world: &World) -> Result<()> {
    let controllers = "app.kubernetes.io/name=mesh-controller";
    wait::until(PATIENCE, "the controller is gone", || {
        let pods = world.kubectl.run(&["get", "pods", "-n", MESH, "-l", controllers, "-o", "name"])?;
        ensure!(pods.trim().is_empty(), "there is still {}", pods.trim());
        Ok(())
    })?;
    let of_sidecar = |field: &str| {
        let path = format!("status.initContainerStatuses[?(@.name==\"mesh-proxy\")].{field}");
        world.kubectl.pod(SHOP, "app=load", &path)
    };
    let (pod, began) = (world.kubectl.pod(SHOP, "app=load", "metadata.name")?, of_sidecar("restartCount")?);
    let ran = world.kubectl.exec(SHOP, &pod, "load", &["/mesh-peer", "end-sidecar"])?;
    ensure!(ran.code == 0, "end the client's sidecar: {}", ran.last());
    wait::until(PATIENCE, "the client's sidecar is started again", || {
        ensure!(of_sidecar("restartCount")? != began, "it has not ended");
        ensure!(of_sidecar("ready")? == "true", "it is not ready");
        Ok(())
    })?;
    // While it was away its requests failed, as they must; from here on none does.
    wait::under_load(BREATH);
    let before = load::report(world)?;
    wait::under_load(BREATH);
    load::nothing_lost(&before, &load::report(world)?)?;
    let age = sum(world, SHOP, 15020, "mesh_config_saved_state_age_seconds")("app=load")?;
    screen::detail(&format!(
        "without a controller a restarted sidecar serves from the saved state of {age} s ago"
    ));
    ensure!(age > 0, "it does not say that it serves from its saved state");
    Ok(())
}
