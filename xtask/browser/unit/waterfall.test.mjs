// The tree of a trace, and where its time went.

import assert from "node:assert/strict";
import test from "node:test";
import { extent, flat, hops, most, spent, title, worthTelling } from "../../../controller/src/dashboard/assets/waterfall.js";

const NONE = { discover_us: 0, queue_us: 0, check_us: 0, connect_us: 0, tls_us: 0, upstream_us: 0, retry_us: 0, fault_us: 0 };
const span = (span_id, parent_span_id, side, start_us, duration_us, more = {}) => ({
  span_id, parent_span_id, side, start_us, duration_us, first_byte_us: duration_us, method: "GET", path: `/${span_id}`, protocol: "http", timings: NONE,
  source: { namespace: "shop", workload: "web" }, service: { namespace: "shop", name: "cart" }, destination: { namespace: "shop", workload: "cart" }, ...more,
});

const TRACE = [
  span("a", "", "outbound", 0, 1000, { timings: { ...NONE, connect_us: 100, tls_us: 60, upstream_us: 800 }, first_byte_us: 900 }),
  span("b", "a", "inbound", 120, 700, { timings: { ...NONE, queue_us: 50, upstream_us: 600 }, first_byte_us: 650 }),
  span("c", "b", "outbound", 300, 100),
  span("d", "b", "outbound", 200, 50),
];

test("both views of a request are one hop, what follows from it is below, earliest first", () => {
  for (const spans of [TRACE, [...TRACE].reverse()]) {
    assert.deepEqual(flat(hops(spans)).map(({ span, inbound, depth }) => [span.span_id, inbound?.span_id, depth]), [["a", "b", 0], ["d", undefined, 1], ["c", undefined, 1]]);
  }
});

test("spans that name each other as parents end, and one without its parent is a root", () => {
  assert.deepEqual(hops([span("a", "b", "outbound", 0, 1), span("b", "a", "outbound", 0, 1)]), []);
  assert.equal(hops([span("a", "gone", "inbound", 0, 1)]).length, 1);
});

test("the parts of a hop are told in their order, and none is counted twice", () => {
  const [root] = hops(TRACE);
  assert.deepEqual(spent(root).map(({ kind, us }) => `${kind} ${us}`), ["connect 40", "tls 60", "way 150", "inside 50", "application 600", "body 100"]);
  assert.ok(spent(root).reduce((sum, { us }) => sum + us, 0) <= 1000);
  assert.deepEqual(worthTelling(root).map(({ kind }) => kind), ["tls", "way", "inside", "application", "body"]);
  assert.equal(most(root).kind, "application");
  assert.equal(most(hops([span("x", "", "outbound", 0, 0)])[0]), null);
});

test("a trace has a name and a length", () => {
  assert.deepEqual(extent(TRACE), { begin: 0, end: 1000 });
  assert.equal(title({ spans: TRACE }).request, "GET /a");
  assert.equal(title({ spans: [] }).request, "no spans");
});
