//! `meshctl analyze`: what the controller would say about objects: of files, of a cluster, or of files laid over a cluster's.
//! The controller's own reading and compiling say it; this collects and shows.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use mesh_controller::api::ObjectKey;
use mesh_controller::sources::state::Effect;
use mesh_controller::status::Verdict;
use serde::Serialize;

use super::Outcome;
use super::explain::objects::{Objects, Place};
use crate::cluster::{Api, ClusterArgs};
use crate::output::{self, Paint, Tone};

mod live;

pub(crate) use live::{LEFT_OUT, cluster_files, files_of, objects};

/// Where an object says which codes are not to be told of it.
const SUPPRESS: &str = "amime.io/analyze-suppress";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Codes are the reasons of status conditions. An object's annotation amime.io/analyze-suppress: CODE,CODE keeps them
back for it.

Examples:
  meshctl analyze                        the cluster's objects
  meshctl analyze -f mesh/               files, without a cluster
  meshctl analyze -f new.yaml --live     files, laid over the cluster's objects

Exit codes: 0 nothing at or above --fail-on, 1 something was found, 2 the command failed."
)]
pub(crate) struct Args {
    /// Folder or file with objects, - for standard input
    #[arg(long = "filename", short = 'f', value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Lay the files over the objects of the cluster
    #[arg(long, requires = "files")]
    live: bool,
    /// Codes that are not told: CODE or CODE=KIND/NAMESPACE/NAME
    #[arg(long, short = 'S', value_name = "CODE[=OBJECT]")]
    suppress: Vec<String>,
    /// What makes the exit code 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = Severity::Error)]
    fail_on: Severity,
    /// In which form to answer
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It is in force, and something about it is worth knowing
    Warning,
    /// It, or a part of it, is not in force
    Error,
}

/// Something about an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Stable: a reason of a status condition.
    pub(crate) code: String,
    /// `HTTPRoute/shop/web`, as far as it could be told.
    pub(crate) object: String,
    /// Which field; may be empty.
    pub(crate) field: String,
    pub(crate) message: String,
    /// `FILE:LINE`, or the cluster.
    pub(crate) origin: String,
}

impl Finding {
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    fn word(&self) -> &'static str {
        match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { String::new() } else { format!(" {}", self.field) };
        let colon = if self.object.is_empty() { "" } else { ": " };
        write!(f, "{}{field}{colon}{} ({})", self.object, self.message, self.origin)
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let places: Vec<Place> = args.files.iter().map(|path| Place::parse(path)).collect();
    let found = if places.is_empty() || args.live {
        let api = Api::connect(&args.cluster).await?;
        findings(&objects(cluster_files(&api, LEFT_OUT).await?, &places)?)
    } else {
        findings(&Objects::load(&places)?)
    };
    let found = suppressed(found, &args.suppress)?;
    match args.output {
        Form::Json => output::json(&serde_json::json!({
            "apiVersion": "meshctl.amime.io/v1", "kind": "AnalyzeReport", "findings": found,
        }))?,
        Form::Text => output::print(&text(&found, Paint::stdout())),
    }
    let fails = found.iter().any(|finding| finding.severity >= args.fail_on);
    Ok(if fails { Outcome::Finding } else { Outcome::Fine })
}

/// What this version of the controller would say about a cluster's objects.
pub(crate) async fn of_cluster(api: &Api) -> anyhow::Result<Vec<Finding>> {
    Ok(findings(&objects(cluster_files(api, LEFT_OUT).await?, &[])?))
}

/// Everything that reading and compiling have to say, but what objects keep back.
pub(crate) fn findings(objects: &Objects) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    for report in &objects.problems {
        let problem = &report.problem;
        found.insert(Finding {
            severity: if report.effect == Effect::InForce { Severity::Warning } else { Severity::Error },
            code: problem.reason.as_str().to_owned(),
            object: problem.object.as_ref().map(shown).unwrap_or_default(),
            field: problem.fault.field.clone(),
            message: problem.fault.message.clone(),
            origin: report.origin(),
        });
    }
    for (key, report) in &objects.compiled.objects {
        for condition in &report.conditions {
            let severity =
                if condition.verdict == Verdict::True { Severity::Warning } else { Severity::Error };
            found.insert(Finding {
                severity,
                code: condition.reason.to_owned(),
                object: shown(key),
                field: condition.field.clone(),
                message: condition.message.clone(),
                origin: objects.origin_of(key, &condition.field).unwrap_or_default(),
            });
        }
    }
    let kept_back = live::annotations(objects, SUPPRESS);
    let told = |finding: &Finding| {
        let codes = kept_back.get(&finding.object).map(String::as_str).unwrap_or_default();
        !codes.split(',').any(|code| code.trim() == finding.code)
    };
    found.into_iter().filter(told).collect()
}

fn shown(key: &ObjectKey) -> String {
    let kind = key.kind.as_str();
    if key.namespace.is_empty() {
        format!("{kind}/{}", key.name)
    } else {
        format!("{kind}/{}/{}", key.namespace, key.name)
    }
}

fn suppressed(found: Vec<Finding>, rules: &[String]) -> anyhow::Result<Vec<Finding>> {
    let mut parsed = Vec::new();
    for rule in rules {
        let (code, object) =
            rule.split_once('=').map_or((rule.as_str(), None), |(code, object)| (code, Some(object)));
        if code.is_empty() || object == Some("") {
            bail!("--suppress {rule}: write CODE or CODE=KIND/NAMESPACE/NAME");
        }
        parsed.push((code, object));
    }
    let told = |finding: &Finding| {
        !parsed
            .iter()
            .any(|(code, object)| *code == finding.code && object.is_none_or(|o| o == finding.object))
    };
    Ok(found.into_iter().filter(told).collect())
}

fn text(found: &[Finding], paint: Paint) -> String {
    if found.is_empty() {
        return "√ nothing was found\n".to_owned();
    }
    let mut out = String::new();
    for finding in found.iter().rev() {
        let tone = if finding.is_error() { Tone::Bad } else { Tone::Warning };
        let word = paint.tone(tone, finding.word());
        writeln!(out, "{word} [{}] {finding}", finding.code).ok();
    }
    out
}

#[cfg(test)]
mod tests;
