// Services, workloads or namespaces with their golden metrics and how these went.

import { el, render } from "../dom.js";
import { millis, rate, success } from "../format.js";
import { worst } from "../model.js";
import { href } from "../route.js";
import { reach, spark } from "../spark.js";
import { table } from "../table.js";
import { empty, figure, figures, success as successCell } from "../views.js";

export const title = "Services";

const KINDS = { svc: "Services", deploy: "Workloads", ns: "Namespaces" };

export function start(root, route, tools) {
  const kind = KINDS[route.query.kind] ? route.query.kind : "svc";
  let state;
  let filter = route.query.find ?? "";
  const draw = () => {
    if (!state) return;
    render(root, tools.heading(KINDS[kind], "What they were asked, and how it went."), controls(), tools.about(state), state.data ? view(state.data.stat) : null);
  };
  const controls = () => el("div", { class: "controls" },
    el("div", { class: "switch", role: "group", "aria-label": "What to show" }, Object.entries(KINDS).map(([name, text]) =>
      el("a", { href: href(["services"], { ...tools.common, kind: name === "svc" ? "" : name, find: filter }), "aria-current": name === kind ? "true" : null }, text))),
    el("label", { class: "find" }, el("span", {}, "Find "), el("input", { type: "search", value: filter, "data-find": true, on: { input: (event) => { filter = event.target.value; draw(); } } })));
  const view = (stat) => {
    const wanted = filter.trim().toLowerCase();
    const rows = worst(stat.rows).filter((row) => `${row.namespace}/${row.name}`.toLowerCase().includes(wanted));
    if (!stat.rows.length) return empty("There are none", "Services appear with their first endpoints, workloads with their sidecar.");
    if (!rows.length) return empty(`None is called like “${filter}”`, "Clear the field to see all.");
    const sum = rows.reduce((sum, row) => ({ requests: sum.requests + row.requests, failures: sum.failures + row.failures, rps: sum.rps + row.rps }), { requests: 0, failures: 0, rps: 0 });
    return [
      figures(figure("Requests/s", rate(sum.rps)), figure("Success", successCell(sum)), figure(KINDS[kind], rows.length, `${rows.filter((row) => row.requests).length} with traffic`)),
      table(`stat-${kind}`, KINDS[kind], columns(kind, tools, reach(stat.rows, 1800)), rows.map((row) => ({ ...row, key: `${row.namespace}/${row.name}` })), draw, { column: kind === "ns" ? 1 : 2, down: true }),
    ];
  };
  const stop = tools.live({ stat: ["stat", { kind, window: tools.seconds, namespace: tools.namespace, history: true }] }, (next) => { state = next; draw(); });
  return stop;
}

function columns(kind, tools, seconds) {
  const history = (of) => ({ name: `Last ${Math.round(seconds / 60)} min`, class: "wide", cell: (row) => spark(row, of, seconds) });
  const name = (row) => (kind === "ns"
    ? el("a", { href: href(["graph"], { ...tools.common, ns: row.namespace }) }, row.namespace)
    : el("a", { href: href([kind, row.namespace, row.name], tools.common) }, row.name));
  return [
    { name: kind === "ns" ? "Namespace" : "Name", sort: (row) => row.name || row.namespace, cell: name },
    kind === "ns" ? null : { name: "Namespace", class: "wide", sort: (row) => row.namespace, cell: (row) => row.namespace },
    { name: "Requests/s", align: "right", sort: (row) => row.rps ?? 0, cell: (row) => rate(row.rps) },
    history("rps"),
    { name: "Success", align: "right", sort: (row) => success(row) ?? 2, cell: successCell },
    history("success"),
    { name: "p50", align: "right", class: "wide", sort: (row) => row.p50_ms ?? 0, cell: (row) => millis(row.p50_ms) },
    { name: "p95", align: "right", class: "wide", sort: (row) => row.p95_ms ?? 0, cell: (row) => millis(row.p95_ms) },
    { name: "p99", align: "right", sort: (row) => row.p99_ms ?? 0, cell: (row) => millis(row.p99_ms) },
    history("p99"),
    { name: "Sidecars", align: "right", class: "wide", sort: (row) => row.meshed_of ?? 0, cell: (row) => `${row.meshed}/${row.meshed_of}` },
  ].filter(Boolean);
}
