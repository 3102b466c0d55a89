//! What changes while requests are under way: the application's pods, and the mesh's own.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{screen, wait};

use super::load;
use super::world::{MESH, SHOP, World};

const UPDATES: u32 = 5;
/// Between two, so that load has to do with the new ones.
const BREATH: Duration = Duration::from_secs(5);

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
    // What is told to proxies is told again: a restarted pod becomes a member.
    world.kubectl.run(&["rollout", "restart", "-n", SHOP, "deployment/server-v2"])?;
    world.kubectl.rolled_out(SHOP, &["server-v2"]).context("after the restarts")
}
