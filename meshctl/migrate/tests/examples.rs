//! The examples of every source: what comes of them stays as it is, says of every field what became of it, and is accepted by the controller.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mesh_controller::compile::compile;
use mesh_controller::index::Index;
use mesh_controller::sources::Reason;
use mesh_controller::sources::state::{Contents, DirState};
use mesh_migrate::{Document, Effect, Entry, Migration, Outcome, Source, migrate, read, yaml};
use mesh_model::spiffe::TrustDomain;
use serde_json::Value;

/// Every example: its source, its file, and its documents.
fn examples() -> Vec<(Source, PathBuf, Vec<Document>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
    let mut found = Vec::new();
    for source in Source::ALL {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join(source.name()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|file| {
            file.extension().is_some_and(|end| end == "yaml" || end == "json")
                && !file.to_string_lossy().ends_with(".test.yaml")
        });
        files.sort();
        assert!(files.len() >= 6, "{}: {} examples", source.name(), files.len());
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let documents = read(&name, &std::fs::read_to_string(&file).unwrap()).unwrap();
            found.push((source, file, documents));
        }
    }
    found
}

fn told(migration: &Migration, documents: &[Document]) -> String {
    let mut out = String::new();
    let [converted, changed, lost, inert] = migration.counts();
    let _ = writeln!(
        out,
        "fields: {converted} converted, {changed} changed, {lost} lost, {inert} inert; worst: {}",
        migration.worst().word()
    );
    for row in migration.rows(documents) {
        let _ = writeln!(out, "{}: {} {}: {}", row.effect.word(), row.source, row.field, row.words);
    }
    out
}

#[test]
fn what_comes_of_every_example_is_what_came_of_it() {
    for (source, file, documents) in examples() {
        let migration = migrate(source, &documents);
        let name = format!("{}__{}", source.name(), file.file_stem().unwrap().to_string_lossy());
        let text = format!("{}\n{}", told(&migration, &documents), yaml(&migration.objects));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }
}

/// Paths of all values that hold no other, as the report writes them.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let simple = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                let path = match (simple, path.is_empty()) {
                    (true, true) => key.clone(),
                    (true, false) => format!("{path}.{key}"),
                    (false, _) => format!("{path}[{key}]"),
                };
                leaves(value, &path, found);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (at, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}[{at}]"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn speaks_of(entry: &Entry, path: &str) -> bool {
    let within = || {
        entry.path.is_empty()
            || path
                .strip_prefix(entry.path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match entry.outcome {
        Outcome::Converted { .. } | Outcome::Changed { .. } => entry.path == path,
        Outcome::Lost { .. } | Outcome::Inert { .. } => within(),
    }
}

fn untold(migration: &Migration, documents: &[Document]) -> Vec<String> {
    let mut untold = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let mut paths = Vec::new();
        leaves(&document.value, "", &mut paths);
        let silent = paths.into_iter().filter(|path| {
            !migration.entries.iter().any(|entry| entry.document == at && speaks_of(entry, path))
        });
        untold.extend(silent.map(|path| format!("{}:{}: {path}", document.file, document.line)));
    }
    untold
}

#[test]
fn every_field_of_every_example_is_spoken_of_and_known() {
    for (source, file, documents) in examples() {
        let migration = migrate(source, &documents);
        assert_eq!(untold(&migration, &documents), [] as [String; 0], "{}", file.display());
        let unknown: Vec<&Entry> = migration
            .entries
            .iter()
            .filter(|entry| matches!(&entry.outcome, Outcome::Lost { reason, .. } if reason.contains("not known here")))
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:#?}", file.display());
        // An object that a field is said to stand in is among those that came of it, or among those that are there already.
        let known: Vec<String> = migration.objects.iter().map(|object| label(&object.value)).collect();
        let there: Vec<String> = documents.iter().map(|document| label(&document.value)).collect();
        for entry in &migration.entries {
            if let Outcome::Converted { object, .. } | Outcome::Changed { object, .. } = &entry.outcome {
                let bare = object.strip_prefix("TrafficPolicy of ").unwrap_or(object);
                let fine = known.iter().chain(&there).any(|one| one == bare);
                assert!(
                    fine,
                    "{}: {object}, said of {}, is not there: {known:?}",
                    file.display(),
                    entry.path
                );
            }
        }
    }
}

fn label(value: &Value) -> String {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    let (kind, name) = (text("/kind").unwrap(), text("/metadata/name").unwrap());
    match kind {
        "MeshConfig" => format!("{kind} {name}"),
        _ => format!("{kind} {}/{name}", text("/metadata/namespace").unwrap_or("default")),
    }
}

/// A field that nobody knows, put into every map of every example, is told, and what becomes of the others is the same.
#[test]
fn a_field_that_nobody_knows_is_told_wherever_it_stands() {
    for (source, file, documents) in examples() {
        for at in 0..documents.len() {
            let maps = maps(&documents[at].value, String::new());
            for pointer in maps {
                let mut changed = documents.clone();
                let Some(map) = changed[at].value.pointer_mut(&pointer).and_then(Value::as_object_mut) else {
                    continue;
                };
                map.insert("zzUnheardOf".to_owned(), Value::from("x"));
                let migration = migrate(source, &changed);
                let missing = untold(&migration, &changed);
                assert_eq!(missing, [] as [String; 0], "{}: {pointer}", file.display());
            }
        }
    }
}

