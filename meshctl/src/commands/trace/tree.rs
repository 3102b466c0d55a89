//! The tree that the spans of a trace make. Pure. A hop is one request between two workloads: the caller's proxy saw it
//! from the outside, the callee's from the inside. It must not know how trees are shown.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::report::v1::{Side, Span};

/// One request between two workloads and what followed from it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hop<'a> {
    /// As the caller's proxy saw it; None when that one did not report it or does not exist.
    pub(crate) outbound: Option<&'a Span>,
    /// As the callee's proxy saw it.
    pub(crate) inbound: Option<&'a Span>,
    /// What the callee asked of others on behalf of this request, earliest first.
    pub(crate) children: Vec<Self>,
}

impl<'a> Hop<'a> {
    /// The span that says most: the caller's includes the network.
    pub(crate) fn span(&self) -> Option<&'a Span> {
        self.outbound.or(self.inbound)
    }

    fn start(&self) -> u64 {
        self.span().map_or(0, |span| span.start_us)
    }
}

/// An id as it is compared.
fn id(bytes: &bytes::Bytes) -> &[u8] {
    bytes
}

/// The roots: one for a whole trace, more when hops between are missing.
pub(crate) fn build(spans: &[Span]) -> Vec<Hop<'_>> {
    let mut by_parent: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| id(&span.span_id)).collect();
    for span in spans {
        by_parent.entry(id(&span.parent_span_id)).or_default().push(span);
    }
    let orphan = |span: &&Span| span.parent_span_id.is_empty() || !ids.contains(id(&span.parent_span_id));
    let mut seen = BTreeSet::new();
    let mut roots: Vec<Hop<'_>> =
        spans.iter().filter(orphan).filter_map(|span| hop(span, &by_parent, &mut seen)).collect();
    roots.sort_by_key(Hop::start);
    roots
}

/// `seen` guards against spans that name each other as parents: they come from other processes.
fn hop<'a>(
    span: &'a Span,
    by_parent: &BTreeMap<&[u8], Vec<&'a Span>>,
    seen: &mut BTreeSet<&'a [u8]>,
) -> Option<Hop<'a>> {
    if !seen.insert(id(&span.span_id)) {
        return None;
    }
    let below = |id: &[u8]| by_parent.get(id).cloned().unwrap_or_default();
    let is_inbound = |span: &&Span| span.side() == Side::Inbound;
    let (outbound, inbound) = match span.side() {
        Side::Inbound => (None, Some(span)),
        Side::Outbound | Side::Unspecified => {
            (Some(span), below(&span.span_id).into_iter().find(|below| is_inbound(below)))
        }
    };
    if let (Some(_), Some(inbound)) = (outbound, inbound) {
        seen.insert(id(&inbound.span_id));
    }
    let mut next = inbound.map(|inbound| below(&inbound.span_id)).unwrap_or_default();
    // A second inbound span below an outbound one is a retry's: it is shown as a hop of its own.
    next.extend(outbound.map(|outbound| below(&outbound.span_id)).unwrap_or_default());
    let mut children: Vec<Hop<'_>> = next.into_iter().filter_map(|span| hop(span, by_parent, seen)).collect();
    children.sort_by_key(Hop::start);
    Some(Hop { outbound, inbound, children })
}

/// Pairs of caller and called service that `expected` names and the trace does not have.
pub(crate) fn missing_hops(spans: &[Span], expected: &[(&str, &str)]) -> Vec<String> {
    let has = |(from, to): &(&str, &str), side: Side| {
        spans.iter().any(|span| span.side() == side && span.source_workload == *from && leads_to(span, to))
    };
    let mut missing = Vec::new();
    for hop in expected {
        for side in [Side::Outbound, Side::Inbound] {
            if !has(hop, side) {
                let seen_by = if side == Side::Outbound { "caller" } else { "callee" };
                missing.push(format!("{} → {}, as its {seen_by} saw it", hop.0, hop.1));
            }
        }
    }
    missing
}

/// The callee's proxy may not know by which Service it was called, but it knows its own name.
fn leads_to(span: &Span, service: &str) -> bool {
    span.service == service || span.destination_workload.split("-v").next() == Some(service)
}

#[cfg(test)]
pub(crate) mod tests;
