//! Rate limits of the workload's own services: which of them a request falls under, and what its caller is told. It must not know how the
//! answer is sent.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::{Duration, Instant};

use mesh_model::route::table::RouteTable;
use mesh_model::spiffe::SpiffeId;
use mesh_model::traffic::{Origin, RateKey, RateLimit, Sourced};
use mesh_traffic::fault;
use mesh_traffic::rate::{self, Bucket, Limiter, Outcome, Rate, Verdict};
use smallvec::SmallVec;

use crate::http::{Fault, Headers, RequestHead};
use crate::telemetry::{Event, Failure, WorkerTelemetry};

/// Limits that have buckets; beyond it all begin anew.
const LIMITS: usize = 256;

/// The buckets of one listener.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    limits: RefCell<Vec<Limit>>,
    /// Keyed anew in every process, so that nobody can make keys that collide.
    hasher: RandomState,
}

#[derive(Debug)]
struct Limit {
    origin: Origin,
    limit: RateLimit,
    limiter: Limiter,
}

/// What the caller is told.
#[derive(Debug)]
pub(super) struct Told {
    policy: String,
    state: String,
    retry_after: Option<String>,
    /// It may not go on.
    pub(super) refused: Option<Fault>,
}

impl Told {
    /// Into the answer.
    pub(super) fn write(&self, headers: &mut Headers) {
        let fields = [
            ("ratelimit-policy", Some(&self.policy)),
            ("ratelimit", Some(&self.state)),
            ("retry-after", self.retry_after.as_ref()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                headers.set(name, value.as_bytes()).expect("names are filtered and numbers are digits");
            }
        }
    }
}

impl Buckets {
    /// Asks all limits that the request falls under. `None`: there are none. One that refuses ends it; those before it have counted the
    /// request.
    pub(super) fn ask(
        &self,
        table: &RouteTable,
        head: &RequestHead,
        peer: Option<&SpiffeId>,
        telemetry: &WorkerTelemetry,
    ) -> Option<Told> {
        let chosen = table.decide(head);
        let policy = chosen.as_ref().map_or(table.default_policy(), |chosen| chosen.policy());
        let Sourced { value: limits, origin } = policy.rate_limits.as_ref()?;
        let label = chosen.as_ref().map_or("", |chosen| chosen.label);
        let meant = limits.iter().filter(|one| fault::fits(&one.headers, |name| head.headers.get(name)));
        let now = Instant::now();
        let mut asked = SmallVec::<[(&RateLimit, Verdict); 2]>::new();
        let mut refused: Option<(&RateLimit, Duration)> = None;
        for limit in meant {
            let verdict = self.ask_one(origin, limit, self.key(limit, head, peer, label), now);
            if verdict.bucket == Bucket::Overflow {
                telemetry.count(Event::RateKeyOverflow);
            }
            asked.push((limit, verdict));
            if let Outcome::Refused(after) = verdict.outcome {
                refused = Some((limit, after));
                break;
            }
        }
        if asked.is_empty() {
            return None;
        }
        let fault = refused.map(|(limit, _)| {
            telemetry.count(Event::RateLimited);
            let (requests, per) = (limit.requests, limit.per.as_secs_f64());
            let text = format!("{} of {origin} allows {requests} requests in {per} s", limit.name);
            Fault::new(Failure::RateLimited, text)
        });
        Some(Told {
            policy: rate::policy_header(asked.iter().map(|(limit, _)| *limit)),
            state: rate::rate_header(asked.iter().copied()),
            retry_after: refused.map(|(_, after)| rate::retry_after(after)),
            refused: fault,
        })
    }

    fn ask_one(&self, origin: &Origin, limit: &RateLimit, key: u64, now: Instant) -> Verdict {
        let mut limits = self.limits.borrow_mut();
        let known = limits.iter().position(|one| one.limit.name == limit.name && one.origin == *origin);
        let at = match known {
            Some(at) => at,
            None => {
                if limits.len() >= LIMITS {
                    limits.clear();
                }
                limits.push(Limit {
                    origin: origin.clone(),
                    limit: limit.clone(),
                    limiter: limiter(limit, now),
                });
                limits.len() - 1
            }
        };
        match limits.get_mut(at) {
            Some(one) => {
                if one.limit != *limit {
                    one.limiter = limiter(limit, now);
                    one.limit = limit.clone();
                }
                one.limiter.ask(key, now)
            }
            None => limiter(limit, now).ask(key, now),
        }
    }

    /// Which bucket. A part that the request does not have is a key like another.
    fn key(&self, limit: &RateLimit, head: &RequestHead, peer: Option<&SpiffeId>, label: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for key in &limit.keys {
            match key {
                RateKey::ClientIdentity => peer.hash(&mut hasher),
                RateKey::Header(name) => head.headers.get(name).hash(&mut hasher),
                RateKey::Route => label.hash(&mut hasher),
                RateKey::Method => head.method.as_str().hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

fn limiter(limit: &RateLimit, now: Instant) -> Limiter {
    Limiter::new(Rate::of(limit), rate::KEYS, now)
}
