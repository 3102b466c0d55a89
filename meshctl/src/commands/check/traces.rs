//! Counts traces while the check runs. It must not know what is made of the counts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesh_proto::inspect::v1::{TraceRequest, TraceResponse};
use tokio_util::sync::CancellationToken;

use crate::client::inspect::{Inspect, InspectError};
use crate::commands::trace::tree::missing_hops;
use crate::shop::VISITOR;

/// One trace in fifty: under the check's load, about eight a second.
const SAMPLE_PPM: u32 = 20_000;
/// Sidecars learn one after the other that traces are wanted; those that began before this are not judged.
const SETTLING: Duration = Duration::from_secs(3);
/// Traces still come for a while after the load has ended.
const TAIL: Duration = Duration::from_secs(5);
/// Gaps that are kept in words.
const KEPT_GAPS: usize = 5;

/// What every front page asks of whom.
const FRONT_PAGE: [(&str, &str); 6] = [
    (VISITOR, "web"),
    ("web", "catalog"),
    ("web", "reviews"),
    ("web", "cart"),
    ("web", "recommend"),
    ("cart", "stock"),
];
/// What every page of a product asks of whom.
const PRODUCT_PAGE: [(&str, &str); 3] = [(VISITOR, "web"), ("web", "catalog"), ("web", "reviews")];

/// How many traces there were and how many were not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TraceCount {
    pub(crate) seen: u64,
    pub(crate) incomplete: u64,
    /// The first few gaps in words.
    pub(crate) gaps: Vec<String>,
}

/// Counts until `end` and a little longer.
pub(crate) async fn count(inspect: &Inspect, end: CancellationToken) -> Result<TraceCount, InspectError> {
    let began_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + SETTLING;
    let began_us = u64::try_from(began_us.as_micros()).unwrap_or(u64::MAX);
    let request = TraceRequest { sample_ppm: SAMPLE_PPM, ..TraceRequest::default() };
    let mut traces = inspect.trace(request).await?;
    let mut count = TraceCount::default();
    let mut until: Option<Instant> = None;
    loop {
        let tail = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = end.cancelled(), if until.is_none() => until = Some(Instant::now() + TAIL),
            () = tail => return Ok(count),
            trace = traces.next() => match trace? {
                Some(trace) => count.add(&trace, began_us),
                None => return Ok(count),
            }
        }
    }
}

impl TraceCount {
    /// Judges a trace that began after `since_us`, Unix microseconds.
    fn add(&mut self, trace: &TraceResponse, since_us: u64) {
        let start = trace.spans.iter().map(|span| span.start_us).min().unwrap_or_default();
        if start < since_us {
            return;
        }
        self.seen += 1;
        let gaps = gaps(trace);
        if !gaps.is_empty() {
            self.incomplete += 1;
            let room = KEPT_GAPS.saturating_sub(self.gaps.len());
            self.gaps.extend(gaps.into_iter().take(room));
        }
    }
}

/// What the controller misses, and what the shop is known to ask and is not there.
fn gaps(trace: &TraceResponse) -> Vec<String> {
    let front = trace.spans.iter().any(|span| span.source_workload == VISITOR && span.path == "/");
    let expected: &[(&str, &str)] = if front { &FRONT_PAGE } else { &PRODUCT_PAGE };
    let mut gaps = trace.missing.clone();
    if !trace.complete && gaps.is_empty() {
        gaps.push("a hop that the controller does not name".to_owned());
    }
    gaps.extend(missing_hops(&trace.spans, expected));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::trace::tree::tests::shop;

    fn trace(complete: bool) -> TraceResponse {
        TraceResponse { spans: shop(), complete, ..TraceResponse::default() }
    }

    #[test]
    fn a_front_page_has_six_hops_even_if_the_controller_thinks_it_whole() {
        let gaps = gaps(&trace(true));
        // The sample asks neither the catalog nor for recommendations.
        assert_eq!(gaps.len(), 4, "{gaps:?}");
        assert!(gaps[0].starts_with("web → catalog"), "{gaps:?}");
    }

    #[test]
    fn traces_from_before_all_sidecars_knew_are_not_judged() {
        let mut count = TraceCount::default();
        count.add(&trace(false), 2_000_000);
        assert_eq!(count, TraceCount::default());
        count.add(&trace(false), 1_000_000);
        assert_eq!((count.seen, count.incomplete), (1, 1));
        assert!(count.gaps.len() <= KEPT_GAPS);
    }
}
