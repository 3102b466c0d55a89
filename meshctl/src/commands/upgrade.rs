//! `meshctl upgrade`: shows what another version or other values change, for the installation and for objects of users,
//! asks, and brings it about without losing a request: a new replica serves before an old one goes.

use std::collections::BTreeMap;

use anyhow::bail;
use mesh_chart::values;
use mesh_operate::install::{self, Intent, Plan};
use mesh_operate::object::ObjectRef;
use mesh_operate::upgrade;
use serde_json::Value;

use super::install::steps::Steps;
use super::install::{self as installing, VERSION, WaitArgs, WhatArgs};
use super::{Outcome, analyze, ask};
use crate::cluster::{Api, ClusterArgs, Dry};
use crate::output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Values that were given before stay in force; --values and --set change some of them, --reset-values forgets
them. Exit code 1: nothing was changed, because the answer was no."
)]
pub(crate) struct Args {
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Forget the values that were given before
    #[arg(long)]
    reset_values: bool,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let api = Api::connect(&args.cluster).await?;
    let namespace = args.cluster.mesh_namespace.as_str();
    let existing = installing::existing(&api, namespace).await?;
    let Some(before) = existing.inventory.clone() else {
        bail!("no mesh that meshctl installed is in {namespace}: use meshctl install");
    };
    let crds = installing::crds(&api).await?;
    let mut options = args.what.options(namespace)?;
    options.has_xmesh = installing::has_xmesh(&crds);
    options.foreign_namespace = existing.foreign_namespace();
    if !args.reset_values {
        options.files.insert(0, before.given.clone());
    }
    let plan = install::plan(&options)?;
    installing::refuse(&existing, &plan, namespace, Intent::Upgrade)?;
    output::line(&format!("From {} to {VERSION}.", before.version));
    for line in upgrade::values_words(&values::diff(&before.given, &plan.given)) {
        output::line(&line);
    }
    let changed = objects(&api, &plan, &before.leftovers(&plan.refs())).await?;
    users(&api, &plan).await?;
    if changed == 0 && before.version == VERSION {
        output::line("\nNothing changes.");
        return Ok(Outcome::Fine);
    }
    if args.dry_run {
        output::line("\nNothing was changed: this was a dry run.");
        return Ok(Outcome::Fine);
    }
    if !args.yes && !ask::yes("\nGo on?")? {
        output::line("Nothing was changed.");
        return Ok(Outcome::Finding);
    }
    let steps = Steps { api: &api, namespace, dry: Dry::No };
    let gateway = install::gateway_plan(&crds);
    steps.definitions(&plan, &gateway).await?;
    steps.objects(&plan, Some(&before), &gateway).await?;
    if args.wait.wait {
        super::install::wait::until_ready(&api, &plan, namespace, args.wait.timeout).await?;
    }
    output::line(&format!(
        "\nThe control plane is {VERSION}. Sidecars of older versions go on; they become {VERSION} when their Pods are made anew:\n  \
         kubectl rollout restart deployment --namespace NAMESPACE"
    ));
    Ok(Outcome::Fine)
}

/// Shows which objects of the installation change, and says how many.
async fn objects(api: &Api, plan: &Plan, leftovers: &[ObjectRef]) -> anyhow::Result<usize> {
    let mut count = leftovers.len();
    output::line("\nObjects of the installation:");
    let documents = plan.namespace.iter().chain(&plan.crds).chain(&plan.objects);
    for document in documents {
        let Some(name) = ObjectRef::of(&document.object) else { continue };
        match api.preview(&document.object).await? {
            None => {
                count += 1;
                output::line(&format!("  {name} joins"));
            }
            Some((before, after)) => {
                let changes = upgrade::changes(&before, &after);
                count += usize::from(!changes.is_empty());
                for line in upgrade::change_words(&name, &changes) {
                    output::line(&line);
                }
            }
        }
    }
    for object in leftovers {
        output::line(&format!("  {object} goes"));
    }
    if count == 0 {
        output::line("  all stay as they are");
    }
    Ok(count)
}

/// Shows what the new version means for objects of users and for their Pods.
async fn users(api: &Api, plan: &Plan) -> anyhow::Result<()> {
    output::line("\nObjects of users:");
    let mut lines = Vec::new();
    for crd in &plan.crds {
        let Some(name) = ObjectRef::of(&crd.object) else { continue };
        if let Some(live) = api.get(&name).await? {
            lines.extend(upgrade::vanishing_fields(&live, &crd.object));
        }
    }
    let findings = analyze::of_cluster(api).await?;
    lines.extend(findings.iter().filter(|finding| finding.is_error()).map(ToString::to_string));
    if lines.is_empty() {
        output::line("  this version takes all of them, and every field that they have");
    }
    for line in lines {
        output::line(&format!("  {line}"));
    }
    let members = api.list_metadata("/api/v1/pods", "labelSelector=amime.io%2Finjected%3Dtrue").await?;
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in &members {
        let annotations = pod.pointer("/metadata/annotations");
        let version = annotations.and_then(|all| all.get("amime.io/proxy-version")).and_then(Value::as_str);
        *versions.entry(version.unwrap_or("unknown")).or_default() += 1;
    }
    output::line("\nSidecars:");
    for (version, count) in &versions {
        output::line(&format!("  {count} Pods have {version}"));
    }
    if versions.is_empty() {
        output::line("  there are none");
    }
    Ok(())
}
