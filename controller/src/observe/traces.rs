//! Traces put together from the spans of many proxies. Pure: time is an argument. Bounded in traces, in spans of a trace and in all, and
//! in age; what finds no room is counted.
//!
//! A trace is handed on when it is whole and nothing was added for a while, or when nothing was added for longer although
//! something is missing.

use std::collections::{HashMap, HashSet, VecDeque};

use mesh_proto::report::v1::{Security, Side, Span};

use super::span::claim;
use super::stats::Reporter;

/// Traces that wait for more of their spans.
pub const MAX_OPEN: usize = 2_000;
/// Spans of one trace.
pub const MAX_SPANS: usize = 256;
/// Spans of all open traces.
pub const MAX_ALL_SPANS: usize = 20_000;
/// A whole trace waits this long for a span that makes it longer: two report intervals of a proxy.
pub const QUIET_MS: u64 = 2_500;
/// A trace with something missing waits this long.
pub const PATIENCE_MS: u64 = 8_000;
/// Proxies know within this time that more traces are wanted; a trace that began before may lack hops.
const SETTLED_MS: u64 = 3_000;
/// Traces that were handed on, so that a late span does not begin them anew; at most so many, and so long: what is busy for
/// hours must not fill up for hours.
const MAX_DONE: usize = 4_096;
const DONE_MS: u64 = 60_000;

type TraceId = [u8; 16];

/// A trace, as whole as it will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// 16 bytes.
    pub trace_id: TraceId,
    /// By start.
    pub spans: Vec<Span>,
    /// What is missing, in words; empty: the trace is whole.
    pub missing: Vec<String>,
}

/// Traces that are not handed on yet.
#[derive(Debug, Default)]
pub struct Traces {
    open: HashMap<TraceId, Open>,
    spans: usize,
    done: HashSet<TraceId>,
    done_order: VecDeque<(TraceId, u64)>,
    dropped: u64,
}

#[derive(Debug)]
struct Open {
    spans: Vec<Span>,
    last_ms: u64,
}

impl Traces {
    /// Adds spans that a proxy reported; gives those that can be, as they are believed.
    pub fn record(
        &mut self,
        reporter: Reporter<'_>,
        instance: &str,
        spans: Vec<Span>,
        now_ms: u64,
    ) -> Vec<Span> {
        let mut believed = Vec::with_capacity(spans.len());
        for mut span in spans {
            let (Ok(id), 8) = (TraceId::try_from(&*span.trace_id), span.span_id.len()) else {
                self.dropped += 1;
                continue;
            };
            if !claim(reporter, instance, &mut span) {
                self.dropped += 1;
                continue;
            }
            believed.push(span.clone());
            self.add(id, span, now_ms);
        }
        believed
    }

    /// Adds spans that another replica has looked at.
    pub fn merge(&mut self, spans: Vec<Span>, now_ms: u64) {
        for span in spans {
            match TraceId::try_from(&*span.trace_id) {
                Ok(id) if span.span_id.len() == 8 => self.add(id, span, now_ms),
                _ => self.dropped += 1,
            }
        }
    }

    fn add(&mut self, id: TraceId, span: Span, now_ms: u64) {
        let room = self.open.contains_key(&id) || self.open.len() < MAX_OPEN;
        if self.done.contains(&id) || !room || self.spans >= MAX_ALL_SPANS {
            self.dropped += 1;
            return;
        }
        let open = self.open.entry(id).or_insert_with(|| Open { spans: Vec::new(), last_ms: now_ms });
        open.last_ms = now_ms;
        if open.spans.len() >= MAX_SPANS || open.spans.iter().any(|known| known.span_id == span.span_id) {
            self.dropped += 1;
            return;
        }
        open.spans.push(span);
        self.spans += 1;
    }

    /// Takes out the traces that are finished. `demand_ms`: when it last changed how many traces proxies report.
    pub fn settle(&mut self, now_ms: u64, demand_ms: u64) -> Vec<Assembled> {
        let mut finished = Vec::new();
        self.open.retain(|id, open| {
            let quiet = now_ms.saturating_sub(open.last_ms);
            if quiet < QUIET_MS {
                return true;
            }
            let missing = missing(&open.spans);
            if !missing.is_empty() && quiet < PATIENCE_MS {
                return true;
            }
            self.spans -= open.spans.len();
            self.done.insert(*id);
            self.done_order.push_back((*id, now_ms));
            let mut spans = std::mem::take(&mut open.spans);
            spans.sort_by_key(|span| (span.start_us, span.side));
            let began_ms = spans.first().map_or(0, |span| span.start_us / 1000);
            let cut_off = demand_ms > 0 && began_ms < demand_ms + SETTLED_MS;
            if missing.is_empty() || !cut_off {
                finished.push(Assembled { trace_id: *id, spans, missing });
            }
            false
        });
        while let Some((old, at_ms)) = self.done_order.front().copied() {
            if self.done_order.len() <= MAX_DONE && now_ms < at_ms + DONE_MS {
                break;
            }
            self.done.remove(&old);
            self.done_order.pop_front();
        }
        finished.sort_by_key(|trace| trace.spans.first().map(|span| span.start_us));
        finished
    }

    /// Traces that wait.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Spans that found no room, came too late, or cannot be.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A proxy says that it threw spans away.
    pub fn lost(&mut self, spans: u64) {
        self.dropped = self.dropped.saturating_add(spans);
    }
}

/// What a trace lacks. Every call over mTLS that reached its callee has the callee's span as its child, and every span's parent is
/// there. A root is a span without parent, or the only one whose parent is not a proxy's: its caller began the trace.
pub fn missing(spans: &[Span]) -> Vec<String> {
    let ids: HashSet<&[u8]> = spans.iter().map(|span| &*span.span_id).collect();
    let answered: HashSet<&[u8]> = spans
        .iter()
        .filter(|span| span.side == Side::Inbound as i32)
        .map(|span| &*span.parent_span_id)
        .collect();
    let mut missing = Vec::new();
    let mut roots = 0;
    for span in spans {
        let mtls = span.security == Security::Mtls as i32;
        let outbound = span.side == Side::Outbound as i32;
        if outbound && mtls && span.failure.is_empty() && !answered.contains(&*span.span_id) {
            missing.push(format!("the callee's span of the call {}", call(span)));
        }
        if span.parent_span_id.is_empty() {
            roots += 1;
        } else if !ids.contains(&*span.parent_span_id) {
            if !outbound && mtls {
                missing.push(format!("the caller's span of the call {}", call(span)));
            } else {
                roots += 1;
                if roots > 1 {
                    missing.push(format!("what came before the call {}", call(span)));
                }
            }
        }
    }
    if roots > 1 && missing.is_empty() {
        missing.push(format!("what ties the {roots} beginnings together"));
    }
    missing
}

fn call(span: &Span) -> String {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let to = or(&span.destination_workload, &or(&span.service, "an unknown host"));
    format!(
        "from {} to {to} ({} {})",
        or(&span.source_workload, "outside"),
        span.method,
        span.path.chars().take(80).collect::<String>()
    )
}

#[cfg(test)]
mod tests;
