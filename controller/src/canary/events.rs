//! Events of a cluster about releases: what `kubectl describe` and `kubectl get events` show. They are a courtesy: the status has the reason
//! too, so one that is lost is counted and no more. It must not know why something happened.

use mesh_release::state::{Reason, Why};
use serde_json::{Value, json};

use super::counters::ReleaseCounters;
use crate::api::ObjectKey;
use crate::clock::now_ms;
use crate::cluster::{Cluster, Place, Resource, Write};

/// Source: Kubernetes API reference, Event v1.
const EVENTS: Resource = Resource { api: "/api/v1", plural: "events" };
/// Bytes of a message that API servers take.
const MESSAGE: usize = 1024;
/// So many at once, and then one each second.
const BURST: u64 = 25;

/// What writes events.
#[derive(Debug)]
pub struct Events {
    counters: ReleaseCounters,
    bucket: Bucket,
    written: u64,
}

/// How many events may be written now.
#[derive(Debug)]
struct Bucket {
    left: u64,
    second: u64,
}

impl Bucket {
    fn take(&mut self, now: u64) -> bool {
        self.left = self.left.saturating_add(now.saturating_sub(self.second)).min(BURST);
        self.second = now;
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }
}

impl Events {
    /// Nothing is written yet.
    pub fn new(counters: ReleaseCounters) -> Self {
        Self { counters, bucket: Bucket { left: BURST, second: 0 }, written: 0 }
    }

    /// Writes what happened to an object, which is given as the API server knows it.
    pub(super) async fn write(
        &mut self,
        cluster: &Cluster,
        key: &ObjectKey,
        object: &Value,
        happened: &[Why],
    ) {
        for why in happened.iter().filter(|why| why.reason != Reason::Ignored) {
            let now = now_ms();
            if !self.bucket.take(now / 1000) {
                self.counters.events_lost.inc();
                continue;
            }
            self.written += 1;
            let name = format!("{}.{:x}.{}", key.name, now, self.written);
            let body = event(key, object, why, &name, now / 1000);
            let place = Place { resource: EVENTS, namespace: &key.namespace, name: &name };
            match cluster.write(place, Write::Create, &body).await {
                Ok(_) => self.counters.events.inc(),
                Err(error) => {
                    tracing::warn!("an event about {key} cannot be written: {error}");
                    self.counters.events_lost.inc()
                }
            };
        }
    }
}

fn event(key: &ObjectKey, object: &Value, why: &Why, name: &str, now: u64) -> Value {
    let time = i64::try_from(now).ok().and_then(|now| jiff::Timestamp::from_second(now).ok());
    let time = time.map(|time| time.to_string());
    let mut end = why.message.len().min(MESSAGE);
    while !why.message.is_char_boundary(end) {
        end -= 1;
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": &*key.namespace },
        "involvedObject": {
            "apiVersion": "amime.io/v1alpha1",
            "kind": "Canary",
            "namespace": &*key.namespace,
            "name": &*key.name,
            "uid": object.pointer("/metadata/uid"),
        },
        "type": if is_warning(why.reason) { "Warning" } else { "Normal" },
        "reason": format!("{:?}", why.reason),
        "message": why.message.get(..end),
        "source": { "component": "amime-controller" },
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

fn is_warning(reason: Reason) -> bool {
    match reason {
        Reason::EvidenceAgainst
        | Reason::TooManyFailedChecks
        | Reason::NoReadyEndpoints
        | Reason::TookTooLong
        | Reason::CheckFailed
        | Reason::MetricsMissing
        | Reason::StableNotReady
        | Reason::WeightsEdited
        | Reason::HookHolds
        | Reason::HookUnheard => true,
        Reason::Started
        | Reason::Advanced
        | Reason::Promoted
        | Reason::Aborted
        | Reason::Superseded
        | Reason::MetricsBack
        | Reason::Paused
        | Reason::Resumed
        | Reason::PlanChanged
        | Reason::Ignored => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Kind;

    #[test]
    fn so_many_events_at_once_and_then_one_each_second() {
        let mut bucket = Bucket { left: BURST, second: 100 };
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, 100), 25);
        assert_eq!(taken(&mut bucket, 103), 3);
        assert_eq!(taken(&mut bucket, 1_000), 25);
    }

    #[test]
    fn an_event_names_its_object_and_why() {
        let key = ObjectKey::new(Kind::Canary, "shop", "cart");
        let why = Why { reason: Reason::EvidenceAgainst, message: "é".repeat(1_000) };
        let event = event(&key, &json!({ "metadata": { "uid": "7" } }), &why, "cart.1.1", 0);
        assert_eq!(event["involvedObject"]["uid"], "7");
        assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("EvidenceAgainst")));
        assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(event["message"].as_str().unwrap().len(), 1024);
    }
}
