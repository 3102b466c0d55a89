//! What the controller sends, and what it does not.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{screen, wait};

use super::world::{MESH, SHOP, World};

/// Services that nobody uses: as many as a test may make on a small machine.
const UNUSED: u32 = 500;
/// What one edit sends, were it to send something, would be there within this.
const SEEN: Duration = Duration::from_mins(1);

/// The controllers send no resource because of an edit without meaning.
pub(super) fn quiet(world: &mut World) -> Result<()> {
    let sent = sum(world, MESH, 15014, "mesh_controller_config_resources_sent_total");
    let seen = sum(world, MESH, 15014, "mesh_controller_changes_without_meaning_total");
    let controllers = "app.kubernetes.io/name=mesh-controller";
    // Pods that have just come or gone are still being told.
    let before = wait::until(SEEN, "nothing is sent for five seconds", || {
        let before = sent(controllers)?;
        wait::under_load(Duration::from_secs(5));
        ensure!(sent(controllers)? == before, "something is");
        Ok(before)
    })?;
    let already = seen(controllers)?;
    for round in 0..5 {
        let mark = format!("amime.io/e2e-round={round}");
        for target in ["service/server", "deployment/server", "namespace/e2e-shop"] {
            world.kubectl.run(&["annotate", "-n", SHOP, "--overwrite", target, &mark])?;
        }
        let label = format!("e2e-round=r{round}");
        world.kubectl.run(&["label", "-n", SHOP, "--overwrite", "service/server", &label])?;
    }
    // An edit that means something shows that all before it were read.
    world.kubectl.apply(MARK)?;
    let outcome = wait::until(SEEN, "a change of meaning is sent", || {
        let held = sum(world, MESH, 15014, "mesh_controller_resources")(controllers)?;
        ensure!(held > 0, "no resources");
        let read = world.kubectl.json(&["get", "httproute", "-n", SHOP, "e2e-mark"])?;
        ensure!(read.pointer("/status/parents/0/conditions/0").is_some(), "the route has no status yet");
        Ok(())
    });
    world.kubectl.delete(MARK)?;
    outcome?;
    let (after, without) = (sent(controllers)?, seen(controllers)?);
    screen::detail(&format!(
        "20 edits of labels and annotations: {} resources sent, {} revisions without meaning",
        after - before,
        without - already
    ));
    ensure!(after == before, "{} resources were sent", after - before);
    Ok(())
}

/// Of a Service that nobody calls: it is compiled and goes to no proxy.
const MARK: &str = r"
apiVersion: v1
kind: Service
metadata: {name: e2e-mark, namespace: e2e-shop}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: e2e-mark, namespace: e2e-shop}
spec:
  parentRefs: [{group: '', kind: Service, name: e2e-mark}]
  rules: [{backendRefs: [{name: e2e-mark, port: 80}]}]
";

/// There are hundreds, and the client's proxy holds a few.
pub(super) fn on_demand(world: &mut World) -> Result<()> {
    let held = |world: &World| sum(world, SHOP, 15020, "mesh_config_destinations")("app=load");
    let told = |world: &World| {
        sum(world, MESH, 15014, "mesh_controller_resources")("app.kubernetes.io/name=mesh-controller")
    };
    let before = told(world)?;
    let mut services = String::from("apiVersion: v1\nkind: Namespace\nmetadata: {name: e2e-unused}\n");
    for number in 0..UNUSED {
        write!(
            services,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: unused-{number}, namespace: e2e-unused}}\nspec: {{clusterIP: None, ports: [{{port: 80}}]}}\n"
        )
        .context("write the services")?;
    }
    world.kubectl.apply(&services)?;
    let outcome = wait::until(SEEN, "the controller knows the new services", || {
        let now = told(world)?;
        ensure!(now >= before + u64::from(UNUSED), "it has {now} resources, before it had {before}");
        Ok(now)
    });
    let held = held(world);
    world.kubectl.run(&["delete", "namespace", "e2e-unused", "--wait=false"])?;
    let (now, held) = (outcome?, held?);
    screen::detail(&format!(
        "the controller has {now} resources, and the client's proxy holds {held} services"
    ));
    ensure!((1..=5).contains(&held), "it holds {held}");
    Ok(())
}

/// The sum of a metric over the pods that a selector selects, through the API server.
pub(super) fn sum<'a>(
    world: &'a World,
    namespace: &'a str,
    port: u16,
    metric: &'a str,
) -> impl Fn(&str) -> Result<u64> + 'a {
    move |selector| {
        let names = "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}";
        let running = "--field-selector=status.phase=Running";
        let pods =
            world.kubectl.run(&["get", "pods", "-n", namespace, "-l", selector, running, "-o", names])?;
        ensure!(!pods.trim().is_empty(), "no running pod {selector} in {namespace}");
        let mut sum = 0;
        for pod in pods.lines() {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
            let page = world.kubectl.run(&["get", "--raw", &path])?;
            let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
            let value: f64 = line.with_context(|| format!("{pod} has no {metric}"))?.trim().parse()?;
            // Counters of a test are far below what a float holds exactly.
            sum += format!("{value:.0}").parse::<u64>()?;
        }
        Ok(sum)
    }
}
