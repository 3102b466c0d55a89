//! Who may call what, and what certificates are signed by, while requests are under way: closed by default, opened for one caller,
//! and a root that is replaced although the authority dies in between.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{screen, wait};

use super::load;
use super::world::{MESH, SHOP, World, text};

/// For a change to be in force everywhere.
const IN_FORCE: Duration = Duration::from_mins(1);
/// For a whole rotation: every certificate of the old root has to end.
const ROTATED: Duration = Duration::from_mins(8);
/// A member that has no business with the shop.
const GUEST: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: e2e-guest, labels: {amime.io/inject: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: e2e-guest}
---
apiVersion: v1
kind: Pod
metadata: {name: guest, namespace: e2e-guest}
spec:
  serviceAccountName: guest
  terminationGracePeriodSeconds: 1
  containers:
    - {name: app, image: "lab.local/peer:1", imagePullPolicy: IfNotPresent, command: [/mesh-peer, serve]}
"#;
/// As the shop sees it.
const GUEST_ID: &str = "spiffe://cluster.local/ns/e2e-guest/sa/guest";
const OPENED: &str = r"
apiVersion: amime.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: load-may-call, namespace: e2e-shop}
spec:
  targetRefs: [{group: '', kind: Service, name: server}, {group: '', kind: Service, name: server-v2}]
  action: Allow
  rules: [{from: [{serviceAccounts: [load]}]}]
";
const CLOSED: &str = r"
apiVersion: amime.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: e2e-shop}
spec: {action: Allow}
";

/// The shop is closed to all but the client, which loses nothing; the kubelet is still answered.
pub(super) fn authorized(world: &mut World) -> Result<()> {
    world.kubectl.apply(GUEST)?;
    let outcome = authorized_with_guest(world);
    let back = [OPENED, CLOSED, GUEST].into_iter().try_for_each(|objects| world.kubectl.delete(objects));
    outcome.and(back)
}

fn authorized_with_guest(world: &World) -> Result<()> {
    let ready = ["wait", "-n", "e2e-guest", "--for=condition=Ready", "pod/guest", "--timeout=90s"];
    world.kubectl.run(&ready)?;
    let to = format!("server.{SHOP}:80");
    let ask = || world.kubectl.exec("e2e-guest", "guest", "app", &["/mesh-peer", "get", &to]);
    wait::until(IN_FORCE, "a member is answered while there is no policy", || {
        let ran = ask()?;
        ensure!(ran.code == 0, "{}", ran.last());
        Ok(())
    })?;
    let before = load::report(world)?;
    // In this order nobody who is allowed is ever refused.
    world.kubectl.apply(OPENED)?;
    world.kubectl.apply(CLOSED)?;
    let refused = wait::until(IN_FORCE, "a member without a policy for it is refused", || {
        let ran = ask()?;
        ensure!(ran.code != 0, "it is answered by {}", ran.stdout.trim());
        Ok(ran.last())
    })?;
    ensure!(refused.contains("403"), "it is refused otherwise than with 403: {refused}");
    explained(world)?;
    named(world)?;
    // A pod that starts now has to become ready by its probes, which no policy names.
    world.kubectl.run(&["rollout", "restart", "-n", SHOP, "deployment/server-v2"])?;
    world.kubectl.rolled_out(SHOP, &["server-v2"]).context("in a closed namespace")?;
    load::nothing_lost(&before, &load::report(world)?)
}

/// Why, with the policy that says so.
fn explained(world: &World) -> Result<()> {
    let url = format!("http://server.{SHOP}/");
    let ran = world.meshctl(&["explain", "GET", &url, "--from", GUEST_ID], 1)?;
    let words = ran.stdout.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    for text in ["refused", "AuthorizationPolicy e2e-shop/load-may-call"] {
        ensure!(words.contains(text), "meshctl explain does not say `{text}`:\n{}", ran.stdout);
    }
    Ok(())
}

