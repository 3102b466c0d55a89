//! Who of several controllers writes: the holder of a Lease of the API server. [`Elector`] decides, purely; [`Candidate`] asks.
//!
//! A Lease counts as held until its holder has not renewed it for its duration, measured by when this process saw it change, so that clocks
//! of machines need not agree. A holder that cannot renew stops in time, before another one begins.
#![allow(
    clippy::indexing_slicing,
    reason = "indexing a `serde_json::Value` gives null where there is nothing; what is written to is an object made here"
)]

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::Place as Member;
use crate::cluster::{Cluster, Failed, Place, Resource, Write};

const LEASES: Resource = Resource { api: "/apis/coordination.k8s.io/v1", plural: "leases" };
/// The Lease.
const NAME: &str = "mesh-controller";
/// For so long a Lease is held after it was renewed.
const DURATION_MS: u64 = 15_000;
/// A holder that has not renewed for so long does not write any more.
const DEADLINE_MS: u64 = 10_000;
/// Between renewals.
const RENEW_MS: u64 = 4_000;

/// A Lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Changes with every write.
    pub version: String,
    /// Empty: nobody.
    pub holder: String,
    /// How often it went from one holder to another.
    pub transitions: i64,
    /// When the holder got it, as it was written.
    pub acquired: Option<String>,
    /// For how long it is held.
    pub duration_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the Lease; there is none.
    Create,
    /// Take it over.
    Take,
    /// Renew it.
    Renew,
    /// Somebody else has it.
    Wait,
}

/// The decision. Times are milliseconds of any clock that only goes forward.
#[derive(Debug)]
pub struct Elector {
    me: String,
    /// The version that was seen last, and when it was seen first.
    seen: Option<(String, u64)>,
    /// When a renewal that succeeded was begun.
    renewed: Option<u64>,
}

impl Elector {
    /// For a candidate of that name, which must be nobody else's.
    pub fn new(me: String) -> Self {
        Self { me, seen: None, renewed: None }
    }

    /// What to do about the Lease as it is now.
    pub fn decide(&mut self, lease: Option<&Lease>, now: u64) -> Step {
        let Some(lease) = lease else {
            self.seen = None;
            return Step::Create;
        };
        let since = match &self.seen {
            Some((version, since)) if *version == lease.version => *since,
            _ => {
                self.seen = Some((lease.version.clone(), now));
                now
            }
        };
        if lease.holder == self.me {
            return Step::Renew;
        }
        self.renewed = None;
        let over = now.saturating_sub(since) >= lease.duration_ms;
        if lease.holder.is_empty() || over { Step::Take } else { Step::Wait }
    }

    /// The Lease was written at that time.
    pub fn wrote(&mut self, now: u64) {
        self.renewed = Some(now);
    }

    /// Somebody else was faster.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Whether this one leads.
    pub fn leads(&self, now: u64) -> bool {
        self.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < DEADLINE_MS)
    }

    /// Whether it is time to look again.
    pub fn is_due(&self, now: u64) -> bool {
        self.renewed.is_none_or(|renewed| now.saturating_sub(renewed) >= RENEW_MS)
    }
}

/// Tries to lead.
#[derive(Debug)]
pub struct Candidate {
    cluster: Cluster,
    member: Member,
    elector: Elector,
    began: Instant,
    led: bool,
}

impl Candidate {
    /// Does nothing yet.
    pub fn new(cluster: Cluster, member: Member) -> Self {
        let elector = Elector::new(member.pod.clone());
        Self { cluster, member, elector, began: Instant::now(), led: false }
    }

    /// Whether this one leads now; looks at the Lease when it is time to.
    pub async fn leads(&mut self) -> bool {
        if self.elector.is_due(self.now()) {
            self.campaign().await;
        }
        let leads = self.elector.leads(self.now());
        if leads != self.led {
            self.led = leads;
            tracing::info!(leads, "this controller {}", if leads { "leads" } else { "does not lead" });
        }
        leads
    }

