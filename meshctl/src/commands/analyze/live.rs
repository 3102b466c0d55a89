//! The objects of a cluster as documents, so that they are read and compiled as those of a folder are.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_controller::api::Kind;
use mesh_controller::sources::kube::kinds::resource;
use mesh_controller::sources::state::{Contents, DirState};
use serde_json::{Map, Value};

use crate::cluster::Api;
use crate::commands::explain::objects::{LoadError, Objects, Place, documents};

/// A document with its name: `Kind/namespace/name`, in place of a file's path.
pub(crate) type Files = BTreeMap<Arc<str>, Vec<u8>>;

/// Kinds that are many and say nothing about routes and policies.
pub(crate) const LEFT_OUT: &[Kind] = &[Kind::Pod];

/// Reads every object of the kinds that the controller follows, but for those that are left out.
pub(crate) async fn cluster_files(api: &Api, left_out: &[Kind]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for (kind, api_version, name) in Kind::ALL {
        if left_out.contains(&kind) {
            continue;
        }
        let place = resource(kind);
        for object in api.list(&format!("{}/{}", place.api, place.plural), "").await? {
            files.extend(document(api_version, name, &object));
        }
    }
    Ok(files)
}

/// An object without what the API server and others wrote, as a document.
fn document(api_version: &str, kind: &str, object: &Value) -> Option<(Arc<str>, Vec<u8>)> {
    let mut map: Map<String, Value> = object.as_object()?.clone();
    map.remove("status");
    let mut metadata = Map::new();
    for key in ["name", "namespace", "labels", "annotations", "creationTimestamp"] {
        if let Some(value) = object.pointer("/metadata").and_then(|metadata| metadata.get(key)) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    map.insert("metadata".to_owned(), metadata.into());
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    let object = Value::Object(map);
    Some((name(&object)?.into(), object.to_string().into_bytes()))
}

fn name(object: &Value) -> Option<String> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    let (kind, name) = (text("/kind")?, text("/metadata/name")?);
    Some(match text("/metadata/namespace") {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    })
}

/// A cluster's objects, with those of files in place of their namesakes.
pub(crate) fn objects(mut files: Files, places: &[Place]) -> Result<Objects, LoadError> {
    let mut over = Vec::new();
    if !places.is_empty() {
        for (file, text) in Objects::load(places)?.texts() {
            for object in documents(text) {
                if let Some(name) = name(&object) {
                    files.remove(name.as_str());
                }
            }
            over.push((Arc::clone(file), Contents::Bytes(text.clone().into_bytes())));
        }
    }
    let all = files.into_iter().map(|(name, bytes)| (name, Contents::Bytes(bytes))).chain(over);
    Objects::of(DirState::default(), all.collect(), "the cluster".to_owned())
}

/// The objects of files as documents, one an object.
pub(crate) fn files_of(places: &[Place]) -> Result<Files, LoadError> {
    let mut files = Files::new();
    for object in Objects::load(places)?.documents() {
        if let Some(name) = name(&object) {
            files.insert(name.into(), object.to_string().into_bytes());
        }
    }
    Ok(files)
}

/// An annotation of every object that has it, by `Kind/namespace/name`.
pub(super) fn annotations(objects: &Objects, annotation: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for object in objects.documents() {
        let value = object.pointer("/metadata/annotations").and_then(|all| all.get(annotation)?.as_str());
        if let (Some(name), Some(value)) = (name(&object), value) {
            found.insert(name, value.to_owned());
        }
    }
    found
}
