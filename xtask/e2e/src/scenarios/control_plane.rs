//! What the controller sends, and what it does not.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{screen, wait};

use super::world::{SHOP, World};

/// Services that nobody uses: as many as a test may make on a small machine.
const UNUSED: usize = 500;
const SEEN: Duration = Duration::from_mins(1);

/// The controller's generation of what proxies hold stays what it is.
pub(super) fn quiet(world: &mut World) -> Result<()> {
    let generation = |world: &World| -> Result<String> {
        let sync = world.meshctl_json(&["sync"])?;
        Ok(sync.get("proxies").context("meshctl sync tells no proxies")?.to_string())
    };
    let sent = |world: &World| -> Result<u64> { sent(&generation(world)?) };
    let before = sent(world)?;
    for round in 0..5 {
        let mark = format!("amime.io/e2e-round={round}");
        for target in ["service/server", "deployment/server", "namespace/e2e-shop"] {
            world.kubectl.run(&["annotate", "-n", SHOP, "--overwrite", target, &mark])?;
        }
        let label = format!("e2e-round=r{round}");
        world.kubectl.run(&["label", "-n", SHOP, "--overwrite", "service/server", &label])?;
    }
    let after = sent(world)?;
    screen::detail(&format!("20 edits of labels and annotations: {} resources sent", after - before));
    ensure!(after == before, "{} resources were sent", after - before);
    Ok(())
}

/// Resources that all proxies have been sent, summed over what `meshctl sync` says.
fn sent(proxies: &str) -> Result<u64> {
    let proxies: Value = serde_json::from_str(proxies).context("the proxies")?;
    let rows = proxies.as_array().context("the proxies are no list")?;
    ensure!(!rows.is_empty(), "no proxy is connected");
    let mut sum = 0;
    for row in rows {
        let count = row.get("resources_sent").and_then(Value::as_u64);
        sum += count.with_context(|| format!("no resources_sent in {row}"))?;
    }
    Ok(sum)
}

/// There are hundreds, and the client's proxy holds a few.
pub(super) fn on_demand(world: &mut World) -> Result<()> {
    let mut services = String::from("apiVersion: v1\nkind: Namespace\nmetadata: {name: e2e-unused}\n");
    for number in 0..UNUSED {
        write!(
            services,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: unused-{number}, namespace: e2e-unused}}\nspec: {{clusterIP: None, ports: [{{port: 80}}]}}\n"
        )
        .context("write the services")?;
    }
    world.kubectl.apply(&services)?;
    let outcome = wait::until(SEEN, "the proxy's services are counted", || {
        let pod = world.kubectl.pod(SHOP, "app=load", "metadata.name")?;
        let target = format!("pod/{pod}");
        let config = world.meshctl_json(&["proxy", "config", "-n", SHOP, &target])?;
        let held = config.get("services").and_then(Value::as_array).map(Vec::len);
        let held =
            held.or_else(|| config.get("services").and_then(Value::as_object).map(serde_json::Map::len));
        held.with_context(|| format!("no services in what the proxy holds: {config}"))
    });
    world.kubectl.run(&["delete", "namespace", "e2e-unused", "--wait=false"])?;
    let held = outcome?;
    screen::detail(&format!("{UNUSED} services more, and the client's proxy holds {held}"));
    ensure!(held <= 5, "it holds {held}");
    Ok(())
}
