//! The mesh comes, is replaced by another version of itself, and goes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::{program, screen, wait};

use super::load;
use super::world::{MESH, SHOP, World};

/// From nothing to a mesh with which nothing is wrong.
pub(super) fn install(world: &mut World) -> Result<()> {
    world.before = world.everything()?;
    world.meshctl(&["check", "--pre"], 0)?;
    let images: Vec<&str> = world.images.iter().map(String::as_str).collect();
    let lifetime = world.lifetime.map(|lifetime| format!("ca.certificateLifetime={lifetime}"));
    let set: Vec<&str> = lifetime.iter().flat_map(|value| ["--set", value]).collect();
    let ran = world.meshctl(&[["install"].as_slice(), &images, &set].concat(), 0)?;
    screen::detail(&format!("meshctl install: {}", ran.last()));
    world.kubectl.rolled_out(MESH, &["mesh-controller", "mesh-ca"])?;
    let ran = world.meshctl(&["check"], 0)?;
    screen::detail(&format!("meshctl check: {}", ran.last()));
    Ok(())
}

/// What is off by default, each with what the API server checks of it.
const OPTIONS: [&str; 8] = [
    "networkPolicies.enabled=true",
    "controller.autoscaling.enabled=true",
    "podDisruptionBudgets.enabled=true",
    "monitoring.podMonitors=true",
    "monitoring.rules=true",
    "monitoring.dashboards=true",
    "cni.enabled=true",
    "injection.capture=cni",
];
/// The API server takes its own objects away a little later.
const GONE: Duration = Duration::from_mins(1);
/// Of the Prometheus operator, for its kinds.
const OPERATOR: [&str; 2] = [
    include_str!("../../assets/prometheus-operator/podmonitors.yaml"),
    include_str!("../../assets/prometheus-operator/prometheusrules.yaml"),
];

/// The API server is asked about every object that values can turn on, and stores none of them.
pub(super) fn options(world: &mut World) -> Result<()> {
    for definition in OPERATOR {
        world.kubectl.apply(definition)?;
    }
    let outcome = asked(world);
    for definition in OPERATOR {
        world.kubectl.delete(definition)?;
    }
    outcome
}

fn asked(world: &World) -> Result<()> {
    let kinds = ["crd/podmonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com"];
    let established = ["wait", "--for=condition=Established", "--timeout=60s"];
    world.kubectl.run(&[established.as_slice(), &kinds].concat())?;
    let mut args = vec!["install", "--dry-run", "--ha"];
    args.extend(OPTIONS.iter().flat_map(|option| ["--set", option]));
    args.extend(world.images.iter().map(String::as_str));
    let ran = world.meshctl(&args, 0)?;
    for kind in ["NetworkPolicy", "HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule", "DaemonSet"] {
        ensure!(ran.stdout.contains(kind), "nobody asked about a {kind}:\n{}", ran.stdout);
    }
    let stored = world.kubectl.run(&["get", "networkpolicy,hpa,podmonitor", "-n", MESH, "-o", "name"])?;
    ensure!(stored.trim().is_empty(), "a dry run stored {}", stored.trim());
    screen::detail(&format!(
        "meshctl install --dry-run: {} lines, {}",
        ran.stdout.lines().count(),
        ran.last()
    ));
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

/// Helm itself puts the chart into a cluster without a mesh, and takes it away again. What Helm leaves by its own rules is exactly what is
/// told here: definitions, the namespace, and what the mesh wrote into others.
pub(super) fn helm(world: &mut World) -> Result<()> {
    let Some((helm, chart)) = world.helm.clone() else {
        screen::detail("no helm was given: not run");
        return Ok(());
    };
    let there = world.kubectl.run(&["get", "namespace", MESH, "--ignore-not-found", "-o", "name"])?;
    ensure!(there.trim().is_empty(), "meshctl's mesh is there: run `uninstall` before this one");
    let before = world.everything()?;
    let helm = |args: &[&str]| -> Result<()> {
        let ran = program::run(&helm, args, None)?;
        ensure!(ran.code == 0, "helm {}: {}", args.join(" "), ran.stderr.trim());
        Ok(())
    };
    let chart = chart.to_string_lossy().into_owned();
    let mut install =
        vec!["install", "amime", &chart, "-n", MESH, "--create-namespace", "--wait", "--timeout=3m"];
    let sets: Vec<String> = world
        .images
        .chunks(2)
        .filter_map(|pair| match pair {
            [option, value] => {
                Some(format!("{}={value}", option.trim_start_matches("--").replacen('-', ".", 1)))
            }
            _ => None,
        })
        .collect();
    install.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    helm(&install)?;
    // Of Gateway API nothing is there: the chart does not bring it.
    let ran = world.meshctl(&["check", "--skip", "AMC010,AMC011,AMC012"], 0)?;
    screen::detail(&format!("helm install; meshctl check: {}", ran.last()));
    helm(&["uninstall", "amime", "-n", MESH, "--wait", "--timeout=3m"])?;
    let after = world.everything()?;
    let left = |after: &[String]| -> Vec<String> {
        after.iter().filter(|object| !before.contains(object)).cloned().collect()
    };
    let told = |object: &String| {
        // Definitions, and the APIService that the API server itself makes for them.
        let ours = object.ends_with(".amime.io");
        ours || object.contains(MESH) || object.ends_with("amime-ca-roots")
    };
    let left_by_helm = left(&after);
    let untold: Vec<&String> = left_by_helm.iter().filter(|object| !told(object)).collect();
    ensure!(untold.is_empty(), "helm uninstall leaves {untold:?}");
    world.kubectl.run(&["delete", "namespace", MESH, "--wait", "--timeout=120s"])?;
    world.kubectl.run(&["delete", "configmap", "-A", "-l", "amime.io/managed=true"])?;
    let definitions: Vec<&str> = left_by_helm
        .iter()
        .filter_map(|object| object.strip_prefix("CustomResourceDefinition ")?.split_whitespace().last())
        .collect();
    world.kubectl.run(&[["delete", "crd", "--wait"].as_slice(), &definitions].concat())?;
    wait::until(GONE, "nothing is left", || {
        let rest = left(&world.everything()?);
        ensure!(rest.is_empty(), "this is left: {rest:?}");
        Ok(())
    })?;
    screen::detail(&format!("helm left {} objects, all of them told; then none", left_by_helm.len()));
    Ok(())
}
