// What answers mean together, numbers as people read them, addresses of views, events, history.

import assert from "node:assert/strict";
import test from "node:test";
import { parser } from "../../../controller/src/dashboard/assets/events.js";
import { burn, count, failed, millis, percent, rate, span, success, tone } from "../../../controller/src/dashboard/assets/format.js";
import { burns, certificate, failureKinds, graph, MOST_NODES, promise, promisedOf, promisedTo, steepest, wrong } from "../../../controller/src/dashboard/assets/model.js";
import { href, parse, seconds } from "../../../controller/src/dashboard/assets/route.js";
import { lines, reach, slots } from "../../../controller/src/dashboard/assets/spark.js";
import { compare } from "../../../controller/src/dashboard/assets/table.js";

const edge = (from, to, more = {}) => ({
  source: { namespace: from ? "shop" : "", workload: from }, service: { namespace: "shop", name: to }, destination: { namespace: "shop", workload: to },
  security: "mtls", unsecured: null, reason: "", requests: 10, failures: 0, rps: 1, p99_ms: 5, bytes_in: 0, bytes_out: 0, ...more,
});

test("edges between two workloads are one line, with what is worst of them", () => {
  const plain = { security: "plaintext", unsecured: "caller-outside", reason: "no proxy", requests: 30, failures: 3, rps: 3, p99_ms: 9 };
  const { nodes, links } = graph([edge("web", "cart"), edge("web", "cart", plain), edge("", "web", plain)]);
  assert.deepEqual(nodes.map((node) => node.id), ["-/-", "shop/cart", "shop/web"]);
  const line = links.find((link) => link.from === "shop/web");
  assert.deepEqual([line.requests, line.failures, line.rps, line.p99_ms, line.secured, line.reason], [40, 3, 4, 9, false, "no proxy"]);
});

test("a picture has as many boxes as one can read, and says how many are left out", () => {
  const edges = Array.from({ length: 100 }, (_, i) => edge("web", `s${i}`, { requests: i }));
  const { nodes, links, left } = graph(edges);
  assert.deepEqual([nodes.length, links.length, left], [MOST_NODES, MOST_NODES - 1, 101 - MOST_NODES]);
  assert.ok(nodes.some((node) => node.name === "s99") && !nodes.some((node) => node.name === "s1"));
});

test("one failure that both sides told of is one", () => {
  const row = (side) => ({ side, source: { namespace: "shop", workload: "web" }, service: { name: "cart" }, destination: { workload: "cart" }, status: 503, grpc_status: null, failure: "" });
  assert.deepEqual(failureKinds([row("inbound"), row("outbound")]).map((one) => one.side), ["outbound"]);
  assert.equal(failureKinds([row("inbound")]).length, 1);
});

test("what is wrong with an object is said with its field", () => {
  const condition = { type: "ResolvedRefs", status: false, reason: "BackendNotFound", field: "spec.rules[0]", message: "there is none" };
  assert.equal(wrong({ conditions: [condition, { ...condition, status: true }] }), "BackendNotFound: spec.rules[0]: there is none");
});

test("a certificate is late below a quarter of its life", () => {
  const row = { not_before: 0, not_after: 1000 };
  assert.deepEqual([100, 760, 1000].map((now) => certificate(row, now).tone), ["good", "warn", "bad"]);
  assert.equal(certificate({ not_after: 0 }, 5).word, "not reported yet");
});