    /// Lets another one lead at once.
    pub async fn resign(&mut self) {
        if !self.elector.leads(self.now()) {
            return;
        }
        let Ok(object) = self.cluster.get(self.place()).await else { return };
        if read(&object).is_some_and(|lease| lease.holder == self.member.pod) {
            let body = body(&object, &self.member, |spec, _| spec["holderIdentity"] = json!(""));
            // If it fails, the others wait until it is over.
            let _ = self.cluster.write(self.place(), Write::Replace, &body).await;
        }
    }

    async fn campaign(&mut self) {
        let object = match self.cluster.get(self.place()).await {
            Ok(object) => Some(object),
            Err(Failed::NotFound) => None,
            Err(error) => {
                tracing::debug!(%error, "the Lease cannot be read");
                return;
            }
        };
        let lease = object.as_ref().and_then(read);
        let now = self.now();
        let step = self.elector.decide(lease.as_ref(), now);
        let none = json!({});
        let object = object.as_ref().unwrap_or(&none);
        let (how, body) = match step {
            Step::Wait => return,
            Step::Create => (Write::Create, body(object, &self.member, take)),
            Step::Take => (Write::Replace, body(object, &self.member, take)),
            Step::Renew => (Write::Replace, body(object, &self.member, |_, _| {})),
        };
        match self.cluster.write(self.place(), how, &body).await {
            Ok(_) => self.elector.wrote(now),
            Err(Failed::Conflict) => self.elector.lost(),
            Err(error) => tracing::debug!(%error, ?step, "the Lease cannot be written"),
        }
    }

    fn place(&self) -> Place<'_> {
        Place { resource: LEASES, namespace: &self.member.namespace, name: NAME }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn read(object: &Json) -> Option<Lease> {
    let spec = object.get("spec").unwrap_or(&Json::Null);
    let seconds = spec.get("leaseDurationSeconds").and_then(Json::as_u64);
    Some(Lease {
        version: object.pointer("/metadata/resourceVersion")?.as_str()?.to_owned(),
        holder: spec.get("holderIdentity").and_then(Json::as_str).unwrap_or_default().to_owned(),
        transitions: spec.get("leaseTransitions").and_then(Json::as_i64).unwrap_or_default(),
        acquired: spec.get("acquireTime").and_then(Json::as_str).map(str::to_owned),
        duration_ms: seconds.map_or(DURATION_MS, |seconds| seconds.saturating_mul(1000)),
    })
}

/// A new holder.
fn take(spec: &mut Json, now: &str) {
    let before = spec.get("leaseTransitions").and_then(Json::as_i64);
    spec["leaseTransitions"] = json!(before.map_or(0, |before| before.saturating_add(1)));
    spec["acquireTime"] = json!(now);
}

/// The Lease as it is to be, held and renewed now.
fn body(object: &Json, member: &Member, change: impl FnOnce(&mut Json, &str)) -> Json {
    let now = format!("{:.6}", Timestamp::now());
    let mut body = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": NAME, "namespace": member.namespace},
        "spec": object.get("spec").filter(|spec| spec.is_object()).cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(version) = object.pointer("/metadata/resourceVersion") {
        body["metadata"]["resourceVersion"] = version.clone();
    }
    let spec = &mut body["spec"];
    spec["holderIdentity"] = json!(member.pod);
    spec["leaseDurationSeconds"] = json!(DURATION_MS / 1000);
    spec["renewTime"] = json!(now);
    change(spec, &now);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        Lease {
            version: version.into(),
            holder: holder.into(),
            transitions: 0,
            acquired: None,
            duration_ms: DURATION_MS,
        }
    }

