//! What is kept of an object of the cluster. Pure. What has no meaning for the mesh is dropped before objects are compared, so that an edit
//! of an annotation, a heartbeat or a status goes no further; and so that ten thousand pods fit. It must not know what the rest means.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::kinds::has_status;
use crate::api::{Kind, Object, ObjectKey, Scope, Slice, pod, slice};
use crate::cluster::{List, ListMeta};
use crate::sources::node::{Node, Value};

/// An object of the cluster, as far as it concerns the mesh.
#[derive(Debug, Clone)]
pub struct Trimmed {
    /// Which one.
    pub key: ObjectKey,
    /// What it says.
    pub body: Body,
    /// What a writer of its status has to know.
    pub facts: Facts,
}

/// What an object says.
#[derive(Debug, Clone)]
pub enum Body {
    /// As a document.
    Written(Node),
    /// Of kinds of which there are very many: read already, and good.
    Read(Object),
}

/// What a writer of an object's status has to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// `metadata.generation`: grows with every change of what the object says.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`: changes with every write.
    pub version: String,
    /// The status as it is now; null where there is none, or where nothing is written.
    pub status: Json,
    /// Of the spec what a status repeats: `parentRefs`, `targetRefs`, `controllerName`.
    pub spec: Json,
    /// How many rules it has.
    pub rules: usize,
}

/// Labels that mean something, of kinds that have some.
enum Labels {
    None,
    All,
    /// Those that begin so.
    Beginning(&'static [&'static str]),
}

fn labels_of(kind: Kind) -> Labels {
    match kind {
        // A selector, of a Service or of a policy, may ask for any.
        Kind::Workload | Kind::Pod => Labels::All,
        Kind::EndpointSlice => Labels::Beginning(&["kubernetes.io/service-name"]),
        // Injection asks whether pods of it get one, and what they may do.
        Kind::Namespace => Labels::Beginning(&["amime.io/", "pod-security.kubernetes.io/enforce"]),
        Kind::Service
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::UdpRoute
        | Kind::MeshConfig
        | Kind::ExternalService
        | Kind::FederatedTrustDomain
        | Kind::TrafficPolicy
        | Kind::AuthenticationPolicy
        | Kind::AuthorizationPolicy
        | Kind::Canary
        | Kind::XBackendTrafficPolicy
        | Kind::GatewayClass
        | Kind::XMesh => Labels::None,
    }
}

/// Which object this is; `None` if it has no name, which an API server never gives.
pub fn key(kind: Kind, object: &Json) -> Option<ObjectKey> {
    let metadata = object.get("metadata")?;
    let text = |name: &str| metadata.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let namespace = match kind.scope() {
        Scope::Namespaced => text("namespace")?,
        Scope::Cluster => "",
    };
    Some(ObjectKey::new(kind, namespace, text("name")?))
}

/// Keeps what means something. `with_status`: somebody may write its status.
pub fn trim(kind: Kind, object: Json, with_status: bool) -> Option<Trimmed> {
    if let Some(read) = lean(kind, &object) {
        return Some(read);
    }
    let key = key(kind, &object)?;
    let Json::Object(mut fields) = object else { return None };
    let metadata = fields.remove("metadata");
    let metadata = metadata.as_ref().and_then(Json::as_object);
    let status = fields.remove("status");
    let facts = Facts {
        generation: metadata.and_then(|m| m.get("generation")).and_then(Json::as_i64),
        version: metadata
            .and_then(|m| m.get("resourceVersion"))
            .and_then(Json::as_str)
            .unwrap_or_default()
            .into(),
        status: if with_status { status.clone().unwrap_or(Json::Null) } else { Json::Null },
        spec: if with_status { repeated(fields.get("spec")) } else { Json::Null },
        rules: fields.get("spec").and_then(|spec| spec.get("rules")?.as_array()).map_or(1, Vec::len),
    };
    // Objects of a list say neither; the list does.
    let (_, version, name) = Kind::ALL.into_iter().find(|(known, ..)| *known == kind)?;
    fields.insert("apiVersion".into(), version.into());
    fields.insert("kind".into(), name.into());
    fields.insert("metadata".into(), Json::Object(trim_metadata(kind, metadata)));
    // Every replica compiles with the state that the leader wrote.
    if let (Kind::Canary, Some(status)) = (kind, &status) {
        fields.insert("status".into(), status.clone());
        keep(&mut fields, "status", &["release"]);
    }
    if kind == Kind::Pod {
        keep(&mut fields, "spec", &["serviceAccountName", "hostNetwork"]);
        if let Some(status) = status {
            fields.insert("status".into(), status);
            keep(&mut fields, "status", &["phase", "podIP", "podIPs"]);
        }
    }
    Some(Trimmed { key, body: Body::Written(node(Json::Object(fields))), facts })
}

