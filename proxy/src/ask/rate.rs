//! Whether there were too many requests: a service counts them for all proxies, by Envoy's rate limit API. What its silence means is the
//! policy's to say. It must not know which policy.
//!
//! Source: envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit.

use std::time::Duration;

use mesh_model::asking::{GlobalRate, Known, Unanswered};
use mesh_model::policy::Claims;
use mesh_model::spiffe::SpiffeId;
use mesh_model::traffic::{Origin, Sourced};
use mesh_proto::envoy::rate::{self, Counted, Limit, Room};
use mesh_traffic::rate::{quota_header, retry_after, standing_header};

use super::{Asker, Edits, change};
use crate::http::{Fault, Headers, RequestHead};
use crate::telemetry::{Event, Failure};

/// What is known of a request beside its head.
#[derive(Debug, Clone, Copy)]
pub struct Counting<'a> {
    /// Who calls, by its certificate.
    pub peer: Option<&'a SpiffeId>,
    /// The rule that it takes; empty: none.
    pub route: &'a str,
    /// Claims of a token that was verified.
    pub claims: Option<&'a Claims>,
}

/// What came of a question about a request.
#[derive(Debug, Default)]
pub struct Said {
    policy: String,
    state: String,
    retry_after: Option<String>,
    response: Edits,
    /// It may not go on.
    pub refused: Option<Fault>,
}

impl Said {
    /// Into the answer, beside what local limits have said there.
    pub fn write(&self, headers: &mut Headers) {
        for (name, value) in [("ratelimit-policy", &self.policy), ("ratelimit", &self.state)] {
            if value.is_empty() {
                continue;
            }
            let all = match headers.get(name) {
                Some(there) => [there, value.as_bytes()].join(&b", "[..]),
                None => value.as_bytes().to_vec(),
            };
            told(headers, name, &all);
        }
        if let Some(after) = &self.retry_after {
            told(headers, "retry-after", after.as_bytes());
        }
        self.response.write(headers);
    }
}

fn told(headers: &mut Headers, name: &str, value: &[u8]) {
    if let Err(error) = headers.set(name, value) {
        tracing::debug!(name, %error, "what a service has counted cannot be told");
    }
}

impl Asker {
    /// Has a request counted, and changes its head as the answer says. `None`: it has nothing that is counted.
    pub async fn count(
        &self,
        Sourced { value: rate, origin }: &Sourced<GlobalRate>,
        head: &mut RequestHead,
        counting: Counting<'_>,
    ) -> Option<Said> {
        let Counting { peer, route, claims } = counting;
        let descriptors = rate.describe(&Known { head, peer, route, claims });
        if descriptors.is_empty() {
            return None;
        }
        let message = rate::question(&rate.domain, descriptors);
        let asked = self.call(&rate.target, rate::SHOULD_RATE_LIMIT, &message, head, rate.timeout).await;
        let counted = asked.and_then(|answer| {
            rate::answer(&answer).map_err(|error| format!("its answer cannot be used: {error}"))
        });
        match counted {
            Ok(Counted { room, limits, request, response }) => {
                change(&mut head.headers, &request);
                Some(Said { response: Edits(response), ..self.said(rate, room, &limits, origin) })
            }
            Err(why) => {
                self.worker.telemetry.count(Event::RateLimitUnavailable);
                tracing::debug!(%why, %origin, "a limit was not counted");
                let refused = match rate.unanswered {
                    Unanswered::Pass => None,
                    Unanswered::Refuse => {
                        let text = format!(
                            "{origin} wants requests counted, and the service that counts gave no answer"
                        );
                        Some(Fault::new(Failure::RateLimitUnavailable, text))
                    }
                };
                Some(Said { refused, ..Said::default() })
            }
        }
    }

    fn said(&self, rate: &GlobalRate, room: Room, limits: &[Limit], origin: &Origin) -> Said {
        let name =
            |limit: &Limit| if limit.name.is_empty() { rate.domain.clone() } else { limit.name.clone() };
        let policy = quota_header(limits.iter().map(|limit| (name(limit), limit.requests, limit.per)));
        let state = standing_header(limits.iter().map(|limit| (name(limit), limit.remaining, limit.reset)));
        let refused = (room == Room::None).then(|| {
            self.worker.telemetry.count(Event::RateLimited);
            let text =
                format!("{origin} has requests counted for all callers together, and there were too many");
            Fault::new(Failure::RateLimited, text)
        });
        let full = limits.iter().filter(|limit| limit.room == Room::None);
        let after = full.map(|limit| limit.reset).max().unwrap_or(Duration::from_secs(1));
        let retry_after = refused.is_some().then(|| retry_after(after));
        Said { policy, state, retry_after, refused, response: Edits::default() }
    }
}
