//! `meshctl canary create`: a Canary from a few flags, printed, or put where the controller finds it. What the flags cannot say is written
//! into the object afterwards.

use anyhow::{Context as _, bail};
use mesh_controller::api::canary::Canary;
use mesh_controller::api::lower::canary::lower;
use serde_json::{Map, Value, json};

use super::Which;
use crate::cluster::{Api, ClusterArgs, Dry};
use crate::commands::{Meant, Outcome, meant};
use crate::local::state;
use crate::output;

/// Arguments of `meshctl canary create`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Which version it is: an image tag, a commit; another text begins the next release
    #[arg(long)]
    version: String,
    #[command(flatten)]
    versions: Versions,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    judged: Judged,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
    /// In which form the object is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A line about what was done; the object if nothing is written.
    #[default]
    Table,
    /// The object.
    Yaml,
    /// The object.
    Json,
}

/// Where the two versions are.
#[derive(Debug, clap::Args)]
struct Versions {
    /// The one Service that has both versions behind it
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["stable", "canary"], required_unless_present = "stable")]
    service: Option<String>,
    /// The new version's Deployment, of one Service
    #[arg(long, value_name = "NAME", requires = "service")]
    canary_deployment: Option<String>,
    /// A label of the new version's Pods or Workloads, of one Service; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "service", value_parser = pair)]
    canary_label: Vec<(String, String)>,
    /// The serving version's Deployment, of one Service; without it and its labels: all that is not new
    #[arg(long, value_name = "NAME", requires = "service")]
    stable_deployment: Option<String>,
    /// A label of the serving version's Pods or Workloads, of one Service; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "service", value_parser = pair)]
    stable_label: Vec<(String, String)>,
    /// The Service of the version that serves, of two Services
    #[arg(long, value_name = "SERVICE", requires = "canary")]
    stable: Option<String>,
    /// The Service of the new version, of two Services
    #[arg(long, value_name = "SERVICE", requires = "stable")]
    canary: Option<String>,
}

/// How it is exposed.
#[derive(Debug, clap::Args)]
struct How {
    /// In which way the new version is exposed
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Per cent of the requests in each step
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', default_values_t = [5.0, 10.0, 25.0, 50.0])]
    steps: Vec<f64>,
    /// How long a step takes at least
    #[arg(long, value_name = "DURATION")]
    hold: Option<String>,
    /// Every step waits for `meshctl canary promote`
    #[arg(long)]
    gate: bool,
    /// Requests with this header always get the new version; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Requests with this cookie always get the new version; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    cookie: Vec<(String, String)>,
    /// The longest that it may take
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Strategy {
    /// A growing share of the requests.
    #[default]
    Weights,
    /// Nothing but a preview for the cohort, then on somebody's word everything, with the way back open while it is watched.
    BlueGreen,
    /// The requests with a header or cookie, and nobody else's.
    Cohort,
    /// Copies of a tenth of the requests first, then a growing share.
    Shadow,
}

/// What it is judged by.
#[derive(Debug, clap::Args)]
struct Judged {
    /// Between checks
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// Requests that the new version must have answered in a step
    #[arg(long, value_name = "N")]
    min_requests: Option<u32>,
    /// At least so many per cent must not fail
    #[arg(long, value_name = "PERCENT")]
    success_rate: Option<f64>,
    /// 99 of 100 requests take at most this long
    #[arg(long, value_name = "DURATION")]
    p99: Option<String>,
    /// A webhook: when it is asked (Start, Check, Step, Promotion) or told (Promoted, RolledBack), and where; may be repeated
    #[arg(long, value_name = "WHEN=URL", value_parser = pair)]
    webhook: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("it is written as NAME=VALUE".to_owned()),
    }
}

/// Makes it, and writes it unless it is only tried.
pub(super) async fn run(args: &Args, mesh: &str) -> anyhow::Result<Outcome> {
    let object = args.object();
    let canary: Canary =
        serde_json::from_value(object.clone()).context("a value of a flag cannot be used")?;
    let faults = lower(&canary).1.faults;
    if !faults.is_empty() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        bail!("the Canary cannot be used: {}", faults.join("; "));
    }
    match args.output {
        Form::Json => output::json(&object)?,
        Form::Yaml => output::print(&serde_saphyr::to_string(&object)?),
        Form::Table if args.dry_run => output::print(&serde_saphyr::to_string(&object)?),
        Form::Table => {}
    }
    if args.dry_run {
        return Ok(Outcome::Fine);
    }
    let done = args.put(&object, mesh).await?;
    if args.output == Form::Table {
        let (namespace, name) = args.which.split();
        output::line(&done);
        output::note(&format!("meshctl canary watch {namespace}/{name} follows it"));
    }
    Ok(Outcome::Fine)
}

impl Args {
    /// Puts the object where the controller finds it; says where.
    async fn put(&self, object: &Value, mesh: &str) -> anyhow::Result<String> {
        let (namespace, name) = self.which.split();
        match meant(mesh, &self.cluster).await? {
            Meant::Inside(_) => {
                let done = Api::connect(&self.cluster).await?.apply(object, Dry::No).await?;
                Ok(format!("Canary {namespace}/{name} {}", done.word()))
            }
            Meant::Here(here) => {
                let file = here.objects.join(format!("canary-{namespace}-{name}.yaml"));
                state::replace(&file, &serde_saphyr::to_string(object)?)
                    .with_context(|| format!("cannot write `{}`", file.display()))?;
                Ok(format!("Canary {namespace}/{name} is in {}", file.display()))
            }
        }
    }

