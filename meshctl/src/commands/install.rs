//! `meshctl install`: puts the mesh into a cluster, or the same again. What is put there is decided in `mesh-operate`;
//! this acts, waits and tells.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_chart::Document;
use mesh_operate::install::{self, Existing, Gateway, INVENTORY, Intent, Inventory, Options, Plan};
use mesh_operate::object::{Kind, ObjectRef};
use serde_json::Value;

use super::Outcome;
use crate::cluster::{Api, ClusterArgs, Dry};
use crate::output;

pub(crate) mod plugin;
pub(crate) mod steps;
pub(crate) mod wait;

/// The version that this program installs.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, clap::Args)]
#[command(after_help = "Values: meshctl install -o values prints them all with their defaults.

Examples:
  meshctl install                                  one replica of controller and authority
  meshctl install --ha                             three of each, spread over nodes
  meshctl install --set trustDomain=example.org    another trust domain
  meshctl install -o yaml > mesh.yaml              only print what would be applied")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) what: WhatArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Ask the API server what it would do, and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Print objects or values and touch no cluster
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<Form>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What to install.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WhatArgs {
    /// File with values, - for standard input; later files win
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) values: Vec<PathBuf>,
    /// One value, such as controller.replicas=3
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Three replicas, spread and protected from disruptions
    #[arg(long)]
    pub(crate) ha: bool,
    /// Where the images are
    #[arg(long, value_name = "HUB")]
    pub(crate) image_hub: Option<String>,
    /// Which images
    #[arg(long, value_name = "TAG")]
    pub(crate) image_tag: Option<String>,
}

/// Whether and how long to wait.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitArgs {
    /// Wait until everything is ready
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Every object
    Yaml,
    /// Every value with its default
    Values,
}

fn duration(text: &str) -> Result<Duration, mesh_model::duration::InvalidDuration> {
    mesh_model::duration::parse(text)
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let mut options = args.what.options(&args.cluster.mesh_namespace)?;
    match args.output {
        Some(Form::Values) => {
            output::print(mesh_chart::Chart::embedded().file("values.yaml").unwrap_or_default());
            return Ok(Outcome::Fine);
        }
        Some(Form::Yaml) => {
            print_yaml(&install::plan(&options)?)?;
            return Ok(Outcome::Fine);
        }
        None => {}
    }
    let api = Api::connect(&args.cluster).await?;
    let existing = existing(&api, &args.cluster.mesh_namespace).await?;
    let crds = crds(&api).await?;
    options.has_xmesh = has_xmesh(&crds);
    options.foreign_namespace = existing.foreign_namespace();
    let plan = install::plan(&options)?;
    refuse(&existing, &plan, &args.cluster.mesh_namespace, Intent::Install)?;
    let dry = if args.dry_run { Dry::Yes } else { Dry::No };
    let steps = steps::Steps { api: &api, namespace: &args.cluster.mesh_namespace, dry };
    let gateway = install::gateway_plan(&crds);
    steps.definitions(&plan, &gateway).await?;
    steps.objects(&plan, existing.inventory.as_ref(), &gateway).await?;
    if args.dry_run {
        output::line("\nNothing was changed: this was a dry run.");
        return Ok(Outcome::Fine);
    }
    if args.wait.wait {
        wait::until_ready(&api, &plan, &args.cluster.mesh_namespace, args.wait.timeout).await?;
    }
    output::line(NEXT);
    Ok(Outcome::Fine)
}

const NEXT: &str = "
The mesh is installed. Next:
  kubectl label namespace NAMESPACE amime.io/inject=enabled    its Pods join when they are made anew
  kubectl rollout restart deployment --namespace NAMESPACE
  meshctl check                                                whether all is well";

impl WhatArgs {
    /// Reads the files.
    pub(crate) fn options(&self, namespace: &str) -> anyhow::Result<Options> {
        Ok(Options {
            files: self.values.iter().map(|file| values(file)).collect::<anyhow::Result<_>>()?,
            sets: self.set.clone(),
            ha: self.ha,
            image_hub: self.image_hub.clone(),
            image_tag: self.image_tag.clone(),
            namespace: namespace.to_owned(),
            has_xmesh: false,
            foreign_namespace: false,
        })
    }
}

fn values(file: &Path) -> anyhow::Result<Value> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read values from standard input")?;
        text
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("cannot read values from {}", file.display()))?
    };
    let values: Option<Value> =
        serde_saphyr::from_str(&text).with_context(|| format!("values in {}", file.display()))?;
    match values.unwrap_or(Value::Null) {
        Value::Null => Ok(serde_json::json!({})),
        values @ Value::Object(_) => Ok(values),
        _ => bail!("values in {} are no map of keys to values", file.display()),
    }
}

/// What is in the cluster already.
pub(crate) async fn existing(api: &Api, namespace: &str) -> anyhow::Result<Existing> {
    let server = api.version().await?;
    let inventory = api.get(&ObjectRef::namespaced("v1", "ConfigMap", namespace, INVENTORY)).await?;
    let inventory = inventory.as_ref().map(Inventory::read).transpose()?;
    let deployment = |name| ObjectRef::namespaced("apps/v1", "Deployment", namespace, name);
    let ca = api.get(&deployment("mesh-ca")).await?;
    Ok(Existing {
        inventory,
        controller: api.get(&deployment("mesh-controller")).await?,
        injector: api
            .get(&ObjectRef::cluster(
                "admissionregistration.k8s.io/v1",
                "MutatingWebhookConfiguration",
                "amime-injector",
            ))
            .await?,
        namespace: api.get(&ObjectRef::cluster("v1", "Namespace", namespace)).await?,
        trust_domain: ca.as_ref().and_then(install::trust_domain_of),
        server,
    })
}

/// Ends with every reason not to go on.
pub(crate) fn refuse(
    existing: &Existing,
    plan: &Plan,
    namespace: &str,
    intent: Intent,
) -> anyhow::Result<()> {
    let found = existing.contradictions(plan, namespace, VERSION, intent);
    if found.is_empty() {
        return Ok(());
    }
    bail!("nothing was changed:\n  {}", found.join("\n  "))
}

/// The metadata of every definition in the cluster.
pub(crate) async fn crds(api: &Api) -> anyhow::Result<Vec<Value>> {
    let kind = Kind::find("apiextensions.k8s.io/v1", "CustomResourceDefinition").context("no such kind")?;
    Ok(api.list_metadata(&kind.collection(None), "").await?)
}

/// Whether there is the kind XMesh.
pub(crate) fn has_xmesh(crds: &[Value]) -> bool {
    let name = |crd: &Value| crd.pointer("/metadata/name").and_then(Value::as_str) == Some(XMESHES);
    crds.iter().any(name)
}

const XMESHES: &str = "xmeshes.gateway.networking.x-k8s.io";

fn print_yaml(plan: &Plan) -> anyhow::Result<()> {
    let documents = plan.crds.iter().chain(&plan.namespace).chain(&plan.objects);
    for Document { source, object } in documents {
        output::print(&format!("---\n# Source: {source}\n{}", serde_saphyr::to_string(object)?));
    }
    Ok(())
}

/// What becomes of the definitions of Gateway API, in words.
fn gateway_words(gateway: &Gateway) -> String {
    match gateway {
        Gateway::Apply => {
            "Gateway API is not in the cluster: its definitions (standard channel) join".to_owned()
        }
        Gateway::Keep { bundle } => format!("Gateway API {bundle} is in the cluster and stays as it is"),
    }
}
