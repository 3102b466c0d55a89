//! From a pod to its patch: what [`decide`] says, and what is written where. Safe to apply to its own result, as a
//! webhook is called again after others have changed the pod.

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::decide::{self, Asked, Labels, Reason};
use crate::editor::{Editor, Op, Step};
use crate::lifecycle::Added;
use crate::probes::{Change, Table};
use crate::settings::{Capture, Probes, Settings, SettingsError, Sidecar};
use crate::{
    ADDED_ANNOTATION, CNI_ANNOTATION, INJECTED_LABEL, VERSION_ANNOTATION, annotations, containers, lifecycle,
    probes, scrape, workload_api,
};

/// What is asked about: a pod, or the template of one.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The pod or template: what has `metadata` and `spec`.
    pub pod: &'a Value,
    /// The namespace that it is to be in.
    pub namespace: &'a str,
    /// The labels of the namespace, where they are known.
    pub namespace_labels: Option<&'a Labels>,
    /// Who asks; `None`: the labels say.
    pub asked: Option<Asked>,
}

/// What is to be done with a pod.
#[derive(Debug)]
pub enum Decision {
    /// It gets the sidecar, or what is missing of it.
    Inject(Box<Injected>),
    /// It goes on as it is.
    Skip(Reason),
    /// It wants a sidecar and cannot have it.
    Refuse(Reason),
}

/// A pod with its sidecar.
#[derive(Debug)]
pub struct Injected {
    /// The pod.
    pub pod: Value,
    /// What makes the one of the other; paths begin at the pod.
    pub patch: Vec<Op>,
}

/// Decides, and writes the sidecar. Settings that cannot be used are the only error.
pub fn inject(subject: Subject<'_>, settings: &Settings) -> Result<Decision, SettingsError> {
    let sidecar = settings.sidecar()?;
    let asked = match who_asks(subject, settings) {
        Ok(asked) => asked,
        Err(reason) if reason.passes(Asked::Pod) => return Ok(Decision::Skip(reason)),
        Err(reason) => return Ok(Decision::Refuse(reason)),
    };
    let reason = match write(subject, sidecar, settings) {
        Ok(injected) if injected.patch.is_empty() => Reason::AlreadyInjected,
        Ok(injected) => return Ok(Decision::Inject(Box::new(injected))),
        Err(reason) => reason,
    };
    Ok(if reason.passes(asked) { Decision::Skip(reason) } else { Decision::Refuse(reason) })
}

fn who_asks(subject: Subject<'_>, settings: &Settings) -> Result<Asked, Reason> {
    if decide::is_system(subject.namespace, settings) {
        return Err(Reason::SystemNamespace(subject.namespace.to_owned()));
    }
    if let Some(asked) = subject.asked {
        return Ok(asked);
    }
    let labels = subject.pod.pointer("/metadata/labels").filter(|labels| !labels.is_null());
    let labels = labels.map(Labels::deserialize).transpose();
    let labels = labels.map_err(|error| Reason::NotAPod(format!("metadata.labels: {error}")))?;
    decide::asked(labels.as_ref(), subject.namespace_labels)
}

fn write(subject: Subject<'_>, mut sidecar: Sidecar, settings: &Settings) -> Result<Injected, Reason> {
    let template = PodTemplateSpec::deserialize(subject.pod).map_err(|e| Reason::NotAPod(e.to_string()))?;
    let spec = template.spec.as_ref().ok_or(Reason::NoContainers)?;
    if let Some(reason) = decide::obstacle(&template, spec) {
        return Err(reason);
    }
    let written =
        template.metadata.as_ref().and_then(|metadata| metadata.annotations.clone()).unwrap_or_default();
    annotations::apply(&written, &mut sidecar).map_err(Reason::Annotation)?;
    if let Some(reason) = decide::forbidden(subject.namespace_labels, &sidecar) {
        return Err(reason);
    }
    let mut editor = Editor::new(subject.pod.clone());
    let mut table = existing_table(spec);
    let before = table.clone();
    let known = Added::read(&written);
    let mut added = known.clone();
    applications(&mut editor, spec, &sidecar, (&mut table, &mut added));
    if let Some(index) = containers::existing(spec) {
        if table != before {
            set_variable(&mut editor, index, probes::VARIABLE, probes::to_variable(&table));
        }
    } else {
        for (place, container) in containers::all(&sidecar, settings, &table).into_iter().enumerate() {
            editor.insert(&["spec".into(), "initContainers".into()], place, typed(&container));
        }
        volumes(&mut editor, spec, &sidecar);
        pull_secrets(&mut editor, spec, settings);
        editor.set(&["metadata".into(), "labels".into(), INJECTED_LABEL.into()], json!("true"));
        if sidecar.capture == Capture::Cni {
            let flags = json!(containers::capture_args(&sidecar, &[]).join(" "));
            editor.set(&["metadata".into(), "annotations".into(), CNI_ANNOTATION.into()], flags);
        }
        let version = version(&sidecar.image);
        editor.set(&["metadata".into(), "annotations".into(), VERSION_ANNOTATION.into()], json!(version));
    }
    if let Some(merge) = scrape::merge(&written, spec, &sidecar) {
        let place = containers::existing(spec).unwrap_or_else(|| containers::place(&sidecar));
        set_variable(&mut editor, place, scrape::VARIABLE, merge.value);
        for (name, value) in merge.annotations {
            editor.set(&["metadata".into(), "annotations".into(), name.into()], json!(value));
        }
        added.scrape = merge.before;
    }
    if added != known {
        let added = serde_json::to_string(&added).unwrap_or_default();
        editor.set(&["metadata".into(), "annotations".into(), ADDED_ANNOTATION.into()], json!(added));
    }
    let (pod, patch) = editor.finish();
    Ok(Injected { pod, patch })
}

