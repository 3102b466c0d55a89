// What answers mean together: workloads and the calls between them as a graph, who is behind a service, what is wrong. Pure.

import { tone } from "./format.js";

/** Most workloads in one picture; the busiest are shown. */
export const MOST_NODES = 60;

/** The name of a thing within its namespace, for keys and links. */
export function id(namespace, name) {
  return `${namespace || "-"}/${name || "-"}`;
}

/** Who called, by an edge. */
export function source(edge) {
  return { namespace: edge.source.namespace, name: edge.source.workload };
}

/** Who was called: the workload that answered, or the service where none did. */
export function target(edge) {
  return edge.destination.workload
    ? { namespace: edge.destination.namespace, name: edge.destination.workload }
    : { namespace: edge.service.namespace, name: edge.service.name };
}

/** Whether nobody else reads it. */
export function secured(edge) {
  return edge.security === "mtls" || edge.security === "tls" || edge.unsecured === "itself" || edge.security === "unknown";
}

/**
 * Edges (of `edges`) and workloads (rows of `stat deploy`) as `{ nodes, links, left }`: a link is all traffic from one to another; `left` is
 * how many nodes found no room.
 */
export function graph(edges, workloads = []) {
  const nodes = new Map();
  const node = ({ namespace, name }) => {
    const key = id(namespace, name);
    if (!nodes.has(key)) {
      nodes.set(key, { id: key, namespace, name: name || "outside", outside: !name, requests: 0, failures: 0, rps: 0, p99_ms: 0, asked: 0, known: false });
    }
    return nodes.get(key);
  };
  for (const row of workloads) {
    const { requests, failures, rps, p99_ms, meshed, meshed_of } = row;
    Object.assign(node(row), { requests, failures, rps, p99_ms, known: true, meshed, meshed_of });
  }
  const links = new Map();
  for (const edge of edges) {
    const [from, to] = [node(source(edge)), node(target(edge))];
    to.asked += edge.requests;
    from.asked += edge.requests;
    if (!to.known) {
      to.requests += edge.requests;
      to.failures += edge.failures;
      to.rps += edge.rps;
      to.p99_ms = Math.max(to.p99_ms, edge.p99_ms);
    }
    const key = `${from.id}>${to.id}`;
    const link = links.get(key) ?? { id: key, from: from.id, to: to.id, requests: 0, failures: 0, rps: 0, p99_ms: 0, secured: true, reason: "", edges: [] };
    link.requests += edge.requests;
    link.failures += edge.failures;
    link.rps += edge.rps;
    // Quantiles do not add up; the slowest part is told.
    link.p99_ms = Math.max(link.p99_ms, edge.p99_ms);
    if (!secured(edge)) {
      link.secured = false;
      link.reason ||= edge.reason;
    }
    link.edges.push(edge);
    links.set(key, link);
  }
  const busiest = [...nodes.values()].sort((a, b) => b.asked - a.asked || (a.id < b.id ? -1 : 1));
  const shown = new Set(busiest.slice(0, MOST_NODES).map((one) => one.id));
  return {
    nodes: busiest.filter((one) => shown.has(one.id)).sort((a, b) => (a.id < b.id ? -1 : 1)),
    links: [...links.values()].filter((link) => shown.has(link.from) && shown.has(link.to)).sort((a, b) => (a.id < b.id ? -1 : 1)),
    left: Math.max(0, busiest.length - MOST_NODES),
  };
}

/** Edges that lead to something: a service, or a workload. */
export function leadsTo(edge, kind, namespace, name) {
  if (kind === "svc") return edge.service.namespace === namespace && edge.service.name === name;
  const to = target(edge);
  return to.namespace === namespace && to.name === name;
}

/** Edges that come from a workload. */
export function comesFrom(edge, namespace, name) {
  return edge.source.namespace === namespace && edge.source.workload === name;
}

/** Who is behind a service, by the calls to it. */
export function behind(edges) {
  const all = new Map();
  for (const edge of edges) {
    if (!edge.destination.workload) continue;
    const key = id(edge.destination.namespace, edge.destination.workload);
    const row = all.get(key) ?? { key, namespace: edge.destination.namespace, name: edge.destination.workload, requests: 0, failures: 0, rps: 0, p99_ms: 0 };
    row.requests += edge.requests;
    row.failures += edge.failures;
    row.rps += edge.rps;
    row.p99_ms = Math.max(row.p99_ms, edge.p99_ms);
    all.set(key, row);
  }
  return [...all.values()];
}

/** What somebody on call looks at first: the worst first. */
export function worst(rows) {
  const weight = { bad: 3, warn: 2, good: 1, idle: 0 };
  return [...rows].sort((a, b) => weight[tone(b)] - weight[tone(a)] || b.rps - a.rps || (a.name < b.name ? -1 : 1));
}

/** Each kind of failure once: where both sides told of it, as the caller's did. */
export function failureKinds(rows) {
  const what = (row) => [row.source.namespace, row.source.workload, row.status, row.grpc_status, row.failure, row.service.name || row.destination.workload].join("|");
  const told = new Set(rows.filter((row) => row.side === "outbound").map(what));
  return rows.filter((row) => row.side === "outbound" || !told.has(what(row)));
}

/** What is wrong with an object, in words; empty: nothing. */
export function wrong(object) {
  const bad = object.conditions.filter((condition) => !condition.status);
  return bad.map(({ reason, field, message }) => (field ? `${reason}: ${field}: ${message}` : `${reason}: ${message}`)).join("; ");
}

/** How a certificate stands at `now` (Unix seconds): `{ left, share, tone, word }`. */
export function certificate(row, now) {
  if (!row.not_after) return { left: null, share: 0, tone: "idle", word: "not reported yet" };
  const left = Math.max(0, row.not_after - now);
  const share = left / Math.max(1, row.not_after - row.not_before);
  // Renewal starts at half of the lifetime; below a quarter something keeps it from succeeding.
  const tone = left === 0 ? "bad" : share < 0.25 ? "warn" : "good";
  return { left, share, tone, word: { bad: "expired", warn: "renewal is late", good: "good" }[tone] };
}

/** What an objective promises: `99.9% good in 30d`, `99% under 250ms in 30d`. */
export function promise(one) {
  const share = `${Number((one.ratio * 100).toFixed(4))}%`;
  const days = Math.floor(one.window_seconds / 86_400);
  return one.kind === "latency" ? `${share} under ${Number(one.under_ms.toFixed(3))}ms in ${days}d` : `${share} good in ${days}d`;
}

/** Whom it is about. */
export function promisedTo(one) {
  const { namespace, name, port } = one.service;
  return one.route || `${name}.${namespace}${port ? `:${port}` : ""}`;
}

/** How a window of so many seconds went. */
export function burns(one, seconds) {
  return one.burns.find((window) => window.window_seconds === seconds);
}

/** A number for what somebody on call looks at first. */
export function steepest(one) {
  const alert = { fast: 2e9, slow: 1e9 }[one.alert] ?? 0;
  return alert + (one.burns.at(-1)?.rate ?? 0);
}

/** Objectives about a service, or about a route that is attached to it by these rows of routes. */
export function promisedOf(objectives, namespace, name, routes) {
  const taken = new Set(routes.flatMap((row) => (row.route ? [row.route, row.route.split("#")[0]] : [])));
  return objectives.filter((one) => (one.route ? taken.has(one.route) : one.service.namespace === namespace && one.service.name === name));
}
