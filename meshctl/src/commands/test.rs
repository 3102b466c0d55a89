//! `meshctl test`: assertions about who may call what, and which route takes it, judged by the functions of the proxy: on a folder of
//! objects, or on those of a mesh that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::explain::objects::{Objects, Place};
use super::{Outcome, analyze};
use crate::cluster::{Api, ClusterArgs, has_cluster};
use crate::local::state::{self, FindError};
use crate::output::{self, Paint};

mod file;
mod judge;
mod live;
mod report;
mod stand_ins;

use live::{Live, Methods};
use report::{CaseResult, SuiteResult};

/// Arguments of `meshctl test`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Assertions: a file, or a folder with files that end in .yaml or .yml; may be given several times
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|FOLDER")]
    files: Vec<PathBuf>,
    /// Judge on the objects of this folder or file; may be given several times. Without it, on those of the mesh that runs on this
    /// machine, or of the cluster
    #[arg(long, value_name = "FOLDER|FILE")]
    config_dir: Vec<PathBuf>,
    /// Judge on the objects that the running mesh has now, and send the requests as their callers where that can be done: through the
    /// sidecars of a mesh on this machine. Files of --config-dir count in place of their namesakes in a cluster
    #[arg(long)]
    live: bool,
    /// With --live: send also requests whose method may change something, such as POST and DELETE
    #[arg(long, requires = "live")]
    all_methods: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Write JUnit XML into this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// A line a test, and what is wrong below it.
    #[default]
    Table,
    /// One JSON document, stable for scripts.
    Json,
    /// XML, as build servers read it.
    Junit,
}

const HELP: &str = "\
The objects are compiled as the controller does it, and each call is decided as the sidecars of
caller and callee do it. A Service of a folder without pods is judged at a stand-in, made of the
pod template that it selects, else of its own selector.

With --live the request is sent too, as its caller: through the caller's sidecar, or in plaintext
for `plaintext: true`; what comes back has to agree with what was judged. What cannot be sent is
judged alone, and says why: bytes, claims of a token, methods that may change something (but for
--all-methods), and callers whose traffic is captured, as in a cluster.

A file of assertions:
  apiVersion: amime.io/v1alpha1
  kind: MeshTest
  tests:
    - name: the web reads orders
      from: { serviceAccount: shop/web }       # or identity, workload, plaintext: true; and ip
      to: { service: shop/orders, port: 80 }
      request: { method: GET, path: /orders/1 }  # host, headers, claims; or tcp: true
      expect: { verdict: allow }               # policy, wouldDeny, route, backend, status

Examples:
  meshctl test -f tests/ --config-dir objects/
  meshctl test -f tests/ --config-dir objects/ --junit report.xml
  meshctl test -f tests/ --live
  meshctl test -f tests/ --context staging

Exit codes: 0 all pass, 1 some fail, 2 a file cannot be read or there are no objects.";

/// Judges every case and prints.
pub(crate) async fn run(args: &Args, mesh: &str) -> anyhow::Result<Outcome> {
    let suites = suites(&args.files)?;
    let (objects, judged_on, home) = load(args, mesh).await?;
    for problem in objects.problems.iter().filter(|problem| concerns(problem)) {
        output::note(&format!("meshctl: {problem}"));
    }
    let mut results: Vec<SuiteResult> = suites.into_iter().map(|suite| judged(&objects, suite)).collect();
    if args.live {
        let methods = if args.all_methods { Methods::All } else { Methods::Safe };
        for result in results.iter_mut().flat_map(|suite| &mut suite.cases) {
            let live = match home {
                Home::Here => Box::pin(live::send(&objects, &result.case, methods)).await,
                Home::Elsewhere => Live::Not(
                    "in a cluster traffic is captured: nobody but the application calls as the application"
                        .to_owned(),
                ),
            };
            if let (Live::Sent(answer), Ok(got)) = (&live, &result.got) {
                result.mismatches.extend(judge::differs(&result.case, got, answer));
            }
            result.live = Some(live);
        }
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, report::junit(&results))
            .with_context(|| format!("cannot write the report to `{}`", path.display()))?;
    }
    match args.output {
        Form::Table => output::print(&report::text(&results, Paint::stdout())),
        Form::Json => output::json(&report::json(&results, &judged_on))?,
        Form::Junit => output::print(&report::junit(&results)),
    }
    Ok(if report::failed(&results) == 0 { Outcome::Fine } else { Outcome::Finding })
}

