// Releases: which new versions are on their way, how far each is, what its figures say, and what became of those before.

import { el, render } from "../dom.js";
import { clock, count, percent, span } from "../format.js";
import { table } from "../table.js";
import { empty, figure, figures, state as word, thing } from "../views.js";

export const title = "Releases";

const PHASES = { Progressing: "good", Promoted: "good", Waiting: "idle", Paused: "warn", RolledBack: "bad" };
const VERDICTS = { Pass: "good", Wait: "idle", Fail: "warn", Bad: "bad" };

export function start(root, route, tools) {
  let state;
  const draw = () => {
    if (!state) return;
    render(root, tools.heading("Releases", "New versions that get more of the traffic as their figures allow. They are steered by meshctl canary."), tools.about(state), state.data ? view(state.data.canaries.canaries, state.data.comparisons.comparisons) : null);
  };
  const view = (all, comparisons) => {
    if (!all.length) return empty("There is no Canary", "A Canary object has a new version take over step by step, as long as its figures are good.");
    return all.map((one) => release(one, comparisons, tools, draw));
  };
  return tools.live({ canaries: ["canaries", { namespace: tools.namespace }], comparisons: ["comparisons", { namespace: tools.namespace }] }, (next) => { state = next; draw(); });
}

function release(one, comparisons, tools, draw) {
  const now = Date.now() / 1000;
  const key = `${one.namespace}/${one.name}`;
  const phase = one.phase || "nothing yet";
  const done = one.steps ? Math.min(one.steps, one.step + (one.phase === "Promoted" ? 1 : 0)) / one.steps : 0;
  return el("section", { key },
    el("h2", {}, key),
    one.refused ? el("p", { class: "notice bad" }, `Nothing is done: ${one.refused}`) : null,
    el("p", {}, thing("svc", one.namespace, one.stable, tools.common), " → ", thing("svc", one.namespace, one.canary, tools.common), one.version ? ` · version ${one.version}` : ""),
    figures(
      figure("Phase", word(PHASES[one.phase] ?? "idle", phase), one.pause ? `waits: ${one.pause}` : ""),
      figure("Step", one.steps ? `${Math.min(one.step + 1, one.steps)} of ${one.steps}` : "–", progress(done)),
      figure("New version gets", percent(one.weight_ppm / 1e6), one.routing),
      figure("Requests", count(one.requests), one.min_requests ? `of ${count(one.min_requests)} that it takes` : ""),
      figure("Failed checks", `${one.failed_checks} of ${one.failed_checks_allowed}`),
      figure("Next check", one.next_check > now ? `in ${span(one.next_check - now)}` : "–", one.frozen ? "figures are missing" : ""),
      ...answers(one, comparisons)),
    one.message ? el("p", { class: "notice" }, one.message) : null,
    one.findings.length ? table(`findings-${key}`, `What the figures of ${key} say`, [
      { name: "Rule", sort: (row) => row.rule, cell: (row) => row.rule },
      { name: "Verdict", sort: (row) => row.verdict, cell: (row) => word(VERDICTS[row.verdict] ?? "idle", row.verdict) },
      { name: "Stable", align: "right", class: "wide", cell: (row) => (row.stable === null ? "–" : `${(row.stable * 100).toFixed(2)}% bad`) },
      { name: "New", align: "right", class: "wide", cell: (row) => (row.canary === null ? "–" : `${(row.canary * 100).toFixed(2)}% bad`) },
      { name: "Why", class: "text", cell: (row) => row.text },
    ], one.findings.map((finding) => ({ ...finding, key: finding.rule })), draw) : null,
    one.past.length ? table(`past-${key}`, `Releases of ${key} before`, [
      { name: "Version", cell: (row) => row.version },
      { name: "Ended", cell: (row) => word(PHASES[row.phase] ?? "idle", row.phase) },
      { name: "At", cell: (row) => clock(row.ended * 1000) },
      { name: "Why", class: "text", cell: (row) => row.message },
    ], one.past.map((past, i) => ({ ...past, key: i })), draw) : null);
}

function progress(share) {
  return el("svg", { class: "life good", viewBox: "0 0 60 8", width: 60, height: 8, "aria-hidden": "true" },
    el("rect", { class: "whole", width: 60, height: 8, rx: 4 }), el("rect", { width: (60 * share).toFixed(1), height: 8, rx: 4 }));
}

// Where answers to copies differ from those that callers got; nothing if none was compared.
function answers(one, comparisons) {
  const own = comparisons.filter((it) => it.candidate.namespace === one.namespace && it.candidate.name === one.canary);
  if (!own.length) return [];
  const compared = own.reduce((sum, it) => sum + it.compared, 0);
  const places = own.flatMap((it) => it.differences).filter((it) => it.verdict === "differs");
  const state = places.length ? word("warn", `${places.length} ${places.length === 1 ? "place differs" : "places differ"}`) : word("good", "alike");
  return [figure("Answers", state, `${count(compared)} compared; meshctl canary diff ${one.namespace}/${one.name}`)];
}
