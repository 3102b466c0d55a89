//! `meshctl migrate`: objects of another mesh in, objects of this one out, and what became of every field. Offline. It must not know any
//! field of an object (`mesh-migrate` does).

use std::path::PathBuf;

use anyhow::Context as _;
use mesh_migrate::{Document, Effect, Migration, Source};
use serde_json::json;

use super::Outcome;
use super::inject::input;
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Paint, Tone};

/// Arguments of `meshctl migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Whose objects they are
    #[arg(value_enum)]
    from: From,
    /// Files and folders with YAML or JSON; `-` is standard input. Give the Services too: ports and selectors are in them
    #[arg(value_name = "FILE|FOLDER|-", required_unless_present = "files")]
    paths: Vec<PathBuf>,
    /// The same; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE|FOLDER|-")]
    files: Vec<PathBuf>,
    /// In which form the objects are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Print the report in place of the objects: what became of every field, with `-o json` of those too that are carried over as they are
    #[arg(long)]
    report: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// AWS App Mesh
    AppMesh,
    /// Istio
    Istio,
    /// Linkerd, and SMI's TrafficSplit
    Linkerd,
    /// Flagger
    Flagger,
    /// Argo Rollouts
    ArgoRollouts,
}

/// In which form objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// Objects with comments that say where each came from; the report as a table
    #[default]
    Yaml,
    /// One JSON document: objects and report
    Json,
}

const HELP: &str = "\
Nothing is sent and nothing is written: the objects go to standard output, and what differs or has no counterpart is said on
standard error, the gravest first:
  weaker     calls go through that were refused, unless something is done
  stricter   calls are refused that went through
  behaviour  requests are treated otherwise
  edge       rare requests are treated otherwise; the words say which
  none       no request is treated otherwise

Examples:
  meshctl migrate app-mesh appmesh/ services.yaml > amime.yaml
  kubectl get virtualservices,destinationrules,services -A -o yaml | meshctl migrate istio - > amime.yaml
  meshctl migrate linkerd policies/ services.yaml --report
  meshctl migrate istio mesh/ --report -o json | jq '.fields[] | select(.outcome == \"lost\")'

Then: meshctl explain http://reviews.shop/ -f amime.yaml -f services.yaml

Exit codes: 0 requests are treated as before but for edges; 1 something changes behaviour or is stricter or weaker; 2 a file cannot be read.";

/// Prints what comes of the files.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let paths: Vec<PathBuf> = args.paths.iter().chain(&args.files).cloned().collect();
    let mut documents = Vec::new();
    for (name, text) in input::read(&paths)? {
        documents.extend(mesh_migrate::read(&name, &text).context("nothing was turned over")?);
    }
    let migration = mesh_migrate::migrate(args.from.source(), &documents);
    match (args.output, args.report) {
        (Form::Json, true) => output::json(&migration.json(&documents))?,
        (Form::Json, false) => output::json(&json!({
            "apiVersion": "meshctl.amime.io/v1",
            "kind": "Migration",
            "objects": migration.objects.iter().map(|object| &object.value).collect::<Vec<_>>(),
            "report": migration.json(&documents),
        }))?,
        (Form::Yaml, true) => output::print(&report(&migration, &documents, Paint::stdout())),
        (Form::Yaml, false) => {
            output::print(&mesh_migrate::yaml(&migration.objects));
            output::note(report(&migration, &documents, Paint::Plain).trim_end());
        }
    }
    Ok(if migration.is_same() { Outcome::Fine } else { Outcome::Finding })
}

/// What differs, and how much there is of it.
fn report(migration: &Migration, documents: &[Document], paint: Paint) -> String {
    let rows = migration.rows(documents);
    let [converted, changed, lost, inert] = migration.counts();
    let mut out = format!(
        "{} objects from {} documents. Fields: {converted} carried over, {changed} with a difference, {lost} without counterpart, {inert} that say nothing about requests.\n",
        migration.objects.len(),
        documents.len(),
    );
    if rows.is_empty() {
        return out;
    }
    let columns = [
        ("EFFECT", Align::Left),
        ("OF", Align::Left),
        ("FIELD", Align::Left),
        ("WHAT BECAME OF IT", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        let field = if row.field.is_empty() { "-".to_owned() } else { row.field };
        table.row([
            Cell::toned(row.effect.word(), tone(row.effect)),
            row.source.into(),
            field.into(),
            row.words.into(),
        ]);
    }
    out.push('\n');
    out.push_str(&table.render(paint));
    out
}

fn tone(effect: Effect) -> Tone {
    match effect {
        Effect::None => Tone::Faint,
        Effect::Edge => Tone::Plain,
        Effect::Behaviour | Effect::Stricter => Tone::Warning,
        Effect::Weaker => Tone::Bad,
    }
}

impl From {
    fn source(self) -> Source {
        match self {
            Self::AppMesh => Source::AppMesh,
            Self::Istio => Source::Istio,
            Self::Linkerd => Source::Linkerd,
            Self::Flagger => Source::Flagger,
            Self::ArgoRollouts => Source::ArgoRollouts,
        }
    }
}