test("an objective is said in words, found by what it is about, and ordered by how fast it burns", () => {
  const one = (more) => ({ policy: { namespace: "shop", name: "p" }, kind: "availability", ratio: 0.999, under_ms: null, window_seconds: 30 * 86_400, service: { namespace: "shop", name: "cart", port: 0 }, route: "", alert: "none", burns: [{ window_seconds: 300, requests: 10, bad: 1, rate: 100 }, { window_seconds: 3600, requests: 100, bad: 0, rate: 0.5 }], ...more });
  assert.equal(promise(one()), "99.9% good in 30d");
  assert.equal(promise(one({ kind: "latency", ratio: 0.99, under_ms: 250 })), "99% under 250ms in 30d");
  assert.deepEqual([one(), one({ service: { namespace: "shop", name: "cart", port: 80 } }), one({ route: "httproute/shop/a#0" })].map(promisedTo), ["cart.shop", "cart.shop:80", "httproute/shop/a#0"]);
  assert.equal(burns(one(), 3600).rate, 0.5);
  assert.equal(burns(one(), 60), undefined);
  assert.deepEqual(["none", "fast", "slow"].map((alert) => steepest(one({ alert }))), [0.5, 2e9 + 0.5, 1e9 + 0.5]);
  const all = [one(), one({ service: { namespace: "shop", name: "web", port: 0 } }), one({ route: "httproute/shop/a" }), one({ route: "httproute/shop/b#1" })];
  assert.deepEqual(promisedOf(all, "shop", "cart", [{ route: "httproute/shop/a#0" }, { route: "" }]), [all[0], all[2]]);
  assert.deepEqual([0, 0.016, 1.94, 14.6].map(burn), ["0.00x", "0.02x", "1.9x", "15x"]);
});

test("numbers are rounded so that they do not lie", () => {
  assert.deepEqual([null, 1, 0.99999, 0.5, 0].map(percent), ["–", "100%", "99.99%", "50.00%", "0.00%"]);
  assert.deepEqual([0, 0.04, 3.14, 420.4, 12_345].map(rate), ["0", "<0.1", "3.1", "420", "12.3k"]);
  assert.deepEqual([0, 0.42, 4.2, 420.4, 4204].map(millis), ["–", "0.42 ms", "4.2 ms", "420 ms", "4.20 s"]);
  assert.deepEqual([0, 59, 3600, 3660, 90_000].map(span), ["0s", "59s", "1h", "1h 1m", "1d 1h"]);
  assert.deepEqual([9_999, 10_000, 2_000_000].map(count), ["9999", "10.0k", "2.0M"]);
  assert.deepEqual([[0, 0], [100, 0], [100, 5], [100, 6]].map(([requests, failures]) => tone({ requests, failures })), ["idle", "good", "warn", "bad"]);
  assert.equal(success({ requests: 0 }), null);
  assert.deepEqual([[200, null], [404, null], [503, null], [200, 14], [200, 5]].map(([status, grpc_status]) => failed({ status, grpc_status })), [false, false, true, true, false]);
});

test("an address is a view and back, whatever is in it", () => {
  const path = ["svc", "shop", "a/b ?#é"];
  const address = href(path, { ns: "", window: 600, q: "x&y=1" });
  assert.deepEqual(parse(address), { path, query: { window: "600", q: "x&y=1" } });
  assert.deepEqual(parse("#/svc/%ff").path, ["svc", "%ff"]);
  assert.deepEqual([seconds({ window: "300" }, 60), seconds({ window: "9999" }, 60), seconds({}, 60)], [300, 60, 60]);
});

test("events are whole however they arrive", () => {
  const text = 'data: {"a":1}\n\n: here\n\nevent: end\ndata: "time"\n\n';
  for (const size of [1, 3, 7, text.length]) {
    const parse = parser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parse(text.slice(at, at + size)));
    assert.deepEqual(events, [{ type: "message", data: { a: 1 } }, { type: "message", data: undefined }, { type: "end", data: "time" }], `${size}`);
  }
  assert.throws(() => parser()("x".repeat(4_000_001)), /too long/);
});

test("history has no gaps, and where nothing was there is no line", () => {
  const history = [{ time: 1000, requests: 5 }, { time: 1020, requests: 7 }, { time: 1060, requests: 9 }];
  const values = slots(history, 1065, 60, (point) => point.requests);
  assert.deepEqual(values, [5, null, 7, null, null, null], "the slot that is under way is left out");
  assert.deepEqual(lines(values, 50, 10, 10), ["M0.0,5.0 h1.5", "M20.0,3.0 h1.5"]);
  assert.equal(reach([{ history }], 3600, 1065), 300);
  assert.equal(reach([{}], 3600, 1065), 3600);
});

test("numbers sort as numbers, names as names with numbers in them", () => {
  assert.deepEqual([10, 9, null].sort(compare), [null, 9, 10]);
  assert.deepEqual(["v10", "v2"].sort(compare), ["v2", "v10"]);
});
