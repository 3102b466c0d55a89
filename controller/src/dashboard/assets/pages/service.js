// One service or workload: its golden metrics with history, who calls it, whom it calls, who is behind it, its routes, and what fails.

import { el, render } from "../dom.js";
import { clock, count, millis, percent, rate, success } from "../format.js";
import { behind, comesFrom, failureKinds, leadsTo, promisedOf, source, target } from "../model.js";
import { href } from "../route.js";
import { chart, reach } from "../spark.js";
import { promises } from "./objectives.js";
import { table } from "../table.js";
import { empty, figure, figures, security, state as word, success as successCell, thing } from "../views.js";

/** Seconds of the charts. */
const CHART = 3600;

export function title(route) {
  return `${route.path[2]}.${route.path[1]}`;
}

export function start(root, route, tools) {
  const [kind, namespace, name] = route.path;
  const qualified = `${namespace}/${name}`;
  let state;
  const draw = () => {
    if (!state) return;
    const what = kind === "svc" ? "Service" : "Workload";
    render(root,
      tools.heading(name, `${what} in namespace ${namespace}`),
      el("p", { class: "actions" },
        el("a", { href: href(["tap"], { ...tools.common, ...(kind === "svc" ? { to: qualified } : { workload: qualified }), go: 1 }) }, "Tap its requests"),
        el("a", { href: href(["traces"], { ...tools.common, through: qualified, go: 1 }) }, "Trace its requests")),
      tools.about(state),
      state.data ? view(state.data) : null);
  };
  const view = ({ stat, edges, routes, failures, objectives }) => {
    const row = stat.rows[0];
    if (!row) return empty(`There is no ${kind === "svc" ? "Service" : "workload"} ${qualified}`, "It may be gone, or called otherwise. Look for it under Services.");
    const to = edges.edges.filter((edge) => leadsTo(edge, kind, namespace, name));
    const promised = kind === "svc" ? promisedOf(objectives.objectives, namespace, name, routes.rows) : [];
    const from = kind === "svc" ? [] : edges.edges.filter((edge) => comesFrom(edge, namespace, name));
    return [
      figures(figure("Requests/s", rate(row.rps)), figure("Success", successCell(row)), figure("p50", millis(row.p50_ms)), figure("p95", millis(row.p95_ms)), figure("p99", millis(row.p99_ms)), figure("Sidecars", `${row.meshed}/${row.meshed_of}`)),
      el("div", { class: "charts" }, ["rps", "success", "p99"].map((of) => chart(row, of, reach([row], CHART)))),
      promised.length ? section("Promised", promises("promised", "What is promised of the service", promised, tools, draw), "") : null,
      section("What fails", failed(failures.rows, tools, draw), `Nothing failed in the last ${tools.seconds} s.`),
      section("Called by", calls("by", to, source, tools, draw, kind), "Nobody called it."),
      kind === "svc" ? section("Behind it", members(to, tools, draw), "No workload answered.") : section("Calls", calls("to", from, target, tools, draw), "It called nobody."),
      kind === "svc" ? section("Routes", byRoute(routes.rows, tools, draw), "No request took a route.") : null,
    ];
  };
  return tools.live({
    stat: ["stat", { kind, name: qualified, window: tools.seconds, history: true }],
    edges: ["edges", { window: tools.seconds, namespace }],
    routes: ["stat", { kind: "route", name: qualified, window: tools.seconds }],
    failures: ["failures", { about: qualified, window: tools.seconds }],
    objectives: ["objectives", {}],
  }, (next) => { state = next; draw(); });
}

function section(heading, rows, none) {
  return el("section", { key: heading }, el("h2", {}, heading), rows ?? el("p", { class: "faint" }, none));
}