fn maps(value: &Value, at: String) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                found.extend(maps(value, format!("{at}/{key}")));
            }
            found.push(at);
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                found.extend(maps(value, format!("{at}/{index}")));
            }
        }
        _ => {}
    }
    found
}

/// The Services of an example, and somebody behind every selector.
fn there(migration: &Migration, documents: &[Document]) -> String {
    let is_service = |one: &&Document| one.value["kind"] == "Service" && one.value["apiVersion"] == "v1";
    let services = documents.iter().filter(is_service).map(|one| format!("---\n{}\n", one.value));
    let mut there = services.collect::<Vec<_>>().concat();
    let values: Vec<&Value> = documents
        .iter()
        .map(|one| &one.value)
        .chain(migration.objects.iter().map(|one| &one.value))
        .collect();
    let ports = values
        .iter()
        .filter(|one| one["kind"] == "Service")
        .flat_map(|one| one["spec"]["ports"].as_array().into_iter().flatten());
    let ports: std::collections::BTreeSet<u64> = ports
        .filter_map(|port| port.get("targetPort").unwrap_or(&port["port"]).as_u64())
        .chain([8080])
        .collect();
    let ports: Vec<Value> =
        ports.iter().map(|port| serde_json::json!({ "name": if *port == 8080 { "http".to_owned() } else { format!("p{port}") }, "port": port })).collect();
    let mut known: Vec<(Value, Value)> = Vec::new();
    for value in values {
        let labels = match value["kind"].as_str() {
            Some("Service") => value["spec"].get("selector"),
            _ => value.pointer("/spec/selector/matchLabels"),
        };
        let Some(labels) = labels else { continue };
        let member = (value["metadata"]["namespace"].clone(), labels.clone());
        if known.contains(&member) {
            continue;
        }
        let (at, namespace) = (known.len() + 1, &member.0);
        let workload = serde_json::json!({
            "apiVersion": "amime.io/v1alpha1", "kind": "Workload",
            "metadata": { "name": format!("w{at}"), "namespace": namespace, "labels": labels },
            "spec": { "address": format!("127.9.0.{at}"), "ports": ports },
        });
        let _ = write!(there, "---\n{workload}\n");
        known.push(member);
    }
    if there.is_empty() {
        "---\napiVersion: v1\nkind: Namespace\nmetadata: { name: none }\n".to_owned()
    } else {
        there
    }
}

/// Everything that the controller says about the objects that came of an example.
fn said(migration: &Migration, documents: &[Document]) -> Vec<String> {
    let mut state = DirState::default();
    let changes = state.apply_all([
        ("there.yaml".into(), Contents::Bytes(there(migration, documents).into_bytes())),
        ("ours.yaml".into(), Contents::Bytes(yaml(&migration.objects).into_bytes())),
    ]);
    let reports = state.reports();
    // A Service that the files have already is the one that counts.
    let mut said: Vec<String> = reports
        .iter()
        .filter(|report| report.problem.reason != Reason::Duplicate)
        .map(ToString::to_string)
        .collect();
    let mut index = Index::default();
    index.apply(changes, 1);
    let compiled = compile(&index, &TrustDomain::new("mesh.local").unwrap());
    for (key, report) in compiled.objects.iter().filter(|(_, report)| report.origin.starts_with("ours.yaml"))
    {
        let words = report.conditions.iter().filter(|condition| {
            // Of a route whose parents are Gateways, which others serve.
            !["OtherController", "HostnamesIgnored"].contains(&condition.reason)
        });
        said.extend(words.map(|c| format!("{key}: {}: {}: {}", c.reason, c.field, c.message)));
    }
    said
}

#[test]
fn the_controller_accepts_what_comes_of_every_example() {
    let mut wrong = Vec::new();
    for (source, file, documents) in examples() {
        let migration = migrate(source, &documents);
        if migration.objects.is_empty() {
            continue;
        }
        for word in said(&migration, &documents) {
            let expected = file.with_extension("said");
            let known = std::fs::read_to_string(expected).unwrap_or_default();
            if !known.lines().any(|line| word.contains(line) && !line.is_empty()) {
                wrong.push(format!(
                    "{}/{}: {word}",
                    source.name(),
                    file.file_name().unwrap().to_string_lossy()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_files_give_the_same_objects_in_any_order() {
    for (source, file, documents) in examples() {
        let one = migrate(source, &documents);
        let mut turned = documents.clone();
        turned.reverse();
        let mut labels: Vec<String> =
            migrate(source, &turned).objects.iter().map(|object| label(&object.value)).collect();
        let mut wanted: Vec<String> = one.objects.iter().map(|object| label(&object.value)).collect();
        labels.sort();
        wanted.sort();
        assert_eq!(labels, wanted, "{}", file.display());
        assert_eq!(yaml(&one.objects), yaml(&migrate(source, &documents).objects));
    }
}

#[test]
fn effects_are_ordered_by_how_grave_they_are() {
    let all = [Effect::None, Effect::Edge, Effect::Behaviour, Effect::Stricter, Effect::Weaker];
    assert!(all.is_sorted());
}
