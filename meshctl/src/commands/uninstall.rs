//! `meshctl uninstall`: takes away what meshctl installed and what the mesh's own parts made, after saying what that breaks.

use std::time::Duration;

use anyhow::bail;
use mesh_operate::install::{self, INVENTORY, Inventory};
use mesh_operate::object::ObjectRef;
use serde_json::Value;
use tokio::time::Instant;

use super::{Outcome, ask, install as installing};
use crate::cluster::{Api, ClusterArgs};
use crate::output;

/// For what Kubernetes takes away after what it hangs on.
const GONE: Duration = Duration::from_mins(2);
const PACE: Duration = Duration::from_millis(300);
/// More Pods than these are counted, not named.
const NAMED: usize = 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Definitions of the mesh's kinds stay, with the objects of users, unless --purge says otherwise; so do those of
Gateway API, which --purge removes if meshctl install brought them and there is no Gateway."
)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Remove the definitions of the mesh's kinds too, and with them every object of these kinds
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let api = Api::connect(&args.cluster).await?;
    let namespace = args.cluster.mesh_namespace.as_str();
    let existing = installing::existing(&api, namespace).await?;
    if let Some(other) = existing.foreign_manager() {
        bail!("the mesh in {namespace} was installed by {other}: uninstall it there");
    }
    let Some(inventory) = existing.inventory else {
        if existing.controller.is_some() {
            bail!(
                "there is a controller in {namespace} and no ConfigMap {INVENTORY} that says what was installed with it: \
                 run meshctl install first, which adopts what is there"
            );
        }
        output::line(&format!("No mesh is installed in {namespace}."));
        return Ok(Outcome::Fine);
    };
    let members = api.list_metadata("/api/v1/pods", "labelSelector=amime.io%2Finjected%3Dtrue").await?;
    for line in consequences(&inventory, &members, args.purge) {
        output::line(&line);
    }
    if !args.yes && !ask::yes("Go on?")? {
        output::line("Nothing was changed.");
        return Ok(Outcome::Finding);
    }
    remove(&api, namespace, &inventory, args.purge).await?;
    let kept = if args.purge {
        ""
    } else {
        " Definitions of its kinds and their objects are kept: --purge removes them."
    };
    output::line(&format!("\nThe mesh is gone.{kept}"));
    Ok(Outcome::Fine)
}

/// What will not work afterwards.
fn consequences(inventory: &Inventory, members: &[Value], purge: bool) -> Vec<String> {
    let mut lines =
        vec![format!("This removes mesh {} ({} objects).", inventory.version, inventory.objects.len())];
    if !members.is_empty() {
        lines.push(format!(
            "{} Pods have a sidecar. They go on with what they know until their certificates end, within an hour by default; \
             then they refuse each other. Restart their workloads to take them out:",
            members.len()
        ));
        let name = |pod: &Value, path: &str| {
            pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let named = members.iter().take(NAMED);
        lines
            .extend(named.map(|pod| {
                format!("  {}/{}", name(pod, "/metadata/namespace"), name(pod, "/metadata/name"))
            }));
        if members.len() > NAMED {
            lines.push(format!("  and {} more", members.len() - NAMED));
        }
    }
    if purge {
        lines.push(
            "Every MeshConfig, TrafficPolicy, AuthorizationPolicy, ExternalService, Canary and Workload of the cluster goes too."
                .to_owned(),
        );
    }
    lines
}

async fn remove(api: &Api, namespace: &str, inventory: &Inventory, purge: bool) -> anyhow::Result<()> {
    for object in install::removal_order(inventory, namespace) {
        if object.kind == "DaemonSet" {
            installing::plugin::dismiss(api, &object).await?;
        }
        delete(api, &object).await?;
    }
    // Copies of the roots, which the controller made, and which nobody makes anew now.
    let copies = api.list_metadata("/api/v1/configmaps", "labelSelector=amime.io%2Fmanaged%3Dtrue").await?;
    for copy in copies {
        // Metadata alone is of kind PartialObjectMetadata.
        let text = |path: &str| copy.pointer(path).and_then(Value::as_str);
        if let (Some(namespace), Some(name)) = (text("/metadata/namespace"), text("/metadata/name")) {
            delete(api, &ObjectRef::namespaced("v1", "ConfigMap", namespace, name)).await?;
        }
    }
    if purge {
        for crd in mesh_chart::Chart::embedded().crds()? {
            if let Some(crd) = ObjectRef::of(&crd.object) {
                delete(api, &crd).await?;
                gone(api, &crd).await?;
            }
        }
    }
    if purge && inventory.brought_gateway_api {
        gateway_api(api).await?;
    }
    // The ConfigMap by which an interrupted removal could go on is the last but the namespace.
    delete(api, &ObjectRef::namespaced("v1", "ConfigMap", namespace, INVENTORY)).await?;
    let namespaces = inventory.objects.iter().rev().filter(|object| object.kind == "Namespace");
    for own in namespaces {
        delete(api, own).await?;
        gone(api, own).await?;
    }
    Ok(())
}

/// Gateway API came with the mesh and goes with it, unless somebody has begun to use it for something else.
async fn gateway_api(api: &Api) -> anyhow::Result<()> {
    for kind in ["gateways", "gatewayclasses"] {
        let path = format!("/apis/gateway.networking.k8s.io/v1/{kind}");
        if !api.list_metadata(&path, "").await?.is_empty() {
            output::line(&format!("  the definitions of Gateway API stay: there are {kind}"));
            return Ok(());
        }
    }
    for crd in mesh_chart::gateway_api()? {
        if let Some(crd) = ObjectRef::of(&crd.object) {
            delete(api, &crd).await?;
            gone(api, &crd).await?;
        }
    }
    Ok(())
}

async fn delete(api: &Api, object: &ObjectRef) -> anyhow::Result<()> {
    if api.delete(object).await? {
        output::line(&format!("  {object} removed"));
    }
    Ok(())
}

async fn gone(api: &Api, object: &ObjectRef) -> anyhow::Result<()> {
    let deadline = Instant::now() + GONE;
    while let Some(left) = api.get(object).await? {
        if Instant::now() > deadline {
            let conditions = left.pointer("/status/conditions").cloned().unwrap_or_default();
            bail!("{object} is still there after {} s: {conditions}", GONE.as_secs());
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_breaks_is_said_by_name() {
        let inventory = Inventory {
            version: "0.1.0".to_owned(),
            given: json!({}),
            objects: Vec::new(),
            brought_gateway_api: false,
        };
        let pod = |n: usize| json!({"metadata": {"namespace": "shop", "name": format!("web-{n}")}});
        let pods: Vec<Value> = (0..12).map(pod).collect();
        let lines = consequences(&inventory, &pods, true);
        assert_eq!(lines.first().unwrap(), "This removes mesh 0.1.0 (0 objects).");
        assert!(lines.get(1).unwrap().starts_with("12 Pods have a sidecar."));
        assert_eq!(lines.get(11).unwrap(), "  shop/web-9");
        assert_eq!(lines.get(12).unwrap(), "  and 2 more");
        assert!(lines.last().unwrap().starts_with("Every MeshConfig"));
        assert_eq!(consequences(&inventory, &[], false).len(), 1);
    }
}
