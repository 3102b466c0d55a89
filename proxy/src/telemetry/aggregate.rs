//! Sums over all workers: totals for Prometheus, and what the controller has not been told yet. Pure; it must not know
//! channels, streams or clocks.
//!
//! Whatever enters at [`Aggregate::merge`] is in the totals once and in exactly one batch of [`Aggregate::take_batch`];
//! beyond the bounds series fold into overflow series and spans are dropped, both counted.

use std::collections::{HashMap, VecDeque};

use super::compared::{Compared, Comparisons};
use super::decisions::Decisions;
use super::example::Examples;
use super::histogram::Histogram;
use super::outside::Outside;
use super::span::Recorded;
use super::totals::Totals;
use super::worker::{SeriesDelta, WorkerDelta};
use super::{Event, SeriesKey, Side, SpanRecord};
use mesh_compare::Found;

#[cfg(test)]
mod tests;

/// Series in what waits for the controller.
pub(crate) const MAX_SERIES: usize = 4_000;
/// Spans that wait for the controller.
pub(crate) const MAX_SPANS: usize = 2_000;
/// Spans that wait for a collector.
pub(crate) const MAX_EXPORTED: usize = 4_000;

/// All that the control thread knows about traffic.
#[derive(Debug)]
pub(crate) struct Aggregate {
    limit: usize,
    pub(crate) totals: Totals,
    pending: HashMap<SeriesKey, SeriesDelta>,
    spans: VecDeque<SpanRecord>,
    spans_dropped_pending: u64,
    pub(crate) spans_dropped: u64,
    exports_spans: bool,
    exported: VecDeque<SpanRecord>,
    exported_dropped: u64,
    pub(crate) overflows: u64,
    pub(crate) outside: Outside,
    pub(crate) decisions: Decisions,
    examples: Examples,
    pub(crate) examples_dropped: u64,
    comparisons: Comparisons,
    pub(crate) events: [u64; Event::ALL.len()],
    pub(crate) opened: [u64; 2],
    pub(crate) closed: [u64; 2],
    /// Requests and connections that ended, inbound and outbound.
    pub(crate) ended: [u64; 2],
    /// Their time in this proxy, since the controller was told last.
    own: [Histogram; 2],
}

impl Default for Aggregate {
    fn default() -> Self {
        Self::with_limit(MAX_SERIES)
    }
}