/// Reads a page of a list. Of kinds of which there are very many only what is kept is read at all; if one of them is not good, all are read
/// as others are, so that it is told which one and why.
pub fn page(kind: Kind, text: &str) -> Result<(Vec<Trimmed>, ListMeta), serde_json::Error> {
    fn lean<T: DeserializeOwned>(
        text: &str,
        read: fn(T) -> Option<Trimmed>,
    ) -> Option<(Vec<Trimmed>, ListMeta)> {
        let List { metadata, items } = serde_json::from_str::<List<T>>(text).ok()?;
        Some((items.into_iter().map(read).collect::<Option<_>>()?, metadata))
    }
    let read = match kind {
        Kind::Pod => lean(text, pod),
        Kind::EndpointSlice => lean(text, slice),
        _ => None,
    };
    if let Some(read) = read {
        return Ok(read);
    }
    let List { metadata, items } = serde_json::from_str::<List<Json>>(text)?;
    Ok((items.into_iter().filter_map(|object| trim(kind, object, has_status(kind))).collect(), metadata))
}

/// An object of a kind of which there are very many, if it is good.
fn lean(kind: Kind, object: &Json) -> Option<Trimmed> {
    match kind {
        Kind::Pod => pod(Deserialize::deserialize(object).ok()?),
        Kind::EndpointSlice => slice(Deserialize::deserialize(object).ok()?),
        _ => None,
    }
}

fn pod(mut written: pod::Written) -> Option<Trimmed> {
    let (key, facts) = named(Kind::Pod, &mut written.metadata)?;
    Some(Trimmed { key, body: Body::Read(Object::Pod(Arc::new(written.into()))), facts })
}

fn slice(mut written: slice::Written) -> Option<Trimmed> {
    let (key, facts) = named(Kind::EndpointSlice, &mut written.metadata)?;
    let (slice, faults) = Slice::of(&key, &written);
    faults.is_empty().then(|| Trimmed {
        key,
        body: Body::Read(Object::EndpointSlice(Arc::new(slice))),
        facts,
    })
}

fn named(kind: Kind, metadata: &mut pod::WrittenMeta) -> Option<(ObjectKey, Facts)> {
    let key = ObjectKey::new(kind, metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let version = std::mem::take(&mut metadata.resource_version);
    key.model_name()?;
    Some((key, Facts { version, rules: 1, ..Facts::default() }))
}

fn repeated(spec: Option<&Json>) -> Json {
    let one = |name: &str| Some((name.to_owned(), spec?.get(name)?.clone()));
    ["parentRefs", "targetRefs", "controllerName"].into_iter().filter_map(one).collect::<Map<_, _>>().into()
}

fn trim_metadata(kind: Kind, metadata: Option<&Map<String, Json>>) -> Map<String, Json> {
    let mut kept = Map::new();
    for (name, value) in metadata.into_iter().flatten() {
        let labels = match (name.as_str(), value) {
            ("name" | "namespace" | "creationTimestamp", _) => value.clone(),
            ("labels", Json::Object(labels)) => match labels_of(kind) {
                Labels::All => value.clone(),
                Labels::Beginning(with) => {
                    let kept =
                        labels.iter().filter(|(name, _)| with.iter().any(|begin| name.starts_with(begin)));
                    Json::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
                }
                Labels::None => continue,
            },
            _ => continue,
        };
        kept.insert(name.clone(), labels);
    }
    kept
}

/// Leaves only `names` in the map that is field `field`.
fn keep(fields: &mut Map<String, Json>, field: &str, names: &[&str]) {
    if let Some(Json::Object(map)) = fields.get_mut(field) {
        map.retain(|name, _| names.contains(&name.as_str()));
    }
}

/// As a document that has no lines.
fn node(json: Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole.into()),
            (None, Some(whole)) => Value::Int(whole.into()),
            (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(node).collect()),
        Json::Object(fields) => {
            Value::Map(fields.into_iter().map(|(name, value)| (name, node(value))).collect())
        }
    };
    Node { line: 0, value }
}