    #[test]
    fn a_lease_is_taken_when_nobody_has_it_or_its_holder_is_silent() {
        let mut me = Elector::new("a".into());
        assert_eq!(me.decide(None, 0), Step::Create);
        assert_eq!(me.decide(Some(&lease("", "1")), 10), Step::Take, "it was given back");
        assert_eq!(me.decide(Some(&lease("b", "2")), 20), Step::Wait);
        assert_eq!(me.decide(Some(&lease("b", "2")), 19_000 - 1), Step::Take, "15 s after it was seen first");
        assert_eq!(me.decide(Some(&lease("b", "3")), 19_000), Step::Wait, "b lives");
        assert_eq!(me.decide(Some(&lease("b", "3")), 33_999), Step::Wait);
        assert_eq!(me.decide(Some(&lease("b", "3")), 34_000), Step::Take);
        assert_eq!(me.decide(Some(&lease("a", "4")), 34_100), Step::Renew);
    }

    #[test]
    fn a_holder_that_cannot_renew_stops_before_another_one_may_begin() {
        let mut me = Elector::new("a".into());
        assert!(!me.leads(0));
        assert!(me.is_due(0));
        me.wrote(1_000);
        assert!(me.leads(1_000) && !me.is_due(1_000));
        assert!(me.is_due(5_000), "time to renew");
        assert!(me.leads(10_999));
        assert!(!me.leads(11_000), "the API server is away: another one may begin at 16 000");
        me.wrote(12_000);
        assert!(me.leads(12_000));
        me.lost();
        assert!(!me.leads(12_000));
    }

    #[test]
    fn a_holder_that_finds_another_one_does_not_lead() {
        let mut me = Elector::new("a".into());
        me.wrote(0);
        assert_eq!(me.decide(Some(&lease("b", "9")), 100), Step::Wait);
        assert!(!me.leads(100));
    }

    #[test]
    fn two_candidates_never_lead_at_once_whatever_the_order() {
        // A Lease in the manner of an API server: a write with an old version is refused.
        let (mut a, mut b) = (Elector::new("a".into()), Elector::new("b".into()));
        let mut stored: Option<Lease> = None;
        let mut version = 0_u32;
        let mut rng = fastrand::Rng::with_seed(7);
        let mut leaders = [0_u32; 2];
        for now in (0..400_000_u64).step_by(500) {
            let which = usize::from(rng.bool());
            let me = if which == 0 { &mut a } else { &mut b };
            // One in three requests is lost.
            if rng.u8(0..3) > 0 && me.is_due(now) {
                let step = me.decide(stored.as_ref(), now);
                if step != Step::Wait {
                    version += 1;
                    stored = Some(lease(if which == 0 { "a" } else { "b" }, &version.to_string()));
                    me.wrote(now);
                }
            }
            assert!(!(a.leads(now) && b.leads(now)), "at {now}");
            leaders[0] += u32::from(a.leads(now));
            leaders[1] += u32::from(b.leads(now));
        }
        assert!(leaders.iter().sum::<u32>() > 400, "somebody leads most of the time: {leaders:?}");
    }

    #[test]
    fn what_is_written_keeps_what_it_must() {
        let object = json!({"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "b", "leaseTransitions": 2,
            "acquireTime": "2026-01-01T00:00:00.000000Z"}});
        let member = Member { namespace: "amime-system".into(), pod: "a".into() };
        let taken = body(&object, &member, take);
        assert_eq!(taken["metadata"]["resourceVersion"], "7");
        assert_eq!(
            (&taken["spec"]["holderIdentity"], &taken["spec"]["leaseTransitions"]),
            (&json!("a"), &json!(3))
        );
        assert_eq!(taken["spec"]["acquireTime"], taken["spec"]["renewTime"]);
        assert_eq!(
            taken["spec"]["renewTime"].as_str().map(str::len),
            Some("2026-01-01T00:00:00.000000Z".len())
        );
        let renewed = body(&object, &member, |_, _| {});
        assert_eq!(renewed["spec"]["acquireTime"], "2026-01-01T00:00:00.000000Z");
        let made = body(&json!({}), &member, take);
        assert_eq!(
            (&made["spec"]["leaseTransitions"], made["metadata"].get("resourceVersion")),
            (&json!(0), None)
        );
    }
}
