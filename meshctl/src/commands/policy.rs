//! `meshctl policy`: authorization policies from what is observed, what policies would refuse of it, and what audit policies have recorded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::name::ServiceName;
use mesh_proto::inspect::v1::StatRequest;
use mesh_proto::report::v1::Side;

use super::explain::objects::{Objects, Place};
use super::{Outcome, analyze, callee, inspect};
use crate::cluster::{Api, ClusterArgs, has_cluster};
use crate::local::state::{self, FindError};
use crate::output::{self, Paint};

mod audit;
mod check;
mod observed;
mod suggest;

/// Arguments of `meshctl policy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write policies that allow what was observed and nothing else
    Suggest(Suggest),
    /// Show what audit policies would have refused, by caller and policy, from the access logs of the called sidecars
    Audit(audit::Args),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// Objects, with what was observed and what was not as comments.
    #[default]
    Yaml,
    /// One JSON document, stable for scripts.
    Json,
    /// Who called whom.
    Table,
}

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
struct Suggest {
    /// Only for this Service: NAMESPACE/NAME, NAME.NAMESPACE, or NAME with -n
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Only Services of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// How long to look back, at most 1h
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = window)]
    window: Duration,
    /// Instead show what the policies that there are would refuse of what was observed; exit code 1 if something
    #[arg(long)]
    check: bool,
    /// With --check: policies of this folder or file as well
    #[arg(short = 'f', long = "filename", requires = "check", value_name = "FOLDER|FILE")]
    files: Vec<PathBuf>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
What the called sidecars reported of the last while is taken: who called, by certificate, and
which workload. Which port it was, the callers' own sidecars say: a rule names that port alone
where they account for all calls and no route was between, else every port of the Service.
Methods and paths are not in these reports, so that no rule names one. What was not called in
that time is refused once the policies are applied: read the comments first, and try with
`action: Audit`.

Examples:
  meshctl policy suggest orders -n shop > orders.yaml
  meshctl policy suggest -n shop --window 30m
  meshctl policy suggest --check -f policies/

Exit codes: 0 fine; 1 with --check something observed would be refused; 2 there is no answer.";

fn window(text: &str) -> Result<Duration, String> {
    let parsed = mesh_model::duration::parse(text).map_err(|error| error.to_string())?;
    match parsed.as_secs() {
        1..=3600 => Ok(parsed),
        _ => Err("reports are kept for 1h; write 1s to 1h".to_owned()),
    }
}

/// Carries out one of the two.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Suggest(args) => Box::pin(suggest(args, mesh, tasks)).await,
        Command::Audit(args) => Box::pin(audit::run(args, mesh)).await,
    }
}

async fn suggest(args: Suggest, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let window_seconds = u32::try_from(args.window.as_secs()).unwrap_or(3600);
    let request = StatRequest { window_seconds, side: Side::Inbound.into(), ..StatRequest::default() };
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    // What callers say is asked first: of a call that only the called side has told yet the port is not known, and so not narrowed.
    let series = inspect.series(StatRequest { window_seconds, ..StatRequest::default() }).await?;
    let stat = inspect.stat(request).await?;
    let objects = objects(mesh, &args.cluster, &args.files).await?;
    let scope = scope(&args, &objects)?;
    let seen = observed::observed(&objects, &stat, &series, &scope);
    if args.check {
        let rows = check::judged(&objects, &seen);
        match args.output {
            Form::Json => output::json(&check::json(&rows, &seen))?,
            Form::Yaml | Form::Table => output::print(&check::text(&rows, &seen, Paint::stdout())),
        }
        return Ok(if rows.iter().any(check::Row::is_refused) { Outcome::Finding } else { Outcome::Fine });
    }
    let policies = suggest::policies(&objects, &seen, &scope);
    match args.output {
        Form::Yaml => output::print(&suggest::yaml(&policies, &seen)),
        Form::Json => output::json(&suggest::json(&policies, &seen))?,
        Form::Table => output::print(&suggest::table(&seen).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}

fn scope(args: &Suggest, objects: &Objects) -> anyhow::Result<observed::Scope> {
    let namespace = args.namespace.clone();
    let Some(words) = &args.service else { return Ok(observed::Scope { namespace, service: None }) };
    let known = callee::service_named(words, namespace.as_deref().unwrap_or("default"));
    let known = known.filter(|name: &ServiceName| objects.compiled.services.contains_key(name));
    match known {
        Some(service) => Ok(observed::Scope { namespace: None, service: Some(service) }),
        None => {
            bail!("there is no Service `{words}` in {}; write NAMESPACE/NAME, or NAME with -n", objects.from)
        }
    }
}

/// The objects of the mesh that is meant, with those of files.
async fn objects(mesh: &str, cluster: &ClusterArgs, files: &[PathBuf]) -> anyhow::Result<Objects> {
    let places: Vec<Place> = files.iter().map(|path| Place::parse(path)).collect();
    let of_cluster = async || -> anyhow::Result<Objects> {
        let api = Api::connect(cluster).await?;
        Ok(analyze::objects(analyze::cluster_files(&api, &[]).await?, &places)?)
    };
    if cluster.is_named() {
        return of_cluster().await;
    }
    match state::find(mesh) {
        Ok(state) => {
            let all: Vec<Place> = [Place::Path(state.objects)].into_iter().chain(places).collect();
            Ok(Objects::load(&all)?)
        }
        Err(away @ FindError::NotRunning(_)) if has_cluster() => {
            of_cluster().await.with_context(|| format!("{away}; so the cluster was asked"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
