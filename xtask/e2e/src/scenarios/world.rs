//! What all scenarios have: the programs of a user, and numbers to print. It must not know what is proved.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cli::UserArgs;
use crate::kubectl::Kubectl;
use crate::program::{self, Ran, Running};
use crate::screen;

/// The namespace of the mesh.
pub(super) const MESH: &str = "amime-system";
/// That of the application.
pub(super) const SHOP: &str = "e2e-shop";

pub(super) struct World {
    pub(super) kubectl: Kubectl,
    meshctl: PathBuf,
    /// `--image-hub` and `--image-tag`, as far as they are given.
    pub(super) images: Vec<String>,
    pub(super) rate: u32,
    /// Of members' certificates, where it is not the default.
    pub(super) lifetime: Option<&'static str>,
    /// Helm and the chart, where they are given.
    pub(super) helm: Option<(PathBuf, PathBuf)>,
    /// What was on the cluster before the mesh.
    pub(super) before: Vec<String>,
}

impl World {
    pub(super) fn new(args: &UserArgs, rate: u32, lifetime: Option<&'static str>) -> Result<Self> {
        let mut images = Vec::new();
        for (option, value) in [("--image-hub", &args.image_hub), ("--image-tag", &args.image_tag)] {
            if let Some(value) = value {
                images.extend([option.to_owned(), value.clone()]);
            }
        }
        let kubectl = Kubectl::new(args.kubectl.clone());
        kubectl.run(&["version"]).context("the cluster does not answer; is KUBECONFIG set?")?;
        Ok(Self {
            kubectl,
            meshctl: args.meshctl.clone(),
            images,
            rate,
            lifetime,
            helm: args.helm.clone().zip(args.chart.clone()),
            before: Vec::new(),
        })
    }

    /// Runs meshctl, whatever it ends with.
    pub(super) fn meshctl_any(&self, args: &[&str]) -> Result<Ran> {
        program::run(&self.meshctl, args, None)
    }

    /// Runs meshctl; an exit code that is not wanted is an error with what it printed.
    pub(super) fn meshctl(&self, args: &[&str], wanted: i32) -> Result<Ran> {
        let ran = self.meshctl_any(args)?;
        if ran.code != wanted {
            bail!(
                "meshctl {} ended with {}, not {wanted}:\n{}{}",
                args.join(" "),
                ran.code,
                ran.stdout,
                ran.stderr
            );
        }
        Ok(ran)
    }

    /// Starts a meshctl that runs until it is dropped.
    pub(super) fn start_meshctl(&self, args: &[&str]) -> Result<Running> {
        program::start(&self.meshctl, args)
    }

    /// The JSON that meshctl prints.
    pub(super) fn meshctl_json(&self, args: &[&str]) -> Result<Value> {
        let ran = self.meshctl(&[args, &["-o", "json"]].concat(), 0)?;
        serde_json::from_str(&ran.stdout)
            .with_context(|| format!("meshctl {} printed no JSON", args.join(" ")))
    }

    /// Everything on the cluster that the uninstalled mesh must not leave, as `KIND NAMESPACE/NAME`.
    pub(super) fn everything(&self) -> Result<Vec<String>> {
        let kinds = self.kubectl.run(&["api-resources", "--verbs=list", "-o", "name"])?;
        // These come and go by themselves.
        let passing =
            ["events", "leases", "endpoints", "endpointslices", "pods", "replicasets", "controllerrevisions"];
        let kinds: Vec<&str> = kinds
            .lines()
            .filter(|kind| !passing.contains(&kind.split('.').next().unwrap_or_default()))
            .collect();
        let columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
        let kinds = kinds.join(",");
        let args = ["get", &kinds, "-A", "--ignore-not-found", "--no-headers", "-o", columns];
        let listed = self.kubectl.run(&args)?;
        let mut found: Vec<String> =
            listed.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// After a failure: what there is, for whoever reads the log.
    pub(super) fn describe(&self) {
        for args in [
            ["get", "pods", "-A", "-o", "wide"].as_slice(),
            &["get", "events", "-A", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"],
            &["logs", "-n", MESH, "deployment/mesh-controller", "--tail=15"],
            &["logs", "-n", MESH, "deployment/mesh-ca", "--tail=10"],
            &["logs", "-n", SHOP, "deployment/load", "-c", "mesh-proxy", "--tail=10"],
        ] {
            match self.kubectl.run(args) {
                Ok(text) => {
                    let lines: Vec<&str> = text.lines().collect();
                    let shown = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default();
                    screen::line(&format!("--- kubectl {}\n{}", args.join(" "), shown.join("\n")));
                }
                Err(error) => screen::line(&format!("--- kubectl {}: {error:#}", args.join(" "))),
            }
        }
    }
}

/// A text of a document; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
