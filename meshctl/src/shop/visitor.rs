//! The visitor: asks for pages of the shop at a steady rate, through its own sidecar, and counts. The rate does not
//! depend on how fast the answers are, up to a bound of visits under way. It must not know what is done with the counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::HeaderMap;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::pages::{DEGRADED, PRODUCT_COUNT, REVIEWS_VERSION};
use super::tally::{Tally, Visit};
use super::upstream::{CallError, Reply, Upstream};

/// Visits under way at once.
const MAX_UNDER_WAY: usize = 64;

/// One that walks around. Clones share the counts.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    upstream: Upstream,
    tally: Arc<Mutex<Tally>>,
}

impl Visitor {
    /// Goes through the sidecar that `upstream` leads to.
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self { upstream, tally: Arc::new(Mutex::new(Tally::new())) }
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counts are consistent after every statement.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at the front page, not counted.
    pub(crate) async fn look(&self) -> Visit {
        self.visit("/").await
    }

    /// Walks until `stop`, then waits for the visits under way.
    pub(crate) async fn walk(&self, per_second: u32, stop: CancellationToken) {
        let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        // After a pause of the machine the missed visits are made up for: the rate is what was asked for.
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way = FuturesUnordered::new();
        let mut number = 0_u64;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(()) = under_way.next() => {}
                _ = clock.tick() => {
                    if under_way.len() < MAX_UNDER_WAY {
                        under_way.push(self.counted(number));
                        number += 1;
                    } else {
                        self.tally().skip();
                    }
                }
            }
        }
        while under_way.next().await.is_some() {}
    }

    async fn counted(&self, number: u64) {
        // Every fourth visit is to the front page, which asks every service of the shop.
        let path = if number.is_multiple_of(4) {
            "/".to_owned()
        } else {
            format!("/products/{}", 1 + number % PRODUCT_COUNT)
        };
        let began = Instant::now();
        let visit = self.visit(&path).await;
        let now = Instant::now();
        self.tally().add(visit, now - began, now);
    }

    async fn visit(&self, path: &str) -> Visit {
        judge(path, self.upstream.get(&format!("http://web{path}"), &HeaderMap::new()).await)
    }
}

fn judge(path: &str, reply: Result<Reply, CallError>) -> Visit {
    match reply {
        Err(error) => Visit::Failed(format!("GET {path}: {error}")),
        Ok(reply) if !reply.status.is_success() => {
            let body = String::from_utf8_lossy(&reply.body).chars().take(200).collect::<String>();
            let failure = reply.header("x-mesh-failure");
            Visit::Failed(format!("GET {path}: {} {failure} {body}", reply.status.as_u16()))
        }
        Ok(reply) => Visit::Served {
            reviews: reply.header(REVIEWS_VERSION).to_owned(),
            degraded: !reply.header(DEGRADED).is_empty(),
        },
    }
}
