// The tree that the spans of a trace make, and where the time of each hop went. Pure. A hop is one request between two workloads: the
// caller's sidecar saw it from the outside, the callee's from the inside.

/** Roots of the tree: `{ outbound, inbound, span, children }`, earliest first. */
export function hops(spans) {
  const byParent = new Map();
  const ids = new Set(spans.map((span) => span.span_id));
  for (const span of spans) {
    if (!byParent.has(span.parent_span_id)) byParent.set(span.parent_span_id, []);
    byParent.get(span.parent_span_id).push(span);
  }
  // Spans come from other processes: they may name each other as parents.
  const seen = new Set();
  const roots = spans.filter((span) => !span.parent_span_id || !ids.has(span.parent_span_id));
  return sorted(roots.map((span) => hop(span, byParent, seen)));
}

function hop(span, byParent, seen) {
  if (seen.has(span.span_id)) return null;
  seen.add(span.span_id);
  const below = (one) => byParent.get(one?.span_id) ?? [];
  const outbound = span.side === "inbound" ? null : span;
  const inbound = outbound ? below(outbound).find((one) => one.side === "inbound" && !seen.has(one.span_id)) ?? null : span;
  if (inbound) seen.add(inbound.span_id);
  const next = [...(inbound ? below(inbound) : []), ...(outbound ? below(outbound) : [])];
  return { outbound, inbound, span: outbound ?? inbound, children: sorted(next.map((one) => hop(one, byParent, seen))) };
}

function sorted(all) {
  return all.filter(Boolean).sort((a, b) => a.span.start_us - b.span.start_us);
}

/** The tree as rows, with how deep each is. */
export function flat(roots) {
  const rows = [];
  const add = (one, depth) => {
    rows.push({ ...one, depth });
    for (const child of one.children) add(child, depth + 1);
  };
  for (const root of roots) add(root, 0);
  return rows;
}

/** Kinds of parts in the order in which they happen, with their names. */
export const PARTS = {
  discover: "finding the destination",
  fault: "fault on purpose",
  queue: "queue",
  check: "external check",
  retry: "earlier attempts",
  connect: "connect",
  tls: "TLS",
  way: "way between the sidecars",
  inside: "callee's sidecar",
  application: "application",
  upstream: "upstream",
  body: "body",
};

/**
 * Where the time of a hop went: `[{ kind, us }]` in order. With both spans the wait for the answer is the way and what the callee's side
 * says of it.
 */
export function spent({ outbound, inbound, span }) {
  const parts = [];
  const add = (kind, us) => {
    if (us > 0) parts.push({ kind, us });
  };
  const waits = (timings) => {
    add("discover", timings.discover_us);
    add("fault", timings.fault_us);
    add("queue", timings.queue_us);
    add("check", timings.check_us);
    add("retry", timings.retry_us);
    add("connect", timings.connect_us - timings.tls_us);
    add("tls", timings.tls_us);
  };
  if (!outbound || !inbound) {
    waits(span.timings);
    add(inbound ? "application" : "upstream", span.timings.upstream_us);
  } else {
    waits(outbound.timings);
    const answered = inbound.first_byte_us || inbound.duration_us;
    add("way", outbound.timings.upstream_us - answered);
    const { discover_us, fault_us, queue_us, check_us, retry_us, connect_us, upstream_us } = inbound.timings;
    add("inside", discover_us + fault_us + queue_us + check_us + retry_us + connect_us);
    add("application", upstream_us);
  }
  if (span.first_byte_us > 0) add("body", span.duration_us - span.first_byte_us);
  return parts;
}

/** Parts below this are not worth a word, microseconds. */
const SMALL = 50;

/** The same without what is too small to matter. */
export function worthTelling(hop) {
  return spent(hop).filter(({ us }) => us >= SMALL);
}

/** The part that took most of a hop, without what its callees took; null where nothing was measured. */
export function most(row) {
  const parts = spent(row);
  return parts.reduce((best, part) => (!best || part.us > best.us ? part : best), null);
}

/** Begin and end of all spans, microseconds. */
export function extent(spans) {
  const begin = Math.min(...spans.map((span) => span.start_us));
  return { begin, end: Math.max(...spans.map((span) => span.start_us + span.duration_us), begin + 1) };
}

/** What a trace is called by: its first request. */
export function title(trace) {
  const root = hops(trace.spans)[0]?.span;
  if (!root) return { request: "no spans", services: 0 };
  const services = new Set(trace.spans.map((span) => span.destination.workload || span.service.name).filter(Boolean));
  return { request: [root.method, root.path].filter(Boolean).join(" ") || `${root.protocol} connection`, root, services: services.size };
}
