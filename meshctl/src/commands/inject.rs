//! `meshctl inject` and `meshctl uninject`: files with workloads in, the same files with or without what puts them into the mesh out.
//! Offline. It must not know how a sidecar is written (`mesh-inject` does).

mod document;
mod edit;
pub(super) mod input;

use std::path::PathBuf;

use anyhow::Context as _;
use mesh_inject::decide::Labels;
use mesh_inject::{Asked, Decision, INJECT_LABEL, Settings, Subject, workload};
use serde_json::{Value, json};

use super::Outcome;
use crate::output;
use document::Document;

/// Arguments of `meshctl inject`.
#[derive(Debug, clap::Args)]
#[command(after_help = INJECT_HELP)]
pub(crate) struct InjectArgs {
    #[command(flatten)]
    files: Files,
    /// Write the sidecar itself into the files, instead of the label that lets the mesh do it
    #[arg(long)]
    manual: bool,
    /// The settings of injection, as in the ConfigMap `amime-injection`
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Where the image of the sidecar is
    #[arg(long, value_name = "HUB")]
    image_hub: Option<String>,
    /// The tag of the image of the sidecar
    #[arg(long, value_name = "TAG")]
    image_tag: Option<String>,
}

/// Arguments of `meshctl uninject`.
#[derive(Debug, clap::Args)]
#[command(after_help = UNINJECT_HELP)]
pub(crate) struct UninjectArgs {
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Files and folders with YAML or JSON; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// In which form files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// YAML; what is not changed stays as it is, comments too
    #[default]
    Yaml,
    /// One JSON document
    Json,
}

const INJECT_HELP: &str = "\
Examples:
  meshctl inject app.yaml | kubectl apply -f -             let the mesh give the pods their sidecar
  kubectl get deploy -o yaml | meshctl inject - | kubectl apply -f -
  meshctl inject --manual app.yaml > meshed.yaml           write the sidecar into the file

What was done with each workload is said on standard error. Exit codes: 0 fine, 1 a workload cannot have a sidecar,
2 a file cannot be read.";

const UNINJECT_HELP: &str = "\
Examples:
  meshctl uninject meshed.yaml | kubectl apply -f -        take sidecar and label out of a file";

/// What is to be done with a workload, and what was.
enum Done {
    /// A new object, and in words what is different.
    Changed(Value, String),
    /// As it was, and why.
    Left(String),
    /// As it was, though somebody wanted it otherwise.
    Refused(String),
}

/// Prints the files with the workloads in the mesh.
pub(crate) fn inject(args: &InjectArgs) -> anyhow::Result<Outcome> {
    let settings = settings(args)?;
    settings.sidecar().context("the settings of injection")?;
    let manual = args.manual;
    each(&args.files, |object, workload| inject_one(object, workload, &settings, manual))
}

/// Prints the files without sidecars and labels.
pub(crate) fn uninject(args: &UninjectArgs) -> anyhow::Result<Outcome> {
    each(&args.files, |object, workload| Ok(eject_one(object, workload)))
}

fn settings(args: &InjectArgs) -> anyhow::Result<Settings> {
    let mut settings = match &args.values {
        Some(path) => mesh_controller::admit::read_values(path).map_err(anyhow::Error::msg)?,
        None => Settings::default(),
    };
    if args.image_hub.is_some() || args.image_tag.is_some() {
        let (name, tag) = settings.image.rsplit_once(':').unwrap_or((&settings.image, ""));
        let (hub, name) = name.rsplit_once('/').unwrap_or(("", name));
        let hub = args.image_hub.as_deref().unwrap_or(hub).trim_end_matches('/');
        let tag = args.image_tag.as_deref().unwrap_or(tag);
        settings.image = format!("{hub}/{name}:{tag}");
    }
    Ok(settings)
}

