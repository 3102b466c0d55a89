// One pair of workloads: all traffic from one to the other, whether it is secured, and what fails of it.

import { el, render } from "../dom.js";
import { bytes, millis, rate, success } from "../format.js";
import { id, source, target } from "../model.js";
import { href } from "../route.js";
import { chart, reach } from "../spark.js";
import { table } from "../table.js";
import { empty, figure, figures, security, success as successCell, thing } from "../views.js";
import { failed } from "./service.js";

export function title(route) {
  const [, , from, , to] = route.path;
  return `${from === "-" ? "outside" : from} → ${to}`;
}

export function start(root, route, tools) {
  const [fromNs, fromName, toNs, toName] = route.path.slice(1).map((part) => (part === "-" ? "" : part));
  const [from, to] = [fromName ? `${fromNs}/${fromName}` : "", `${toNs}/${toName}`];
  let state;
  const draw = () => {
    if (!state) return;
    render(root,
      tools.heading(title(route), "All traffic from one to the other."),
      el("p", { class: "actions" },
        fromName ? el("a", { href: href(["deploy", fromNs, fromName], tools.common) }, fromName) : null,
        el("a", { href: href(["deploy", toNs, toName], tools.common) }, toName),
        el("a", { href: href(["tap"], { ...tools.common, workload: from, side: from ? "outbound" : "", to, go: 1 }) }, "Tap it")),
      tools.about(state),
      state.data ? view(state.data) : null);
  };
  const view = ({ edges, stat, failures }) => {
    const mine = edges.edges.filter((edge) => {
      const [a, b] = [source(edge), target(edge)];
      return id(a.namespace, a.name) === id(fromNs, fromName) && id(b.namespace, b.name) === id(toNs, toName);
    });
    if (!mine.length) return empty("There was no traffic between them", `Nothing in the last ${tools.seconds} s; look further back above.`);
    const sum = mine.reduce((sum, edge) => ({ requests: sum.requests + edge.requests, failures: sum.failures + edge.failures, rps: sum.rps + edge.rps, p50: Math.max(sum.p50, edge.p50_ms), p99: Math.max(sum.p99, edge.p99_ms), bytes: sum.bytes + edge.bytes_in + edge.bytes_out }), { requests: 0, failures: 0, rps: 0, p50: 0, p99: 0, bytes: 0 });
    const history = from ? stat.rows.find((row) => row.namespace === fromNs && row.name === fromName) : null;
    const own = failures.rows.filter((row) => (row.source.workload || "") === "" || !fromName || row.source.workload === fromName || row.source.workload.startsWith(`${fromName}-`));
    return [
      figures(figure("Requests/s", rate(sum.rps)), figure("Success", successCell(sum)), figure("p50", millis(sum.p50)), figure("p99", millis(sum.p99)), figure("Bytes", bytes(sum.bytes))),
      history ? el("div", { class: "charts" }, ["rps", "success", "p99"].map((of) => chart(history, of, reach([history], 3600)))) : null,
      el("h2", {}, "By service"),
      table("edge", "Traffic by service and security", [
        { name: "Service", sort: (row) => row.service.name, cell: (row) => (row.service.name ? thing("svc", row.service.namespace, row.service.name, tools.common) : "straight to the workload") },
        { name: "Requests/s", align: "right", sort: (row) => row.rps, cell: (row) => rate(row.rps) },
        { name: "Success", align: "right", sort: (row) => success(row) ?? 2, cell: successCell },
        { name: "p99", align: "right", sort: (row) => row.p99_ms, cell: (row) => millis(row.p99_ms) },
        { name: "Secured", sort: (row) => row.security, cell: (row) => security(row.security) },
        { name: "Why not", class: "text", cell: (row) => row.reason || "–" },
      ], mine.map((edge, i) => ({ ...edge, key: `${edge.service.namespace}/${edge.service.name}/${edge.security}/${i}` })), draw),
      el("h2", {}, "What fails"),
      failed(own, tools, draw) ?? el("p", { class: "faint" }, `Nothing failed in the last ${tools.seconds} s.`),
    ];
  };
  return tools.live({
    edges: ["edges", { window: tools.seconds, to, from }],
    stat: ["stat", { kind: "deploy", window: tools.seconds, to, history: true }],
    failures: ["failures", { window: tools.seconds, to, from }],
  }, (next) => { state = next; draw(); });
}
