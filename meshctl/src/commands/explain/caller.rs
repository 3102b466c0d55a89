//! Who sends the request that is asked about: its namespace decides what short names mean and which routes hold. Pure.

use std::collections::BTreeSet;

use std::net::IpAddr;

use mesh_controller::api::{Kind, ObjectKey};
use mesh_controller::index::Index;
use mesh_model::name::WorkloadName;
use mesh_model::spiffe::SpiffeId;

use super::objects::Objects;
use crate::commands::callee::{self, Peer};

/// The namespace of a caller when nothing says another one.
const DEFAULT_NAMESPACE: &str = "default";

/// The sender of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) namespace: String,
    /// Its workload, if one was named.
    pub(crate) workload: Option<String>,
    /// Empty if not known.
    pub(crate) zone: String,
    /// As whom those see it whom it calls; `None`: only its namespace is known.
    pub(crate) peer: Option<Peer>,
}

/// Why the sender is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownCaller {
    #[error("neither a workload nor a namespace is named `{name}` in {from}; {known}")]
    Nobody { name: String, from: String, known: String },
    #[error("several workloads are named `{name}`: {found}; write `--from {name}.NAMESPACE`")]
    Several { name: String, found: String },
    #[error("--from {text} is no identity: {why}")]
    Identity { text: String, why: String },
    #[error("--from {from} is in namespace {found}, not in {asked}; leave --namespace out")]
    Elsewhere { from: String, found: String, asked: String },
}

/// Who calls without any certificate of the mesh.
const PLAINTEXT: &str = "plaintext";

impl Caller {
    /// From `--namespace` and `--from`: a workload (`NAME`, `NAME.NS`, `NS/NAME`), a namespace, a whole identity, or `plaintext`. `source`:
    /// where called sidecars see the connection come from, if that is not the caller's own address.
    pub(crate) fn of(
        objects: &Objects,
        namespace: Option<&str>,
        from: Option<&str>,
        source: Option<IpAddr>,
    ) -> Result<Self, UnknownCaller> {
        let mut caller = match from {
            Some(text) if text.contains("://") => Self::identity(text)?,
            Some(PLAINTEXT) if !is_known(&objects.index, PLAINTEXT) => {
                let peer = Peer { identity: None, source: callee::UNKNOWN, address: None };
                let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE).to_owned();
                Self { namespace, workload: None, zone: String::new(), peer: Some(peer) }
            }
            from => Self::find(&objects.index, namespace, from, &objects.from)?,
        };
        let named = caller.workload.as_ref();
        let named = named.and_then(|name| WorkloadName::new(&caller.namespace, name).ok());
        if let Some(workload) = named {
            caller.peer = callee::peer_of(objects, &workload);
        }
        if let (Some(peer), Some(source)) = (&mut caller.peer, source) {
            peer.source = source;
        }
        Ok(caller)
    }

    fn identity(text: &str) -> Result<Self, UnknownCaller> {
        let bad = |why: String| UnknownCaller::Identity { text: text.to_owned(), why };
        let identity = SpiffeId::parse(text).map_err(|error| bad(error.to_string()))?;
        let namespace = identity.namespace().to_owned();
        let peer = Peer { identity: Some(identity), source: callee::UNKNOWN, address: None };
        Ok(Self { namespace, workload: None, zone: String::new(), peer: Some(peer) })
    }

    /// From `--namespace` and `--from`, of which the latter names a workload or a namespace.
    fn find(
        index: &Index,
        namespace: Option<&str>,
        from: Option<&str>,
        place: &str,
    ) -> Result<Self, UnknownCaller> {
        let plain = |namespace: &str| Self {
            namespace: namespace.to_owned(),
            workload: None,
            zone: String::new(),
            peer: None,
        };
        let Some(from) = from else { return Ok(plain(namespace.unwrap_or(DEFAULT_NAMESPACE))) };
        let (name, within) = match (from.split_once('/'), from.split_once('.')) {
            (Some((within, name)), _) | (None, Some((name, within))) => (name, Some(within)),
            (None, None) => (from, namespace),
        };
        let found: Vec<_> = members(index)
            .filter(|key| &*key.name == name && within.is_none_or(|within| &*key.namespace == within))
            .collect();
        match found.as_slice() {
            [key] => match namespace.filter(|namespace| **namespace != *key.namespace) {
                Some(asked) => Err(UnknownCaller::Elsewhere {
                    from: from.to_owned(),
                    found: key.namespace.to_string(),
                    asked: asked.to_owned(),
                }),
                None => Ok(Self {
                    namespace: key.namespace.to_string(),
                    workload: Some(key.name.to_string()),
                    zone: zone(index, key),
                    peer: None,
                }),
            },
            [] if namespaces(index).contains(from) => Ok(plain(from)),
            [] => {
                let known: Vec<String> =
                    members(index).take(10).map(|key| format!("{}.{}", key.name, key.namespace)).collect();
                let known = if known.is_empty() {
                    "there is no Workload; name a namespace with --namespace".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                Err(UnknownCaller::Nobody { name: from.to_owned(), from: place.to_owned(), known })
            }
            several => {
                let found: Vec<&str> = several.iter().map(|key| &*key.namespace).collect();
                let found = format!("in {}", found.join(" and "));
                Err(UnknownCaller::Several { name: name.to_owned(), found })
            }
        }
    }
}