/// Probes, hooks and the end of the containers that are not ours.
fn applications(
    editor: &mut Editor,
    spec: &PodSpec,
    sidecar: &Sidecar,
    (table, added): (&mut Table, &mut Added),
) {
    let grace = lifecycle::grace(spec);
    let mut delayed = Vec::new();
    let sidecars = spec.init_containers.iter().flatten().enumerate();
    let sidecars =
        sidecars.filter(|(_, c)| c.restart_policy.as_deref() == Some("Always") && !containers::is_ours(c));
    for (index, container) in sidecars {
        if sidecar.probes == Probes::Rewrite {
            change(editor, "initContainers", index, probes::rewrite(container, sidecar, table));
        }
        workload_api::give(editor, spec, ("initContainers", index), container, sidecar);
    }
    for (index, container) in spec.containers.iter().enumerate() {
        if sidecar.probes == Probes::Rewrite {
            change(editor, "containers", index, probes::rewrite(container, sidecar, table));
        }
        workload_api::give(editor, spec, ("containers", index), container, sidecar);
        if let Some(delay) = lifecycle::delay(container, sidecar.drain_delay, grace) {
            delayed.push(container.name.clone());
            change(editor, "containers", index, vec![delay]);
        }
    }
    // A container that another webhook adds later gets its delay within what the others have been given.
    if !delayed.is_empty() && containers::existing(spec).is_none() {
        let longer = lifecycle::longer(grace, sidecar.drain_delay);
        editor.set(&["spec".into(), "terminationGracePeriodSeconds".into()], longer);
        (added.pre_stop, added.grace) = (delayed, spec.termination_grace_period_seconds);
    }
}

fn change(editor: &mut Editor, list: &'static str, index: usize, changes: Vec<Change>) {
    for Change { path, value } in changes {
        let mut steps: Vec<Step<'_>> = vec!["spec".into(), list.into(), index.into()];
        steps.extend(path.into_iter().map(Step::Field));
        if value.is_null() {
            editor.remove(&steps);
        } else {
            editor.set(&steps, value);
        }
    }
}

pub(crate) fn existing_table(spec: &PodSpec) -> Table {
    let proxy = containers::existing(spec).and_then(|index| spec.init_containers.as_ref()?.get(index));
    let variable =
        proxy.and_then(|proxy| proxy.env.iter().flatten().find(|one| one.name == probes::VARIABLE));
    variable.and_then(|one| probes::from_variable(one.value.as_deref()?)).unwrap_or_default()
}

fn set_variable(editor: &mut Editor, index: usize, name: &str, value: String) {
    let env: [Step<'_>; 4] = ["spec".into(), "initContainers".into(), index.into(), "env".into()];
    let named = |one: &Value| one.get("name").and_then(Value::as_str) == Some(name);
    let place = editor.get(&env).and_then(Value::as_array).and_then(|all| all.iter().position(named));
    match place {
        Some(place) => {
            let [a, b, c, d] = env;
            editor.set(&[a, b, c, d, place.into(), "value".into()], json!(value));
        }
        None => editor.push(&env, json!({ "name": name, "value": value })),
    }
}

fn volumes(editor: &mut Editor, spec: &PodSpec, sidecar: &Sidecar) {
    for volume in containers::volumes(sidecar) {
        if !spec.volumes.iter().flatten().any(|there| there.name == volume.name) {
            editor.push(&["spec".into(), "volumes".into()], typed(&volume));
        }
    }
}

/// A pod that names Secrets for pulling has its own way to every image.
fn pull_secrets(editor: &mut Editor, spec: &PodSpec, settings: &Settings) {
    if spec.image_pull_secrets.iter().flatten().next().is_none() {
        for name in &settings.image_pull_secrets {
            editor.push(&["spec".into(), "imagePullSecrets".into()], json!({ "name": name }));
        }
    }
}

/// The tag of the image says most about what runs; a digest or nothing says little.
fn version(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let tag = name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    tag.unwrap_or(env!("CARGO_PKG_VERSION"))
}

fn typed(value: &impl serde::Serialize) -> Value {
    // Types of Kubernetes have text as keys only: they can always be written.
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
