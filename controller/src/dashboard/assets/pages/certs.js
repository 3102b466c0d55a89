// Certificates of all sidecars: until when each is good, and whether its renewals go well.

import { el, render } from "../dom.js";
import { clock, span } from "../format.js";
import { certificate } from "../model.js";
import { table } from "../table.js";
import { empty, figure, figures, state as word, thing } from "../views.js";

export const title = "Certificates";

export function start(root, route, tools) {
  let state;
  const draw = () => {
    if (!state) return;
    render(root, tools.heading("Certificates", "Each sidecar renews its own at half of its lifetime; keys never leave it."), tools.about(state), state.data ? view(state.data.certs) : null);
  };
  const view = ({ certificates }) => {
    const now = Date.now() / 1000;
    const rows = certificates.filter((row) => !tools.namespace || row.namespace === tools.namespace).map((row) => ({ ...row, ...certificate(row, now), key: `${row.namespace}/${row.workload}/${row.instance}` }));
    if (!rows.length) return empty("No sidecar has reported a certificate", "They appear within seconds after a sidecar starts.");
    const late = rows.filter((row) => row.tone === "warn" || row.tone === "bad");
    const next = rows.filter((row) => row.left !== null).sort((a, b) => a.left - b.left)[0];
    const roots = new Set(rows.flatMap((row) => row.trusted_roots));
    return [
      figures(figure("Certificates", rows.length), figure("Late or expired", late.length ? word("bad", late.length) : word("good", "none")), next ? figure("First to end", span(next.left), next.workload) : null, figure("Roots that are trusted", roots.size)),
      table("certs", "Certificates of sidecars", [
        { name: "Workload", sort: (row) => row.workload, cell: (row) => thing("deploy", row.namespace, row.workload, tools.common) },
        { name: "State", sort: (row) => row.tone, cell: (row) => word(row.tone, row.word) },
        { name: "Ends in", align: "right", sort: (row) => row.left ?? -1, cell: (row) => (row.left === null ? "–" : span(row.left)) },
        { name: "Left", class: "wide", cell: life },
        { name: "Renewals", align: "right", sort: (row) => row.renewals, cell: (row) => row.renewals },
        { name: "Failed", align: "right", sort: (row) => row.renewal_failures, cell: (row) => (row.renewal_failures ? word("warn", row.renewal_failures) : "0") },
        { name: "Identity", class: "wide mono", sort: (row) => row.spiffe_id, cell: (row) => row.spiffe_id },
        { name: "Issuer", class: "wide", sort: (row) => row.issuer, cell: (row) => row.issuer },
        { name: "Serial", class: "wide mono", cell: (row) => row.serial.slice(0, 16) },
        { name: "Told", class: "wide", sort: (row) => row.reported_ms, cell: (row) => clock(row.reported_ms) },
      ], rows, draw, { column: 2, down: false }),
    ];
  };
  return tools.live({ certs: ["certs", {}] }, (next) => { state = next; draw(); });
}

function life(row) {
  return el("svg", { class: `life ${row.tone}`, viewBox: "0 0 60 8", width: 60, height: 8, role: "img", "aria-label": `${Math.round(row.share * 100)} % of its life is left` },
    el("rect", { class: "whole", width: 60, height: 8, rx: 4 }), el("rect", { width: (60 * Math.min(1, row.share)).toFixed(1), height: 8, rx: 4 }));
}
