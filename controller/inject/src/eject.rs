//! Takes a sidecar away that was written into a file: what [`inject`](crate::inject()) wrote goes, and what it changed is as before. It
//! must not know why.

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::decide::Reason;
use crate::editor::{Editor, Step};
use crate::lifecycle::Added;
use crate::patch::Injected;
use crate::probes::{self, How, Target};
use crate::{
    ADDED_ANNOTATION, CNI_ANNOTATION, INJECT_LABEL, INJECTED_LABEL, VERSION_ANNOTATION, containers, patch,
    workload_api,
};

/// Takes the sidecar and the label that asks for it away. No steps: there was nothing.
pub fn eject(pod: &Value) -> Result<Injected, Reason> {
    let template = PodTemplateSpec::deserialize(pod).map_err(|error| Reason::NotAPod(error.to_string()))?;
    let spec = template.spec.unwrap_or_default();
    let annotations = template.metadata.and_then(|metadata| metadata.annotations).unwrap_or_default();
    let added = Added::read(&annotations);
    let mut editor = Editor::new(pod.clone());
    for (key, target) in patch::existing_table(&spec) {
        restore(&mut editor, &spec, &key, &target);
    }
    for (index, container) in spec.containers.iter().enumerate() {
        if added.pre_stop.contains(&container.name) {
            let lifecycle: [Step<'_>; 4] =
                ["spec".into(), "containers".into(), index.into(), "lifecycle".into()];
            let [a, b, c, d] = lifecycle;
            editor.remove(&[a, b, c, d, "preStop".into()]);
            editor.remove_empty(&lifecycle);
        }
    }
    let grace = ["spec".into(), "terminationGracePeriodSeconds".into()];
    match added.grace {
        Some(seconds) => editor.set(&grace, json!(seconds)),
        None if !added.pre_stop.is_empty() => editor.remove(&grace),
        None => {}
    }
    for (name, value) in &added.scrape {
        let annotation = ["metadata".into(), "annotations".into(), name.as_str().into()];
        match value {
            Some(value) => editor.set(&annotation, json!(value)),
            None => editor.remove(&annotation),
        }
    }
    workload_api::take(&mut editor, &spec);
    elements(&mut editor, "initContainers", |index| {
        spec.init_containers.iter().flatten().nth(index).is_some_and(containers::is_ours)
    });
    let names = [
        containers::TOKEN_VOLUME,
        containers::ROOTS_VOLUME,
        containers::STATE_VOLUME,
        containers::WORKLOAD_API_VOLUME,
        containers::OTLP_VOLUME,
    ];
    elements(&mut editor, "volumes", |index| {
        spec.volumes.iter().flatten().nth(index).is_some_and(|volume| names.contains(&volume.name.as_str()))
    });
    for (map, name) in [
        ("labels", INJECTED_LABEL),
        ("labels", INJECT_LABEL),
        ("annotations", VERSION_ANNOTATION),
        ("annotations", ADDED_ANNOTATION),
        ("annotations", CNI_ANNOTATION),
    ] {
        let map = ["metadata".into(), map.into()];
        let [a, b] = map;
        editor.remove(&[a, b, name.into()]);
        editor.remove_empty(&map);
    }
    let (pod, patch) = editor.finish();
    Ok(Injected { pod, patch })
}

/// Takes elements away from the last to the first, so that places stay right; an empty list goes too.
fn elements(editor: &mut Editor, list: &'static str, goes: impl Fn(usize) -> bool) {
    let path: [Step<'_>; 2] = ["spec".into(), list.into()];
    let count = editor.get(&path).and_then(Value::as_array).map_or(0, Vec::len);
    let [a, b] = path;
    let mut gone = false;
    for index in (0..count).rev().filter(|index| goes(*index)) {
        gone = true;
        editor.remove(&[a, b, index.into()]);
    }
    if gone {
        editor.remove_empty(&path);
    }
}

fn restore(editor: &mut Editor, spec: &PodSpec, key: &str, target: &Target) {
    let Some((name, kind)) = key.rsplit_once('/') else { return };
    let place = |list: &[k8s_openapi::api::core::v1::Container]| list.iter().position(|c| c.name == name);
    let (list, index) = match place(&spec.containers) {
        Some(index) => ("containers", index),
        None => match place(spec.init_containers.as_deref().unwrap_or_default()) {
            Some(index) => ("initContainers", index),
            None => return,
        },
    };
    let Some(field) = probes::field(kind) else { return };
    let mut path: Vec<Step<'_>> = vec!["spec".into(), list.into(), index.into()];
    path.extend(field.iter().map(|name| Step::Field(name)));
    let (action, value) = match &target.how {
        How::Http { port, path, tls, headers } => {
            let headers: Vec<Value> =
                headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            let mut fields =
                Map::from_iter([("path".to_owned(), json!(path)), ("port".to_owned(), json!(port))]);
            if *tls {
                fields.insert("scheme".to_owned(), json!("HTTPS"));
            }
            if !headers.is_empty() {
                fields.insert("httpHeaders".to_owned(), json!(headers));
            }
            ("httpGet", Value::Object(fields))
        }
        How::Tcp { port } => ("tcpSocket", json!({ "port": port })),
        How::Grpc { port, service } if service.is_empty() => ("grpc", json!({ "port": port })),
        How::Grpc { port, service } => ("grpc", json!({ "port": port, "service": service })),
    };
    let with = |last: &'static str| path.iter().copied().chain([Step::Field(last)]).collect::<Vec<_>>();
    if action != "httpGet" {
        editor.remove(&with("httpGet"));
    }
    editor.set(&with(action), value);
    if field.len() == 1 {
        editor.set(&with("timeoutSeconds"), json!(target.timeout_seconds));
    }
}
