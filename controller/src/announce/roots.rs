//! Copies the roots of the mesh into every namespace, where pods mount them. [`plan`] decides what is to be written, purely. It must not know
//! where roots come from.
#![allow(
    clippy::indexing_slicing,
    reason = "indexing a `serde_json::Value` gives null where there is nothing; what is written to is an object made here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_identity::TrustBundle;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::api::{Kind, ObjectKey};
use crate::cluster::{Cluster, Failed, Place, Resource, Selection, Write};
use crate::inspect::objects::Objects;

const CONFIG_MAPS: Resource = Resource { api: "/api/v1", plural: "configmaps" };
/// The ConfigMap and its key.
const NAME: &str = "amime-ca-roots";
const FILE: &str = "roots.pem";
/// What marks objects that the mesh makes.
const MANAGED: &str = "amime.io/managed";
/// Between looks at whether somebody changed a copy.
const LOOK: Duration = Duration::from_secs(30);
/// Most copies that are written at a time.
const MAX_WRITES: usize = 50;

/// What is to be done in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is none.
    Create,
    /// It says something else.
    Mend,
    /// It is somebody else's: no label says that the mesh made it.
    Foreign,
}

/// Which copies are to be written. `copies` are the ConfigMaps of that name that are there.
pub fn plan(
    namespaces: &BTreeSet<&str>,
    copies: &BTreeMap<String, Json>,
    roots: &str,
) -> Vec<(String, Step)> {
    let step = |copy: Option<&Json>| match copy {
        None => Some(Step::Create),
        Some(copy) if copy["metadata"]["labels"][MANAGED] != "true" => Some(Step::Foreign),
        Some(copy) => (copy["data"][FILE] != roots).then_some(Step::Mend),
    };
    let one = |namespace: &&str| Some(((*namespace).to_owned(), step(copies.get(*namespace))?));
    namespaces.iter().filter_map(one).collect()
}

/// Keeps the copies.
#[derive(Debug)]
pub struct Roots {
    cluster: Cluster,
    /// Of the mesh's own parts: there the certificate authority writes.
    own: String,
    /// What was copied where when it was looked last, and when that was.
    done: Option<(Instant, String, BTreeSet<String>)>,
    warned: BTreeSet<String>,
}

impl Roots {
    /// Copies nothing yet.
    pub fn new(cluster: Cluster, own: String) -> Self {
        Self { cluster, own, done: None, warned: BTreeSet::new() }
    }

    /// Looks, where namespaces or roots are new or it is time to, and writes what is missing.
    pub async fn follow(&mut self, bundle: &TrustBundle, objects: &Objects, now: Instant) {
        let first = ObjectKey::new(Kind::Namespace, "", "");
        let namespaces: BTreeSet<&str> = objects
            .compiled
            .from(&first)
            .map_while(|(key, _)| (key.kind == Kind::Namespace).then_some(&*key.name))
            .filter(|name| *name != self.own && !name.starts_with("kube-"))
            .collect();
        let roots = bundle.to_pem();
        let known = self.done.as_ref().is_some_and(|(at, copied, there)| {
            now.duration_since(*at) < LOOK
                && *copied == roots
                && namespaces.len() == there.len()
                && namespaces.iter().all(|name| there.contains(*name))
        });
        if known {
            return;
        }
        match self.look(&namespaces, &roots).await {
            Ok(()) => {
                let there = namespaces.into_iter().map(str::to_owned).collect();
                self.done = Some((now, roots, there));
            }
            Err(error) => {
                tracing::warn!(%error, "the roots of the mesh cannot be copied to every namespace; tried again");
            }
        }
    }

    async fn look(&mut self, namespaces: &BTreeSet<&str>, roots: &str) -> Result<(), Failed> {
        let copies = self.copies().await?;
        let mut last = Ok(());
        for (at, (namespace, step)) in plan(namespaces, &copies, roots).into_iter().enumerate() {
            if at >= MAX_WRITES {
                return Err(Failed::Deadline);
            }
            let body = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": namespace, "labels": {MANAGED: "true"}},
                "data": {FILE: roots},
            });
            let place = Place { resource: CONFIG_MAPS, namespace: &namespace, name: NAME };
            let how = match step {
                Step::Create => Write::Create,
                Step::Mend => Write::Merge,
                Step::Foreign => {
                    if self.warned.insert(namespace.clone()) {
                        tracing::warn!(%namespace, "there is a ConfigMap {NAME} that is not the mesh's (no label {MANAGED}=true), so pods with a sidecar cannot start there; remove or rename it");
                    }
                    continue;
                }
            };
            match self.cluster.write(place, how, &body).await {
                // A namespace that ends takes nothing new; one that was made meanwhile has it.
                Ok(_) | Err(Failed::Conflict | Failed::NotFound | Failed::Refused { code: 403, .. }) => {}
                Err(error) => last = Err(error),
            }
        }
        last
    }

    async fn copies(&self) -> Result<BTreeMap<String, Json>, Failed> {
        let mut copies = BTreeMap::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.cluster.list(CONFIG_MAPS, Selection::Named(NAME), next.as_deref()).await?;
            for copy in page.items {
                if let Some(namespace) = copy.pointer("/metadata/namespace").and_then(Json::as_str) {
                    copies.insert(namespace.to_owned(), copy);
                }
            }
            match page.next {
                Some(more) => next = Some(more),
                None => return Ok(copies),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_are_missing_or_wrong_are_written_and_nobody_elses() {
        let copy = |label: &str, roots: &str| json!({"metadata": {"labels": {MANAGED: label}}, "data": {FILE: roots}});
        let copies: BTreeMap<String, Json> = [
            ("good".to_owned(), copy("true", "NEW")),
            ("old".to_owned(), copy("true", "OLD")),
            ("emptied".to_owned(), json!({"metadata": {"labels": {MANAGED: "true"}}})),
            ("theirs".to_owned(), json!({"data": {FILE: "X"}})),
            ("gone".to_owned(), copy("true", "OLD")),
        ]
        .into();
        let plan = plan(&["bare", "emptied", "good", "old", "theirs"].into(), &copies, "NEW");
        let expected =
            [("bare", Step::Create), ("emptied", Step::Mend), ("old", Step::Mend), ("theirs", Step::Foreign)];
        assert_eq!(plan, expected.map(|(name, step)| (name.to_owned(), step)));
    }
}
