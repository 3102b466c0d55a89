//! From the bytes of a file to objects and problems, one per document. Pure. It must not know files or what was there
//! before (`state`).

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::node::{Node, Value};
use super::{Problem, Reason, Stage, reader};
use crate::api::authorization::{AuthorizationAction, AuthorizationPolicySpec};
use crate::api::check::check;
use crate::api::{AuthorizationPolicy, Fault, Kind, Object, ObjectKey, Scope, Slice};

/// Most documents of a file.
const MAX_DOCUMENTS: usize = 10_000;
/// Most faults that are told about one object.
const MAX_FAULTS: usize = 10;
/// Longest text of a user that goes into a message.
const MAX_QUOTE: usize = 300;

/// A good object.
#[derive(Debug, Clone)]
pub struct ReadObject {
    /// Which one.
    pub key: ObjectKey,
    /// What it says.
    pub object: Object,
    /// Where it begins, from 1.
    pub line: u64,
    /// What is worth telling though the object is good.
    pub notes: Vec<Problem>,
}

/// What a document is.
#[derive(Debug, Clone)]
pub enum Document {
    /// A good object.
    Good(ReadObject),
    /// Not one, and why; never empty, the first says most.
    Bad(Vec<Problem>),
    /// Not one, and of a kind whose absence would open something: what stands in for it until it is mended closes that (INV-7).
    Closed(ReadObject, Vec<Problem>),
}

/// Reads every document. Documents without content (only comments) are left out; a file without any byte of content is a
/// problem, since that is how a file looks while an editor writes it.
pub fn read_documents(bytes: &[u8]) -> Vec<Document> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|b| *b == b'\n').count() as u64;
            return vec![Document::Bad(vec![file_problem(
                Reason::NotUtf8,
                line,
                "the file is not UTF-8 here; save it as UTF-8",
            )])];
        }
    };
    if text.trim().is_empty() {
        return vec![Document::Bad(vec![file_problem(
            Reason::Empty,
            0,
            "the file is empty; delete it if its objects shall go",
        )])];
    }
    let mut documents = Vec::new();
    for (index, (line, text)) in split(text).into_iter().enumerate() {
        if index == MAX_DOCUMENTS {
            let message = format!("more than {MAX_DOCUMENTS} documents; split the file");
            documents.push(Document::Bad(vec![file_problem(Reason::TooMany, line, message)]));
            break;
        }
        documents.extend(read_document(&text, line - 1));
    }
    documents
}

fn file_problem(reason: Reason, line: u64, message: impl Into<String>) -> Problem {
    Problem { object: None, stage: Stage::Readable, reason, line, fault: Fault::new("", message) }
}

/// Splits at document markers, so that a syntax error spoils one document only. A line that begins with `---` and a blank
/// is a marker everywhere in YAML, inside of block scalars too (YAML 1.2.2, section 9.1.2). Yields the line where each begins.
fn split(text: &str) -> Vec<(u64, String)> {
    let mut documents = Vec::new();
    let mut current = (1, String::new());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = |mark: &str| {
            line.strip_prefix(mark)
                .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
        };
        let number = index as u64 + 1;
        if let Some(rest) = marker("---") {
            documents.push(std::mem::replace(&mut current, (number, format!("   {rest}"))));
        } else if marker("...").is_some() {
            documents.push(std::mem::replace(&mut current, (number + 1, String::new())));
        } else {
            current.1.push_str(line);
        }
    }
    documents.push(current);
    documents.retain(|(_, text)| has_content(text));
    documents
}

fn has_content(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', '%'])
    })
}

fn read_document(text: &str, offset: u64) -> Option<Document> {
    let mut node = match Node::parse(text) {
        Ok(node) => node,
        Err(error) => {
            let message = error.message.chars().take(MAX_QUOTE).collect::<String>();
            return Some(Document::Bad(vec![file_problem(Reason::Syntax, offset + error.line, message)]));
        }
    };
    if node.value == Value::Null {
        return None;
    }
    // An object begins at its first field, not at the marker above it.
    if let Value::Map(fields) = &node.value
        && let Some((_, first)) = fields.first()
    {
        node.line = first.line;
    }
    Some(read_object(&node, offset))
}

/// Reads one document that is parsed already; `offset` is added to its lines.
pub(super) fn read_object(node: &Node, offset: u64) -> Document {
    let document = read_any(node, offset);
    let Document::Bad(problems) = &document else { return document };
    let Ok((Kind::AuthorizationPolicy, key)) = identify(node) else { return document };
    let why = problems.first().map(|problem| problem.fault.to_string()).unwrap_or_default();
    let object = Object::AuthorizationPolicy(Arc::new(closed(node, &key, why)));
    let read = ReadObject { key, object, line: offset + node.line, notes: Vec::new() };
    Document::Closed(read, problems.clone())
}

