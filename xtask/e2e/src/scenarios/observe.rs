//! What somebody on call looks at: every command that shows traffic, on traffic that is there, as text and as JSON.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{screen, wait};

use super::world::{SHOP, World, text};

/// For reports to be with the controller, who asks sidecars every few seconds.
const REPORTED: Duration = Duration::from_mins(1);

/// Who asks what is seen from every side.
pub(super) fn seen(world: &mut World) -> Result<()> {
    wait::until(REPORTED, "the traffic is reported", || measured(world))?;
    shows(world, &["top", "--once", "-n", SHOP], &["server", "load", "mTLS", "100.00%"])?;
    shows(world, &["certs"], &["spiffe://cluster.local/ns/e2e-shop/sa/server", "ns/e2e-shop/sa/load"])?;
    shows(world, &["proxy", "endpoints", "deploy/load", "-n", SHOP], &["server"])?;
    shows(world, &["edges", "-n", SHOP], &["load", "server", "mTLS"])?;
    shows(world, &["routes", "-n", SHOP], &["server"])?;
    shows(world, &["protocols", "server", "-n", SHOP], &["server", "http"])?;
    secured(world)?;
    nothing_wrong(world)?;
    sent_once(world)?;
    promised(world)?;
    paid(world)?;
    tapped(world)?;
    traced(world)
}

/// One request on somebody's word, by the client's sidecar as if its application had sent it; both sides measured it.
fn sent_once(world: &World) -> Result<()> {
    let from = format!("{}.{SHOP}", world.kubectl.pod(SHOP, "app=load", "metadata.name")?);
    let url = format!("http://server.{SHOP}/");
    let ran = world.meshctl(&["explain", "GET", &url, "--from", &from, "--live"], 0)?;
    let live =
        ran.stdout.split_once("Live\n").map(|(_, live)| live).context("it says nothing of what was sent")?;
    for text in ["answer        200", "as explained", "caller ", "callee ", "upstream "] {
        ensure!(live.contains(text), "meshctl explain --live shows no `{text}`:\n{}", ran.stdout);
    }
    Ok(())
}

const PROMISE: &str = r"
apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: {name: promise, namespace: e2e-shop}
spec:
  targetRefs: [{group: '', kind: Service, name: server}]
  slo: {availability: 99.9, window: 30d}
";

/// An objective is counted from when it is made, and nothing of it is used up.
fn promised(world: &World) -> Result<()> {
    world.kubectl.apply(PROMISE)?;
    let outcome = wait::until(REPORTED, "what is promised is counted", || {
        let slo = world.meshctl_json(&["stat", "--slo", "-n", SHOP])?;
        let row = row(&slo, "objectives", |row| text(row, "/policy/name") == "promise")?;
        let (requests, bad) = (number(row, "/burns/0/requests"), number(row, "/burns/0/bad"));
        ensure!(requests > 0.0 && bad == 0.0 && text(row, "/alert") == "none", "{row}");
        screen::detail(&format!("stat --slo: {requests} requests, none of them bad"));
        Ok(())
    });
    world.kubectl.delete(PROMISE)?;
    outcome
}

/// What each sidecar takes of its machine, and adds to a request.
fn paid(world: &World) -> Result<()> {
    let cost = world.meshctl_json(&["cost", "-n", SHOP])?;
    for name in ["server", "load"] {
        let row = row(&cost, "rows", |row| text(row, "/name") == name)?;
        ensure!(number(row, "/proxies") > 0.0, "meshctl cost: {row}");
        screen::detail(&format!("cost: {row}"));
    }
    shows(world, &["cost", "-n", SHOP], &["CPU/REQ", "ADDED_P99", "server", "CONTROL PLANE", "controller"])
}

/// Its text has these; its end is a good one.
fn shows(world: &World, args: &[&str], texts: &[&str]) -> Result<()> {
    let ran = world.meshctl(args, 0)?;
    let missing = texts.iter().find(|text| !ran.stdout.contains(**text));
    ensure!(missing.is_none(), "meshctl {} shows no `{missing:?}`:\n{}", args.join(" "), ran.stdout);
    Ok(())
}