/// What failed is named by who looks for it afterwards, without knowing the request; and who may call, without asking.
fn named(world: &World) -> Result<()> {
    // The caller's side may tell of it before the callee's, which alone knows the policy.
    let cause = wait::until(IN_FORCE, "meshctl why names the refusal, its policy and its caller", || {
        let ran = world.meshctl(&["why", "server", "-n", SHOP, "-o", "json"], 1)?;
        let answer: Value = serde_json::from_str(&ran.stdout).context("meshctl why printed no JSON")?;
        let causes = answer.get("causes").and_then(Value::as_array).into_iter().flatten();
        let mut denied = causes.filter(|cause| text(cause, "/example/failure").contains("denied"));
        let cause = denied.next().with_context(|| format!("no refusal in {answer}"))?;
        let (policy, caller) = (text(cause, "/policy/name"), text(cause, "/source/name"));
        ensure!(policy.starts_with("e2e-shop/") && caller == "guest", "neither policy nor caller: {cause}");
        Ok(cause.clone())
    })?;
    screen::detail(&format!("meshctl why: {}: {}", text(&cause, "/cause"), text(&cause, "/what")));
    let ran = world.meshctl(&["authz", "server", "-n", SHOP], 0)?;
    ensure!(ran.stdout.contains("load-may-call"), "meshctl authz names no policy:\n{}", ran.stdout);
    Ok(())
}

/// The root is replaced, and the authority killed after the new one was published.
pub(super) fn rotation(world: &mut World) -> Result<()> {
    let world = &*world;
    let old = roots(&status(world)?)?;
    let before = load::report(world)?;
    world.meshctl(&["certs", "rotate", "--root"], 0)?;
    wait::until(ROTATED, "the next root is published", || {
        let both = roots(&status(world)?)?;
        ensure!(both.len() > old.len(), "there is no next root: {both:?}");
        Ok(())
    })?;
    let authority = "app.kubernetes.io/name=mesh-ca";
    world.kubectl.run(&["delete", "pod", "-n", MESH, "-l", authority, "--force", "--grace-period=0"])?;
    world.kubectl.rolled_out(MESH, &["mesh-ca"])?;
    let new = wait::until(ROTATED, "the old root is dropped", || {
        let status = status(world)?;
        let now = roots(&status)?;
        ensure!(now.iter().all(|root| !old.contains(root)), "the old root is still there: {status}");
        Ok(now)
    })?;
    trusted(world, &new)?;
    load::nothing_lost(&before, &load::report(world)?)
}

fn status(world: &World) -> Result<Value> {
    world.meshctl_json(&["certs", "status"])
}

/// The roots of the bundle.
fn roots(status: &Value) -> Result<Vec<String>> {
    let roots = status.get("roots").and_then(Value::as_array);
    let Some(roots) = roots else { bail!("meshctl certs status names no roots: {status}") };
    let fingerprint = |root: &Value| root.get("sha256").and_then(Value::as_str).map(str::to_owned);
    roots
        .iter()
        .map(|root| fingerprint(root).with_context(|| format!("a root without a name: {root}")))
        .collect()
}

/// Nobody trusts the old root any more, as every sidecar says itself.
fn trusted(world: &World, roots: &[String]) -> Result<()> {
    wait::until(IN_FORCE, "no sidecar trusts the old root", || {
        let certs = world.meshctl_json(&["certs"])?;
        let rows = certs.as_array().or_else(|| certs.get("certificates").and_then(Value::as_array));
        let rows = rows.with_context(|| format!("meshctl certs lists nothing: {certs}"))?;
        ensure!(!rows.is_empty(), "meshctl certs lists nobody");
        for row in rows {
            let trusts =
                row.get("trusted_roots").and_then(Value::as_array).with_context(|| format!("{row}"))?;
            let old = trusts
                .iter()
                .filter_map(Value::as_str)
                .find(|root| !roots.iter().any(|new| root.starts_with(new.as_str())));
            ensure!(old.is_none(), "it is trusted by {row}");
        }
        screen::detail(&format!("{} sidecars trust the new root and no other", rows.len()));
        Ok(())
    })
}