/// Every field below one that is written and has no value: what a template leaves that found nothing to write. Elsewhere that is as if
/// the field were absent; of a policy, where absent means everybody, it is refused.
fn nothing_in(node: &Node, field: &str) -> Vec<String> {
    fn walk(node: &Node, path: &str, found: &mut Vec<String>) {
        match &node.value {
            Value::Null => found.push(path.to_owned()),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
            Value::List(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    walk(entry, &format!("{path}[{at}]"), found);
                }
            }
            Value::Map(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{path}.{name}"), found);
                }
            }
        }
    }
    let mut found = Vec::new();
    node.field(field).into_iter().for_each(|node| walk(node, field, &mut found));
    found.truncate(MAX_FAULTS);
    found
}

/// Denies everything that a policy which cannot be read protects: what it targets, or if that cannot be read the whole namespace.
fn closed(node: &Node, key: &ObjectKey, why: String) -> AuthorizationPolicy {
    fn part<'a, T: serde::Deserialize<'a>>(node: &'a Node, field: &str) -> Option<T> {
        let part = node.field("spec")?.field(field)?;
        reader::read::<T>(part).ok().filter(|(_, unknown)| unknown.is_empty()).map(|(value, _)| value)
    }
    let mut spec = AuthorizationPolicySpec {
        target_refs: part(node, "targetRefs"),
        selector: part(node, "selector"),
        action: AuthorizationAction::Deny,
        audit_as: None,
        rules: None,
        external: None,
        refused: Some(why),
    };
    let written = |field| node.field("spec").is_some_and(|spec| spec.field(field).is_some());
    let unread = (written("targetRefs") && spec.target_refs.as_ref().is_none_or(Vec::is_empty))
        || (written("selector") && spec.selector.as_ref().is_none_or(|it| it.match_labels.is_empty()))
        || (spec.target_refs.is_some() && spec.selector.is_some());
    if unread {
        (spec.target_refs, spec.selector) = (None, None);
    }
    let mut policy = AuthorizationPolicy::new(&key.name, spec);
    policy.metadata.namespace = Some(key.namespace.to_string());
    policy
}

fn read_any(node: &Node, offset: u64) -> Document {
    let begin = offset + node.line;
    let bad = |object: Option<ObjectKey>, stage, reason, field: &str, message: String| {
        let line = if field.is_empty() { begin } else { offset + node.line_of(field) };
        Document::Bad(vec![Problem { object, stage, reason, line, fault: Fault::new(field, message) }])
    };
    let (kind, key) = match identify(node) {
        Ok(found) => found,
        Err((reason, fault)) => return bad(None, Stage::Readable, reason, &fault.field, fault.message),
    };
    let Parsed { mut object, unknown, faults: read } = match parse(&key, node) {
        Ok(read) => read,
        Err(fault) => return bad(Some(key), Stage::Accepted, Reason::Invalid, &fault.field, fault.message),
    };
    if kind.scope() == Scope::Namespaced {
        fill_namespace(&mut object, &key);
    }
    let problem = |reason, fault: Fault| Problem {
        object: Some(key.clone()),
        stage: Stage::Accepted,
        reason,
        line: offset + node.line_of(&fault.field),
        fault,
    };
    let unknown: Vec<Problem> = unknown
        .into_iter()
        .filter(|path| {
            // A status is another writer's, perhaps a newer one's.
            !matches!(path.as_str(), "apiVersion" | "kind" | "status") && !path.starts_with("status.")
        })
        .map(|path| {
            let message = format!("{} has no such field", kind.as_str());
            problem(Reason::UnknownField, Fault::new(path, message))
        })
        .collect();
    let nothing: Vec<Problem> = match kind {
        Kind::AuthorizationPolicy => nothing_in(node, "spec"),
        _ => Vec::new(),
    }
    .into_iter()
    .map(|path| {
        let message = "holds nothing, which is neither nobody nor everybody; leave it out, or name something";
        problem(Reason::Invalid, Fault::new(path, message))
    })
    .collect();
    let faults = check(&key, &object).into_iter().chain(read);
    let mut faults: Vec<Problem> = faults.map(|fault| problem(Reason::Invalid, fault)).collect();
    // Kubernetes' own kinds have many fields that do not concern the mesh; a newer API server may know more of them.
    let strict = !matches!(kind, Kind::Service | Kind::EndpointSlice | Kind::Namespace | Kind::Pod);
    if strict {
        faults.extend(unknown.iter().cloned());
    }
    faults.extend(nothing);
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() {
        Document::Good(ReadObject {
            key,
            object,
            line: begin,
            // Of a pod, only what concerns the mesh has a type at all.
            notes: if strict || kind == Kind::Pod { Vec::new() } else { unknown },
        })
    } else {
        Document::Bad(faults)
    }
}