/// By Deployment, pod, Service and namespace: answered requests and latency.
fn measured(world: &World) -> Result<()> {
    for (kind, named) in [("deploy", "server"), ("pod", "server-"), ("svc", "server"), ("ns", "")] {
        let stat = world.meshctl_json(&["stat", kind, "-n", SHOP])?;
        let row = row(&stat, "rows", |row| {
            text(row, "/namespace") == SHOP && text(row, "/name").starts_with(named)
        })?;
        let requests = number(row, "/requests");
        ensure!(requests > 0.0 && number(row, "/p99_ms") > 0.0, "meshctl stat {kind}: {row}");
        screen::detail(&format!("stat {kind} {}: {requests} requests", text(row, "/name")));
    }
    Ok(())
}

/// Each edge between members is mutual TLS, and says who.
fn secured(world: &World) -> Result<()> {
    let edges = world.meshctl_json(&["edges", "-n", SHOP])?;
    let edge = row(&edges, "edges", |edge| {
        text(edge, "/source/workload").starts_with("load") && text(edge, "/service/name") == "server"
    })?;
    ensure!(text(edge, "/security") == "mtls" && edge.get("unsecured").is_some_and(Value::is_null), "{edge}");
    Ok(())
}

/// Requests were looked at, and if some failed, then when the application began and nobody was behind its Service yet.
fn nothing_wrong(world: &World) -> Result<()> {
    let args = ["why", "server", "-n", SHOP, "--since", "1m", "-o", "json"];
    let ran = world.meshctl(&args, 0).or_else(|_| world.meshctl(&args, 1))?;
    let why: Value = serde_json::from_str(&ran.stdout).context("meshctl why printed no JSON")?;
    ensure!(number(&why, "/requests") > 0.0, "it looked at no request: {why}");
    let causes = why.get("causes").and_then(Value::as_array).into_iter().flatten();
    for cause in causes {
        ensure!(text(cause, "/cause") == "endpoints_none", "something else went wrong: {cause}");
    }
    Ok(())
}

/// Requests as they end; the filter is judged by the sidecars.
fn tapped(world: &World) -> Result<()> {
    let args =
        ["tap", "load", "-n", SHOP, "--side", "outbound", "--status", "2xx", "--limit", "5", "--lasts", "30"];
    let taken = documents(world, &args)?;
    ensure!(taken.len() == 5, "five requests were asked for, {} came", taken.len());
    for request in &taken {
        let fits =
            text(request, "/side") == "outbound" && text(request, "/source/workload").starts_with("load-");
        ensure!(fits && (200.0..300.0).contains(&number(request, "/status")), "it does not fit: {request}");
    }
    Ok(())
}

/// Both sides of a call are in one trace.
fn traced(world: &World) -> Result<()> {
    let traces = documents(world, &["trace", "--number", "3", "--sample", "1"])?;
    ensure!(traces.len() == 3, "three traces were asked for, {} came", traces.len());
    for trace in &traces {
        let text = trace.to_string();
        ensure!(text.contains("load") && text.contains("server"), "a hop is missing: {text}");
    }
    Ok(())
}

/// Of commands that print a document a line.
fn documents(world: &World, args: &[&str]) -> Result<Vec<Value>> {
    let ran = world.meshctl(&[args, &["-o", "json"]].concat(), 0)?;
    let lines = ran.stdout.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}

fn row<'a>(answer: &'a Value, list: &str, wanted: impl Fn(&Value) -> bool) -> Result<&'a Value> {
    let rows =
        answer.get(list).and_then(Value::as_array).with_context(|| format!("no `{list}` in {answer}"))?;
    rows.iter().find(|row| wanted(row)).with_context(|| format!("it is not among them: {answer}"))
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}
