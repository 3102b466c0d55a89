//! The mesh comes, is replaced by another version of itself, and goes.

use anyhow::{Context as _, Result, ensure};

use crate::screen;

use super::load;
use super::world::{MESH, SHOP, World};

/// From nothing to a mesh with which nothing is wrong.
pub(super) fn install(world: &mut World) -> Result<()> {
    world.before = world.everything()?;
    world.meshctl(&["check", "--pre"], 0)?;
    let images: Vec<&str> = world.images.iter().map(String::as_str).collect();
    let ran = world.meshctl(&[["install"].as_slice(), &images].concat(), 0)?;
    screen::detail(&format!("meshctl install: {}", ran.last()));
    world.kubectl.rolled_out(MESH, &["mesh-controller", "mesh-ca"])?;
    let ran = world.meshctl(&["check"], 0)?;
    screen::detail(&format!("meshctl check: {}", ran.last()));
    Ok(())
}

/// Everything of the mesh's own is replaced while requests are under way.
pub(super) fn upgrade(world: &mut World) -> Result<()> {
    let before = load::report(world)?;
    let images: Vec<&str> = world.images.iter().map(String::as_str).collect();
    // A value that every pod of ours carries: all are replaced.
    let change = ["upgrade", "--yes", "--set", "podAnnotations.e2e=upgraded"];
    let ran = world.meshctl(&[change.as_slice(), &images].concat(), 0)?;
    screen::detail(&format!("meshctl upgrade: {}", ran.last()));
    world.kubectl.rolled_out(MESH, &["mesh-controller", "mesh-ca"])?;
    let path = "jsonpath={.spec.template.metadata.annotations.e2e}";
    let seen = world.kubectl.run(&["get", "deployment", "-n", MESH, "mesh-controller", "-o", path])?;
    ensure!(seen == "upgraded", "the change did not arrive: `{seen}`");
    load::nothing_lost(&before, &load::report(world)?)
}

/// Nothing is left but what users own, and the application runs as before the mesh.
pub(super) fn uninstall(world: &mut World) -> Result<()> {
    world.kubectl.run(&["label", "namespace", SHOP, "amime.io/inject-"])?;
    for name in ["server", "server-v2", "load"] {
        world.kubectl.run(&["rollout", "restart", "-n", SHOP, &format!("deployment/{name}")])?;
    }
    world.kubectl.rolled_out(SHOP, &["server", "server-v2", "load"])?;
    let ran = world.meshctl(&["uninstall", "--yes", "--purge"], 0)?;
    screen::detail(&format!("meshctl uninstall: {}", ran.last()));
    let pod = world.kubectl.pod(SHOP, "app=server", "metadata.name")?;
    world
        .kubectl
        .run(&["rollout", "restart", "-n", SHOP, "deployment/server"])
        .context("without the mesh")?;
    world.kubectl.rolled_out(SHOP, &["server"]).context("without the mesh")?;
    ensure!(!pod.is_empty(), "no server runs");
    world.kubectl.run(&["delete", "namespace", SHOP, "--wait", "--timeout=120s"])?;
    world.kubectl.run(&[
        "delete",
        "namespace",
        "e2e-unused",
        "--wait",
        "--ignore-not-found",
        "--timeout=240s",
    ])?;
    let after = world.everything()?;
    let left: Vec<&String> = after.iter().filter(|object| !world.before.contains(object)).collect();
    ensure!(left.is_empty(), "this is left: {left:?}");
    screen::detail(&format!("{} objects before, {} after, none new", world.before.len(), after.len()));
    Ok(())
}