/// Every Workload, and every pod that is not one of them.
fn members(index: &Index) -> impl Iterator<Item = &ObjectKey> {
    let workloads = index.workloads.store.iter().map(|(key, _)| key);
    let is_workload = |key: &ObjectKey| {
        index.workloads.store.find(&ObjectKey::new(Kind::Workload, &key.namespace, &key.name)).is_some()
    };
    let pods = index.pods.store.iter().map(|(key, _)| key).filter(move |key| !is_workload(key));
    workloads.chain(pods)
}

fn is_known(index: &Index, name: &str) -> bool {
    members(index).any(|key| &*key.name == name) || namespaces(index).contains(name)
}

fn zone(index: &Index, key: &ObjectKey) -> String {
    let workload = index.workloads.store.find(key);
    workload.and_then(|entry| entry.object.spec.zone.clone()).unwrap_or_default()
}

/// Every namespace that some object is in or is.
fn namespaces(index: &Index) -> BTreeSet<&str> {
    let services = index.services.store.iter().map(|(key, _)| key);
    let workloads = members(index);
    let routes =
        index.routes.http.iter().map(|(key, _)| key).chain(index.routes.grpc.iter().map(|(key, _)| key));
    let declared = index.namespaces.store.iter().map(|(key, _)| key);
    services
        .chain(workloads)
        .chain(routes)
        .chain(declared)
        .map(|key| if key.kind == Kind::Namespace { &*key.name } else { &*key.namespace })
        .collect()
}

#[cfg(test)]
mod tests {
    use mesh_controller::sources::state::{Contents, DirState};

    use super::*;

    const OBJECTS: &str = "
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: web, namespace: shop}, spec: {address: 127.0.0.1, zone: a}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: api, namespace: one}, spec: {address: 127.0.0.2}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: api, namespace: two}, spec: {address: 127.0.0.3}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: empty}}
";

    fn find(namespace: Option<&str>, from: Option<&str>) -> Result<Caller, UnknownCaller> {
        let mut index = Index::default();
        index.apply(DirState::default().apply("f.yaml", Contents::Bytes(OBJECTS.into())), 1);
        Caller::find(&index, namespace, from, "f.yaml")
    }

    #[test]
    fn a_caller_is_a_workload_or_a_namespace() {
        let web = find(None, Some("web")).unwrap();
        assert_eq!(
            (web.namespace.as_str(), web.workload.as_deref(), web.zone.as_str()),
            ("shop", Some("web"), "a")
        );
        for form in ["api.two", "two/api"] {
            assert_eq!(find(None, Some(form)).unwrap().namespace, "two", "{form}");
        }
        assert_eq!(find(Some("one"), Some("api")).unwrap().namespace, "one");
        for namespace in ["empty", "shop"] {
            assert_eq!(find(None, Some(namespace)).unwrap().workload, None);
        }
        assert_eq!(find(None, None).unwrap().namespace, "default");
        assert_eq!(find(Some("shop"), None).unwrap().namespace, "shop");
    }

    #[test]
    fn what_is_unclear_is_asked_back() {
        let text = |namespace, from| find(namespace, Some(from)).unwrap_err().to_string();
        assert!(text(None, "api").contains("in one and two"), "{}", text(None, "api"));
        assert!(text(None, "nobody").contains("web.shop"), "{}", text(None, "nobody"));
        assert!(text(Some("two"), "web.shop").contains("leave --namespace out"));
    }
}
