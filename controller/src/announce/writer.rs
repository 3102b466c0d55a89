//! Writes statuses that do not say what they should: one after another, within a budget, against the version that was seen last. It must not
//! know what they say.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::budget::{Budget, Change};
use super::conditions::Sayings;
use super::status::wanted;
use crate::api::ObjectKey;
use crate::cluster::{Cluster, Failed, Place, Write};
use crate::inspect::objects::Objects;
use crate::sources::kube::kinds::resource;
use crate::sources::kube::ledger::Ledger;
use crate::sources::kube::trim::Facts;
use crate::status::counters::AnnounceCounters;

/// Writes statuses.
#[derive(Debug)]
pub struct Writer {
    cluster: Cluster,
    ledger: Ledger,
    began: Instant,
    budget: Budget,
    counters: AnnounceCounters,
}

impl Writer {
    /// Writes nothing yet.
    pub fn new(cluster: Cluster, ledger: Ledger, counters: AnnounceCounters) -> Self {
        Self { cluster, ledger, began: Instant::now(), budget: Budget::new(0), counters }
    }

    /// Writes what may be written now of what is to be said. What is left is found again in the next pass, as it is then.
    pub async fn pass(&mut self, sayings: &Sayings<'_>, objects: &Objects, now: Instant) {
        let ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let text = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.budget.sweep(ms);
        for (key, generation) in objects.generations.iter() {
            let Some(facts) = self.ledger.get(key) else { continue };
            // What is said is about this generation; of a newer one it would be wrong, and is said soon.
            if facts.generation != Some(*generation) {
                continue;
            }
            let Some(wanted) = wanted(key, *generation, &facts, sayings, &text) else { continue };
            let change = if wanted.only_messages { Change::Counts } else { Change::Meaning };
            if self.budget.take(key, change, ms) {
                self.write(key, &facts, &wanted.status, ms).await;
            } else if self.budget.is_spent() {
                return;
            }
        }
    }

    async fn write(&mut self, key: &ObjectKey, facts: &Facts, status: &Json, ms: u64) {
        let place = Place { resource: resource(key.kind), namespace: &key.namespace, name: &key.name };
        let body = json!({"metadata": {"resourceVersion": facts.version}, "status": status});
        match self.cluster.write(place, Write::MergeStatus, &body).await {
            Ok(object) => {
                self.counters.writes.inc();
                let version = object.pointer("/metadata/resourceVersion").and_then(Json::as_str);
                let status = object.get("status").cloned().unwrap_or(Json::Null);
                self.ledger.wrote(key, &facts.version, version.unwrap_or_default(), status);
            }
            // It is seen as it is now, or to be gone, soon.
            Err(Failed::Conflict | Failed::NotFound) => tracing::debug!(%key, "changed meanwhile"),
            Err(error) => {
                tracing::warn!(%key, %error, "the status cannot be written; tried again later");
                self.counters.failures.inc();
                self.budget.failed(key, ms);
            }
        }
    }
}
