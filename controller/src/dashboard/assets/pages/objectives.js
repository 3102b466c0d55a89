// What is promised of Services, routes and rules, and how fast the share that may fail is being used up.

import { el, render } from "../dom.js";
import { burn, count, percent } from "../format.js";
import { burns, promise, promisedTo, steepest } from "../model.js";
import { table } from "../table.js";
import { empty, figure, figures, state as word, thing } from "../views.js";

export const title = "Objectives";

const STATES = { fast: ["bad", "burns fast"], slow: ["warn", "burns"] };

export function start(root, route, tools) {
  let state;
  const draw = () => {
    if (!state) return;
    render(root, tools.heading("Objectives", "What policies promise, and how fast the share that may fail is being used up: at 1x it lasts exactly as long as the promise."), tools.about(state), state.data ? view(state.data.objectives) : null);
  };
  const view = ({ objectives, kept_seconds: kept }) => {
    if (!objectives.length) return empty("Nothing is promised", "A TrafficPolicy with slo says which share of the requests to a Service or route is to be good.");
    const fast = objectives.filter((one) => one.alert === "fast").length;
    return [
      figures(figure("Promises", objectives.length), figure("Burn fast", word(fast ? "bad" : "good", String(fast))), figure("Burn", objectives.filter((one) => one.alert === "slow").length)),
      promises("objectives", "Objectives", objectives, tools, draw),
      kept < 3600 ? el("p", { class: "faint" }, `The controller has counted for ${Math.floor(kept / 60)} minutes: longer windows are not full yet.`) : null,
    ];
  };
  return tools.live({ objectives: ["objectives", { namespace: tools.namespace }] }, (next) => { state = next; draw(); });
}

/** Objectives as a table, the one that burns fastest first. */
export function promises(id, caption, objectives, tools, draw) {
  if (!objectives.length) return null;
  const rows = objectives.map((one, i) => ({ ...one, key: `${one.policy.namespace}/${one.policy.name}>${one.kind}>${promisedTo(one)}>${i}` }));
  const hour = (row) => row.burns.at(-1) ?? { requests: 0, bad: 0 };
  const rate = (seconds) => ({ name: `Burn ${seconds === 3600 ? "1 h" : `${seconds / 60} min`}`, align: "right", class: seconds === 1800 ? "wide" : null, sort: (row) => burns(row, seconds)?.rate ?? -1, cell: (row) => rated(burns(row, seconds)) });
  return table(id, caption, [
    { name: "About", sort: promisedTo, cell: (row) => (row.route ? row.route : thing("svc", row.service.namespace, row.service.name, tools.common)) },
    { name: "Promise", sort: promise, cell: promise },
    { name: "Requests", align: "right", class: "wide", sort: (row) => hour(row).requests, cell: (row) => count(hour(row).requests) },
    { name: "Good", align: "right", sort: (row) => (hour(row).requests ? 1 - hour(row).bad / hour(row).requests : 2), cell: (row) => percent(hour(row).requests ? 1 - hour(row).bad / hour(row).requests : null) },
    rate(300), rate(1800), rate(3600),
    { name: "State", sort: (row) => steepest(row), cell: (row) => (STATES[row.alert] ? word(...STATES[row.alert]) : hour(row).requests ? word("good", "kept") : word("idle", "no traffic")) },
    { name: "Policy", class: "wide", sort: (row) => row.policy.name, cell: (row) => [row.policy.name, el("span", { class: "faint" }, `.${row.policy.namespace}`)] },
  ], rows, draw, { column: 7, down: true });
}

function rated(window) {
  if (!window?.requests) return el("span", { class: "faint" }, "–");
  return word(window.rate < 1 ? "good" : window.rate < 10 ? "warn" : "bad", burn(window.rate));
}