fn each(
    files: &Files,
    change: impl Fn(&Value, workload::Workload) -> anyhow::Result<Done>,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Fine;
    let (mut documents, mut others) = (Vec::new(), 0usize);
    for (name, text) in input::read(&files.paths)? {
        let found = document::split(&text).with_context(|| name.clone())?;
        for mut document in found {
            let mut tell = |object: &mut Value| -> anyhow::Result<()> {
                let Some(workload) = workload::of(object) else {
                    others += 1;
                    return Ok(());
                };
                let what = workload::name(object);
                match change(object, workload).with_context(|| format!("{name}: {what}"))? {
                    Done::Changed(new, how) => {
                        *object = new;
                        output::note(&format!("{what}: {how}"));
                    }
                    Done::Left(why) => output::note(&format!("{what}: left as it is: {why}")),
                    Done::Refused(why) => {
                        outcome = Outcome::Finding;
                        output::note(&format!("{what}: left as it is, and not in the mesh: {why}"));
                    }
                }
                Ok(())
            };
            document.change(&mut tell)?;
            documents.push(document);
        }
    }
    if others > 0 {
        output::note(&format!("{others} objects without pods are passed on"));
    }
    print(&documents, files.output)?;
    Ok(outcome)
}

fn print(documents: &[Document], form: Form) -> anyhow::Result<()> {
    match form {
        Form::Yaml => output::print(&document::join(documents)?),
        Form::Json => {
            let objects: Vec<&Value> = documents.iter().filter_map(Document::object).collect();
            match objects.as_slice() {
                [one] => output::json(one)?,
                several => output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": several }))?,
            }
        }
    }
    Ok(())
}

fn inject_one(
    object: &Value,
    workload: workload::Workload,
    settings: &Settings,
    manual: bool,
) -> anyhow::Result<Done> {
    let Some(pod) = at(object, workload.template) else {
        return Ok(Done::Refused(format!("{} is missing", workload.template.join("."))));
    };
    let label =
        pod.pointer("/metadata/labels").and_then(|labels| labels.get(INJECT_LABEL)).and_then(Value::as_str);
    if label == Some("disabled") {
        return Ok(Done::Left(format!("its label {INJECT_LABEL} is `disabled`")));
    }
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
    let none = Labels::new();
    let subject = Subject { pod, namespace, namespace_labels: Some(&none), asked: Some(Asked::Pod) };
    Ok(match mesh_inject::inject(subject, settings)? {
        Decision::Skip(reason) => Done::Left(reason.to_string()),
        Decision::Refuse(reason) => Done::Refused(reason.to_string()),
        Decision::Inject(injected) if manual => Done::Changed(
            with(object, workload.template, injected.pod),
            "the sidecar is written into it".to_owned(),
        ),
        Decision::Inject(_) if label == Some("enabled") => {
            Done::Left(format!("it has the label {INJECT_LABEL}=enabled"))
        }
        Decision::Inject(_) => {
            let mut pod = pod.clone();
            let labels = object_in(object_in(Some(&mut pod), "metadata"), "labels");
            let Some(labels) = labels.and_then(Value::as_object_mut) else {
                return Ok(Done::Refused("metadata.labels is no map".to_owned()));
            };
            labels.insert(INJECT_LABEL.to_owned(), json!("enabled"));
            Done::Changed(
                with(object, workload.template, pod),
                format!("has the label {INJECT_LABEL}=enabled"),
            )
        }
    })
}

fn eject_one(object: &Value, workload: workload::Workload) -> Done {
    let Some(pod) = at(object, workload.template) else {
        return Done::Left(format!("{} is missing", workload.template.join(".")));
    };
    match mesh_inject::eject(pod) {
        Ok(ejected) if ejected.patch.is_empty() => Done::Left("it has neither sidecar nor label".to_owned()),
        Ok(ejected) => Done::Changed(
            with(object, workload.template, ejected.pod),
            "sidecar and label are taken away".to_owned(),
        ),
        Err(reason) => Done::Refused(reason.to_string()),
    }
}

/// The field of a map, which is made where it is missing or null.
fn object_in<'a>(value: Option<&'a mut Value>, name: &str) -> Option<&'a mut Value> {
    let field = value?.as_object_mut()?.entry(name).or_insert_with(|| json!({}));
    if field.is_null() {
        *field = json!({});
    }
    Some(field)
}

fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |at, name| at.get(name))
}

fn with(object: &Value, path: &[&str], part: Value) -> Value {
    let mut object = object.clone();
    let place = path.iter().try_fold(&mut object, |at, name| at.get_mut(name));
    if let Some(place) = place {
        *place = part;
    }
    object
}

#[cfg(test)]
mod tests;