fn identify(node: &Node) -> Result<(Kind, ObjectKey), (Reason, Fault)> {
    let quote = |text: &str| text.chars().take(80).collect::<String>();
    if !matches!(node.value, Value::Map(_)) {
        return Err((
            Reason::UnknownKind,
            Fault::new("", "the document is not an object with `apiVersion` and `kind`"),
        ));
    }
    let version = node.text("apiVersion").unwrap_or_default();
    let kind = node.text("kind").unwrap_or_default();
    let Some((found, ..)) = Kind::ALL.into_iter().find(|(_, v, k)| *v == version && *k == kind) else {
        if let Some((_, right, _)) = Kind::ALL.iter().find(|(_, _, k)| *k == kind) {
            let message = format!("`{}` is not known for {kind}; write `{right}`", quote(version));
            return Err((Reason::UnknownKind, Fault::new("apiVersion", message)));
        }
        let known: Vec<&str> = Kind::ALL.iter().map(|(_, _, k)| *k).collect();
        let message = format!("`{}` is not known; known kinds are {}", quote(kind), known.join(", "));
        return Err((Reason::UnknownKind, Fault::new("kind", message)));
    };
    let metadata = node.field("metadata");
    let text = |name: &str| metadata.and_then(|m| m.text(name)).filter(|text| !text.is_empty());
    let Some(name) = text("name") else {
        return Err((
            Reason::MissingName,
            Fault::new("metadata.name", format!("{kind} needs a name, in quotes if it is a number")),
        ));
    };
    let namespace = match found.scope() {
        Scope::Namespaced => text("namespace").unwrap_or("default"),
        Scope::Cluster => "",
    };
    Ok((found, ObjectKey::new(found, namespace, name)))
}

/// An object whose fields could be read.
struct Parsed {
    object: Object,
    /// Fields that its kind does not have.
    unknown: Vec<String>,
    /// What is wrong with what is not kept as it is written.
    faults: Vec<Fault>,
}

fn parse(key: &ObjectKey, node: &Node) -> Result<Parsed, Fault> {
    fn one<'a, T: serde::Deserialize<'a>>(
        node: &'a Node,
        wrap: fn(Arc<T>) -> Object,
    ) -> Result<Parsed, Fault> {
        let (value, unknown) = reader::read::<T>(node)?;
        Ok(Parsed { object: wrap(Arc::new(value)), unknown, faults: Vec::new() })
    }
    match key.kind {
        Kind::Service => one(node, Object::Service),
        Kind::EndpointSlice => {
            // All fields that there are, for those that are none.
            let (_, unknown) = reader::read::<EndpointSlice>(node)?;
            let (written, _) = reader::read(node)?;
            let (slice, faults) = Slice::of(key, &written);
            Ok(Parsed { object: Object::EndpointSlice(Arc::new(slice)), unknown, faults })
        }
        Kind::Namespace => one(node, Object::Namespace),
        Kind::HttpRoute => one(node, Object::HttpRoute),
        Kind::GrpcRoute => one(node, Object::GrpcRoute),
        Kind::TcpRoute => one(node, Object::TcpRoute),
        Kind::TlsRoute => one(node, Object::TlsRoute),
        Kind::UdpRoute => one(node, Object::UdpRoute),
        Kind::MeshConfig => one(node, Object::MeshConfig),
        Kind::Workload => one(node, Object::Workload),
        Kind::ExternalService => one(node, Object::ExternalService),
        Kind::FederatedTrustDomain => one(node, Object::FederatedTrustDomain),
        Kind::TrafficPolicy => one(node, Object::TrafficPolicy),
        Kind::AuthorizationPolicy => one(node, Object::AuthorizationPolicy),
        Kind::XBackendTrafficPolicy => one(node, Object::XBackendTrafficPolicy),
        Kind::AuthenticationPolicy => one(node, Object::AuthenticationPolicy),
        Kind::Canary => one(node, Object::Canary),
        Kind::Pod => one(node, Object::Pod),
        Kind::GatewayClass => one(node, Object::GatewayClass),
        Kind::XMesh => one(node, Object::XMesh),
    }
}

/// An object of a folder without namespace is in `default`, as with `kubectl apply`.
fn fill_namespace(object: &mut Object, key: &ObjectKey) {
    fn fill<T: Clone>(arc: &mut Arc<T>, metadata: fn(&mut T) -> &mut Option<String>, namespace: &str) {
        metadata(Arc::make_mut(arc)).get_or_insert_with(|| namespace.to_owned());
    }
    match object {
        Object::Service(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::HttpRoute(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::GrpcRoute(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::TcpRoute(o) | Object::TlsRoute(o) | Object::UdpRoute(o) => {
            fill(o, |o| &mut o.metadata.namespace, &key.namespace);
        }
        Object::Workload(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::ExternalService(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::TrafficPolicy(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::AuthorizationPolicy(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::XBackendTrafficPolicy(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::AuthenticationPolicy(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::Canary(o) => fill(o, |o| &mut o.metadata.namespace, &key.namespace),
        Object::EndpointSlice(_)
        | Object::Pod(_)
        | Object::Namespace(_)
        | Object::MeshConfig(_)
        | Object::FederatedTrustDomain(_)
        | Object::GatewayClass(_)
        | Object::XMesh(_) => {}
    }
}

#[cfg(test)]
mod tests;