impl Aggregate {
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            totals: Totals::with_limit(limit),
            pending: HashMap::new(),
            spans: VecDeque::new(),
            spans_dropped_pending: 0,
            spans_dropped: 0,
            exports_spans: false,
            exported: VecDeque::new(),
            exported_dropped: 0,
            overflows: 0,
            outside: Outside::default(),
            decisions: Decisions::default(),
            examples: Examples::default(),
            examples_dropped: 0,
            comparisons: Comparisons::default(),
            events: [0; Event::ALL.len()],
            opened: [0; 2],
            closed: [0; 2],
            ended: [0; 2],
            own: Default::default(),
        }
    }

    /// Takes in what a worker counted.
    pub(crate) fn merge(&mut self, delta: WorkerDelta) {
        for (key, added) in delta.series {
            let [inbound, outbound] = &mut self.ended;
            *(if key.side == Side::Inbound { inbound } else { outbound }) += added.requests;
            self.overflows += self.totals.add(&key, &added)
                + u64::from(fold(&mut self.pending, self.limit, &key.without_method(), &added));
        }
        self.overflows += delta.overflows;
        for ((seen, name), passed) in &delta.outside.names {
            self.outside.add(*seen, name, *passed);
        }
        for (direction, verdict, policy, count) in delta.decisions.iter() {
            self.decisions.add(direction, verdict, policy, count);
        }
        let before = self.examples.dropped;
        self.examples.merge(delta.examples);
        self.examples_dropped += self.examples.dropped - before;
        for (own, added) in self.own.iter_mut().zip(&delta.own) {
            own.merge(added);
        }
        add_all(&mut self.events, &delta.events);
        add_all(&mut self.opened, &delta.opened);
        add_all(&mut self.closed, &delta.closed);
        self.drop_spans(delta.spans_dropped);
        if self.exports_spans {
            // Of what a worker dropped nobody knows any more for whom it was.
            self.exported_dropped += delta.spans_dropped;
        }
        for span in delta.spans {
            self.export(&span);
            if self.spans.len() < MAX_SPANS {
                self.spans.push_back(span);
            } else {
                self.drop_spans(1);
            }
        }
    }

    /// Keeps it for a collector, if there is one and it is not for operators alone.
    fn export(&mut self, span: &SpanRecord) {
        if !self.exports_spans || span.recorded == Recorded::Asked {
            return;
        }
        if self.exported.len() < MAX_EXPORTED {
            self.exported.push_back(span.clone());
        } else {
            self.exported_dropped += 1;
        }
    }

    /// Whether spans are kept for a collector from now on.
    pub(crate) fn export_spans(&mut self, wanted: bool) {
        self.exports_spans = wanted;
        if !wanted {
            self.exported = VecDeque::new();
            self.exported_dropped = 0;
        }
    }

    /// Takes up to `limit` spans for a collector, oldest first.
    pub(crate) fn take_exported(&mut self, limit: usize) -> Vec<SpanRecord> {
        let count = self.exported.len().min(limit);
        self.exported.drain(..count).collect()
    }

    /// How many of them were dropped since the last call.
    pub(crate) fn take_exported_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.exported_dropped)
    }

    fn drop_spans(&mut self, count: u64) {
        self.spans_dropped += count;
        self.spans_dropped_pending += count;
    }

    /// Connections that are open now.
    pub(crate) fn open_connections(&self) -> u64 {
        self.opened.iter().sum::<u64>().saturating_sub(self.closed.iter().sum())
    }

    /// Whether there is anything that the controller has not been told.
    pub(crate) fn has_batch(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes all deltas that the controller has not been told yet.
    pub(crate) fn take_batch(&mut self) -> Vec<(SeriesKey, SeriesDelta)> {
        self.pending.drain().collect()
    }

    /// Takes in what was found between answers.
    pub(crate) fn compared(&mut self, of: &Compared, found: Found, own: Option<Found>, is_cut: bool) {
        let dropped = self.comparisons.add(of, found, own);
        for (event, times) in [(Event::CompareDropped, dropped), (Event::CompareCut, u64::from(is_cut))] {
            if let Some(count) = self.events.get_mut(event.index()) {
                *count += times;
            }
        }
    }

    /// Takes what was found since the last call.
    pub(crate) fn take_comparisons(&mut self) -> Comparisons {
        std::mem::take(&mut self.comparisons)
    }

    /// Takes the examples of failures since the last call.
    pub(crate) fn take_examples(&mut self) -> Examples {
        std::mem::take(&mut self.examples)
    }

    /// Takes the times in this proxy since the last call.
    pub(crate) fn take_own(&mut self) -> [Histogram; 2] {
        std::mem::take(&mut self.own)
    }

    /// Takes up to `limit` spans, oldest first, and how many were dropped since the last call.
    pub(crate) fn take_spans(&mut self, limit: usize) -> (Vec<SpanRecord>, u64) {
        let count = self.spans.len().min(limit);
        (self.spans.drain(..count).collect(), std::mem::take(&mut self.spans_dropped_pending))
    }
}

/// Adds to the key's series, or to its overflow series when there is no room; says whether the latter.
fn fold(
    map: &mut HashMap<SeriesKey, SeriesDelta>,
    limit: usize,
    key: &SeriesKey,
    added: &SeriesDelta,
) -> bool {
    if let Some(series) = map.get_mut(key) {
        series.merge(added);
        return false;
    }
    if map.len() < limit {
        map.insert(key.clone(), added.clone());
        return false;
    }
    map.entry(key.overflow()).or_default().merge(added);
    true
}

fn add_all<const N: usize>(to: &mut [u64; N], from: &[u64; N]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