    fn object(&self) -> Value {
        let (namespace, name) = self.which.split();
        let mut spec = Map::new();
        self.versions.write(&mut spec);
        spec.insert("version".into(), json!(self.version));
        self.how.write(&mut spec);
        self.judged.write(&mut spec);
        json!({
            "apiVersion": "amime.io/v1alpha1",
            "kind": "Canary",
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        })
    }
}

/// Without what nobody said.
fn said(pairs: Vec<(&str, Option<Value>)>) -> Map<String, Value> {
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl Versions {
    fn write(&self, spec: &mut Map<String, Value>) {
        let Some(service) = &self.service else {
            spec.insert("stable".into(), json!(self.stable));
            spec.insert("canary".into(), json!(self.canary));
            return;
        };
        let side = |deployment: &Option<String>, labels: &[(String, String)]| {
            let labels: Map<String, Value> =
                labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let labels = (!labels.is_empty()).then(|| labels.into());
            said(vec![("deployment", deployment.as_ref().map(|name| json!(name))), ("labels", labels)])
        };
        let stable = side(&self.stable_deployment, &self.stable_label);
        let canary = side(&self.canary_deployment, &self.canary_label);
        let target = said(vec![
            ("service", Some(json!(service))),
            ("stable", (!stable.is_empty()).then(|| stable.into())),
            ("canary", Some(canary.into())),
        ]);
        spec.insert("target".into(), target.into());
    }
}

impl How {
    fn write(&self, spec: &mut Map<String, Value>) {
        let step = |(exposure, value): (&str, Value)| {
            let gated = self.gate || (self.strategy == Strategy::BlueGreen && value == json!(0));
            said(vec![
                (exposure, Some(value)),
                ("hold", self.hold.as_ref().map(|hold| json!(hold))),
                ("gate", gated.then(|| json!("Manual"))),
            ])
        };
        let weights = self.steps.iter().map(|weight| ("weight", percent(*weight)));
        let steps: Vec<_> = match self.strategy {
            Strategy::Weights => weights.collect(),
            Strategy::BlueGreen => vec![("weight", json!(0)), ("weight", json!(100))],
            Strategy::Cohort => vec![("cohort", json!(true))],
            Strategy::Shadow => std::iter::once(("shadow", json!(10))).chain(weights).collect(),
        };
        spec.insert("steps".into(), steps.into_iter().map(step).collect::<Vec<_>>().into());
        let one = |kind: &'static str| move |(name, value): &(String, String)| json!({ kind: name, "value": value });
        let cohort: Vec<Value> =
            self.header.iter().map(one("header")).chain(self.cookie.iter().map(one("cookie"))).collect();
        if !cohort.is_empty() {
            spec.insert("cohort".into(), cohort.into());
        }
        if let Some(longest) = &self.max_duration {
            spec.insert("maxDuration".into(), json!(longest));
        }
    }
}

/// Whole numbers without a point.
fn percent(value: f64) -> Value {
    let whole = value.trunc();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number from 0 to 100"
    )]
    if (0.0..=100.0).contains(&value) && (value - whole).abs() < f64::EPSILON {
        return json!(whole as u32);
    }
    json!(value)
}

impl Judged {
    fn write(&self, spec: &mut Map<String, Value>) {
        let latency = self.p99.as_ref().map(|longest| json!([{ "quantile": 99, "atMost": longest }]));
        let analysis = said(vec![
            ("interval", self.interval.as_ref().map(|interval| json!(interval))),
            ("minRequests", self.min_requests.map(|least| json!(least))),
            ("successRate", self.success_rate.map(percent)),
            ("latency", latency),
        ]);
        if !analysis.is_empty() {
            spec.insert("analysis".into(), analysis.into());
        }
        let hooks: Vec<Value> = self
            .webhook
            .iter()
            .enumerate()
            .map(|(at, (when, url))| json!({ "name": format!("webhook-{at}"), "at": when, "url": url }))
            .collect();
        if !hooks.is_empty() {
            spec.insert("hooks".into(), hooks.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn made(line: &str) -> String {
        let args = Line::try_parse_from(format!("create {line}").split_whitespace()).unwrap().args;
        let object = args.object();
        let canary: Canary = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(lower(&canary).1.faults, []);
        serde_saphyr::to_string(&object).unwrap()
    }

    #[test]
    fn flags_become_objects_that_the_controller_takes() {
        let all = [
            "shop/cart --version 2.4.0 --stable cart-v1 --canary cart-v2",
            "shop/cart --version 2.4.0 --service cart --canary-label version=2.4.0 --strategy blue-green --header x-preview=yes",
            "cart -n shop --version 2.4.0 --service cart --stable-deployment cart --canary-deployment cart-next --strategy shadow \
             --steps 1,2.5 --hold 5m --gate --interval 30s --min-requests 50 --success-rate 99.5 --p99 400ms --max-duration 2h",
            "cart --version 1 --service cart --canary-label v=1 --strategy cohort --cookie group=beta \
             --webhook Check=https://gate.shop/check --webhook RolledBack=https://chat.shop/",
        ];
        insta::assert_snapshot!(all.map(|line| format!("# {line}\n{}", made(line))).join("---\n"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "cart --version 1",
            "cart --version 1 --service cart --stable a --canary b",
            "cart --version 1 --stable a",
            "cart --version 1 --service cart --canary-label version",
        ] {
            assert!(Line::try_parse_from(format!("create {line}").split_whitespace()).is_err(), "{line}");
        }
    }
}