/// Other kinds of a folder, and files of assertions beside objects, are none of our business.
pub(crate) fn concerns(problem: &mesh_controller::sources::state::Report) -> bool {
    problem.problem.reason != mesh_controller::sources::Reason::UnknownKind
}

fn judged(objects: &Objects, suite: file::Suite) -> SuiteResult {
    let cases = suite.cases.into_iter().map(|case| {
        let got = judge::judge(objects, &case);
        let mismatches = got.as_ref().map(|got| judge::compare(&case, got)).unwrap_or_default();
        CaseResult { case, got, mismatches, live: None }
    });
    SuiteResult { cases: cases.collect(), file: suite.file }
}

/// Every MeshTest of the files; of a folder those of its own files, by name.
fn suites(places: &[PathBuf]) -> anyhow::Result<Vec<file::Suite>> {
    let mut found = Vec::new();
    for place in places {
        if !place.is_dir() {
            let suite = file::read(&place.display().to_string(), &text(place)?)?;
            let Some(suite) = suite else {
                bail!("{}: holds no document of kind {}", place.display(), file::KIND);
            };
            found.push(suite);
            continue;
        }
        let listing = mesh_controller::sources::scan::list(place);
        let before = found.len();
        for name in listing.files.into_keys() {
            let path = place.join(&*name);
            found.extend(file::read(&path.display().to_string(), &text(&path)?)?);
        }
        if found.len() == before {
            bail!("{}: no file of it holds a document of kind {}", place.display(), file::KIND);
        }
    }
    Ok(found)
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read assertions from `{}`", path.display()))
}

/// Where the mesh is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Here,
    Elsewhere,
}

/// The objects to judge on, what they are in words, and where the mesh is that has them.
async fn load(args: &Args, mesh: &str) -> anyhow::Result<(Objects, String, Home)> {
    let places: Vec<Place> = args.config_dir.iter().map(|path| Place::parse(path)).collect();
    if args.cluster.is_named() {
        return of_cluster(args, &places).await;
    }
    if !places.is_empty() && !args.live {
        let objects = with_stand_ins(Objects::load(&places)?)?;
        let from = objects.from.clone();
        return Ok((objects, from, Home::Elsewhere));
    }
    match state::find(mesh) {
        Ok(_) if !places.is_empty() => {
            bail!("--live judges on the objects of the mesh `{mesh}`; leave --config-dir out")
        }
        Ok(state) => {
            let objects = Objects::load(&[Place::Path(state.objects)])?;
            Ok((objects, format!("the mesh {mesh} on this machine"), Home::Here))
        }
        Err(away @ FindError::NotRunning(_)) if has_cluster() => {
            of_cluster(args, &places).await.with_context(|| format!("{away}; so the cluster was asked"))
        }
        Err(FindError::NotRunning(mesh)) => bail!(
            "no objects to judge on: no mesh named `{mesh}` runs on this machine; \
             name a folder with --config-dir, or a cluster with --context"
        ),
        Err(error) => Err(error.into()),
    }
}

async fn of_cluster(args: &Args, places: &[Place]) -> anyhow::Result<(Objects, String, Home)> {
    let api = Api::connect(&args.cluster).await?;
    let objects = analyze::objects(analyze::cluster_files(&api, &[]).await?, places)?;
    Ok((objects, "the cluster".to_owned(), Home::Elsewhere))
}

/// The same objects, with somebody behind every Service that selects pods.
pub(crate) fn with_stand_ins(objects: Objects) -> anyhow::Result<Objects> {
    let more = stand_ins::text(&objects);
    if more.is_empty() { Ok(objects) } else { Ok(objects.with(stand_ins::FILE, more)?) }
}

#[cfg(test)]
mod tests;
