//! Who sends the request that is asked about: its namespace decides what short names mean and which routes hold. Pure.

use std::collections::BTreeSet;

use mesh_controller::api::Kind;
use mesh_controller::index::Index;

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
}

/// Why the sender is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownCaller {
    #[error("neither a workload nor a namespace is named `{name}` in {from}; {known}")]
    Nobody { name: String, from: String, known: String },
    #[error("several workloads are named `{name}`: {found}; write `--from {name}.NAMESPACE`")]
    Several { name: String, found: String },
    #[error("--from {from} is in namespace {found}, not in {asked}; leave --namespace out")]
    Elsewhere { from: String, found: String, asked: String },
}

impl Caller {
    /// From `--namespace` and `--from`, of which the latter names a workload (`NAME`, `NAME.NS`, `NS/NAME`) or a namespace.
    pub(crate) fn find(
        index: &Index,
        namespace: Option<&str>,
        from: Option<&str>,
        place: &str,
    ) -> Result<Self, UnknownCaller> {
        let plain =
            |namespace: &str| Self { namespace: namespace.to_owned(), workload: None, zone: String::new() };
        let Some(from) = from else { return Ok(plain(namespace.unwrap_or(DEFAULT_NAMESPACE))) };
        let (name, within) = match (from.split_once('/'), from.split_once('.')) {
            (Some((within, name)), _) | (None, Some((name, within))) => (name, Some(within)),
            (None, None) => (from, namespace),
        };
        let workloads = || index.workloads.store.iter().map(|(key, entry)| (key, &entry.object.spec));
        let found: Vec<_> = workloads()
            .filter(|(key, _)| &*key.name == name && within.is_none_or(|within| &*key.namespace == within))
            .collect();
        match found.as_slice() {
            [(key, spec)] => match namespace.filter(|namespace| **namespace != *key.namespace) {
                Some(asked) => Err(UnknownCaller::Elsewhere {
                    from: from.to_owned(),
                    found: key.namespace.to_string(),
                    asked: asked.to_owned(),
                }),
                None => Ok(Self {
                    namespace: key.namespace.to_string(),
                    workload: Some(key.name.to_string()),
                    zone: spec.zone.clone().unwrap_or_default(),
                }),
            },
            [] if namespaces(index).contains(from) => Ok(plain(from)),
            [] => {
                let known: Vec<String> =
                    workloads().take(10).map(|(key, _)| format!("{}.{}", key.name, key.namespace)).collect();
                let known = if known.is_empty() {
                    "there is no Workload; name a namespace with --namespace".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                Err(UnknownCaller::Nobody { name: from.to_owned(), from: place.to_owned(), known })
            }
            several => {
                let found: Vec<&str> = several.iter().map(|(key, _)| &*key.namespace).collect();
                let found = format!("in {}", found.join(" and "));
                Err(UnknownCaller::Several { name: name.to_owned(), found })
            }
        }
    }
}

/// Every namespace that some object is in or is.
fn namespaces(index: &Index) -> BTreeSet<&str> {
    let services = index.services.store.iter().map(|(key, _)| key);
    let workloads = index.workloads.store.iter().map(|(key, _)| key);
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