const GOLDEN = [
  { name: "Requests/s", align: "right", sort: (row) => row.rps ?? 0, cell: (row) => rate(row.rps) },
  { name: "Success", align: "right", sort: (row) => success(row) ?? 2, cell: successCell },
  { name: "p99", align: "right", sort: (row) => row.p99_ms ?? 0, cell: (row) => millis(row.p99_ms) },
];

function calls(id, edges, end, tools, draw, kind) {
  if (!edges.length) return null;
  const rows = edges.map((edge, i) => {
    const { namespace, name } = end(edge);
    const [from, to] = [source(edge), target(edge)];
    return { ...edge, namespace, name, key: `${from.namespace}/${from.name}>${to.namespace}/${to.name}>${edge.service.name}>${edge.security}>${i}`, link: href(["edge", from.namespace, from.name, to.namespace, to.name], tools.common) };
  });
  return table(`calls-${id}`, id === "by" ? "Who calls it" : "Whom it calls", [
    { name: "Workload", sort: (row) => row.name, cell: (row) => [el("a", { href: row.link }, row.name || "outside"), el("span", { class: "faint" }, row.namespace ? `.${row.namespace}` : "")] },
    kind === "svc" ? { name: "Answered by", sort: (row) => row.destination.workload, cell: (row) => row.destination.workload || "nobody" } : null,
    ...GOLDEN,
    { name: "Secured", sort: (row) => row.security, cell: (row) => security(row.security) },
    { name: "Why not", class: "wide", cell: (row) => row.reason || "–" },
  ].filter(Boolean), rows, draw, { column: kind === "svc" ? 2 : 1, down: true });
}

function members(edges, tools, draw) {
  const rows = behind(edges);
  if (!rows.length) return null;
  return table("behind", "Workloads behind the service", [
    { name: "Workload", sort: (row) => row.name, cell: (row) => thing("deploy", row.namespace, row.name, tools.common) },
    ...GOLDEN,
  ], rows, draw, { column: 1, down: true });
}

function byRoute(rows, tools, draw) {
  if (!rows.length) return null;
  return table("routes", "Routes of the service", [
    { name: "Route", sort: (row) => row.route, cell: (row) => row.route || "no route: straight to the service" },
    ...GOLDEN,
  ], rows.map((row) => ({ ...row, key: row.route || "-" })), draw, { column: 1, down: true });
}

/** Failures by kind, with the last example of each. */
export function failed(rows, tools, draw) {
  if (!rows.length) return null;
  const keyed = failureKinds(rows).slice(0, 50).map((row, i) => ({ ...row, key: `${row.source.workload}>${row.service.name}>${row.destination.workload}>${row.status}>${row.grpc_status}>${row.failure}>${row.route}>${i}` }));
  const how = (row) => (row.failure ? el("code", {}, row.failure) : row.grpc_status !== null ? `gRPC ${row.grpc_status}` : `status ${row.status}`);
  return table("failures", "What failed, by kind", [
    { name: "How", sort: (row) => row.failure || String(row.status), cell: (row) => [word("bad", ""), how(row)] },
    { name: "Times", align: "right", sort: (row) => row.count, cell: (row) => count(row.count) },
    { name: "Of", align: "right", class: "wide", sort: (row) => row.count / row.requests, cell: (row) => percent(row.requests ? row.count / row.requests : null) },
    { name: "Who called whom", sort: (row) => row.source.workload, cell: (row) => `${row.source.workload || "outside"} → ${row.service.name || row.destination.workload || "?"}` },
    { name: "Last", class: "wide", sort: (row) => row.example.time_ms, cell: (row) => clock(row.example.time_ms) },
    { name: "Example", class: "text", cell: (row) => [[row.example.method, row.example.path].filter(Boolean).join(" "), row.example.detail ? el("span", { class: "faint" }, ` ${row.example.detail}`) : null,
      row.example.trace_id ? [" ", el("a", { href: href(["trace", row.example.trace_id], tools.common) }, "trace")] : null] },
  ], keyed, draw, { column: 1, down: true });
}
