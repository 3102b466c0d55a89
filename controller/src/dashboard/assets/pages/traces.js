// Traces as they finish, and one of them as a waterfall: what was asked of whom, when, and where the time went.

import { ask } from "../api.js";
import { el, render } from "../dom.js";
import { clock, failed, micros, status } from "../format.js";
import { follow } from "../events.js";
import { href } from "../route.js";
import { extent, flat, hops, most, PARTS, spent, title as titleOf, worthTelling } from "../waterfall.js";
import { empty, state as word } from "../views.js";

/** Traces that stay on the page, and in memory for going back. */
const KEPT = 100;
const EVERY_MS = 300;
const seen = new Map();

export function title(route) {
  return route.path[0] === "trace" ? `Trace ${route.path[1]?.slice(0, 8)}` : "Traces";
}

export function start(root, route, tools) {
  return route.path[0] === "trace" ? one(root, route, tools) : list(root, route, tools);
}

function keep(trace) {
  seen.delete(trace.trace_id);
  seen.set(trace.trace_id, trace);
  if (seen.size > KEPT) seen.delete(seen.keys().next().value);
}

function list(root, route, tools) {
  const { query } = route;
  const view = { traces: [], state: "idle", stop: null, timer: 0, paused: false };
  const draw = () => {
    view.timer = 0;
    render(root, tools.heading("Traces", "Whole requests across services, as they finish. While this is open, sidecars report them."), form(), line(), table());
  };
  const soon = () => { view.timer ||= setTimeout(draw, EVERY_MS); };
  const told = (trace) => {
    if (!trace.spans.length || view.paused) return;
    keep(trace);
    view.traces = [trace, ...view.traces.filter((known) => known.trace_id !== trace.trace_id)].slice(0, KEPT);
    soon();
  };
  const begin = () => {
    view.stop?.();
    const params = { through: query.through, failed: query.failed === "1", slower_than_ms: query.slower, sample_ppm: query.sample };
    view.stop = follow("traces", params, told, (next) => {
      view.state = next;
      if (next.failed) tools.failed(next.failed);
      draw();
    });
  };
  const end = () => { view.stop?.(); view.stop = null; view.state = "idle"; draw(); };
  const submit = (event) => {
    event.preventDefault();
    const wanted = href(["traces"], { ...tools.common, ...Object.fromEntries(new FormData(event.target)), go: 1 });
    if (wanted === location.hash) begin();
    else location.hash = wanted;
  };
  const form = () => el("form", { class: "controls", on: { submit } },
    el("label", {}, el("span", {}, "Through"), el("input", { name: "through", value: query.through ?? "", placeholder: "shop/cart", autocomplete: "off", spellcheck: "false", "data-find": true })),
    el("label", {}, el("span", {}, "Slower than, ms"), el("input", { name: "slower", value: query.slower ?? "", inputmode: "numeric", pattern: "[0-9]*", size: 6 })),
    el("label", {}, el("span", {}, "Share"), el("select", { name: "sample", value: query.sample ?? "" }, [["", "all"], ["100000", "10 %"], ["10000", "1 %"], ["1000", "0.1 %"]].map(([value, text]) => el("option", { value }, text)))),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "failed", value: "1", checked: query.failed === "1" }), el("span", {}, "only what failed")),
    el("div", { class: "buttons" },
      el("button", { type: "submit", class: "first" }, view.stop ? "Follow anew" : "Start"),
      el("button", { type: "button", disabled: !view.stop, on: { click: () => { view.paused = !view.paused; draw(); } } }, view.paused ? "Go on" : "Pause"),
      el("button", { type: "button", disabled: !view.stop, on: { click: end } }, "Stop")));
  const line = () => {
    const { state } = view;
    const text = state === "idle" ? "Nothing is followed."
      : state === "connecting" ? "Asking the sidecars…"
      : state === "open" ? `${view.paused ? "Paused" : "Live"}: ${view.traces.length} traces`
      : state.away ? "The controller does not answer; it is tried again."
      : state.over ? "Over: traces are followed for ten minutes. Start again to go on."
      : state.failed?.message ?? "";
    return el("p", { class: `notice ${state.away || state.failed ? "bad" : ""}`, role: "status" }, text);
  };
  const table = () => {
    if (!view.traces.length) return view.state === "open" ? empty("Waiting for a trace", "A trace is told some seconds after its last request ended.") : null;
    return el("div", { class: "scroll", key: "traces", role: "region", tabindex: "0", "aria-label": "Traces" }, el("table", {},
      el("caption", { class: "unseen" }, "Traces, the newest first"),
      el("thead", {}, el("tr", {}, ["Time", "Request", "Took", "Most of it", "Hops", "Ended"].map((name, i) => el("th", { scope: "col", class: i === 3 || i === 4 ? "wide" : null }, name)))),
      el("tbody", {}, view.traces.map((trace) => row(trace, tools)))));
  };
  draw();
  if (query.go === "1") begin();
  return () => { view.stop?.(); clearTimeout(view.timer); };
}

function row(trace, tools) {
  const { request } = titleOf(trace);
  const { begin, end } = extent(trace.spans);
  const rows = flat(hops(trace.spans));
  const bad = rows.filter((hop) => failed(hop.span));
  const leaf = rows.map((hop) => ({ hop, part: most({ ...hop }) })).filter(({ hop, part }) => part && !hop.children.length).sort((a, b) => b.part.us - a.part.us)[0];
  return el("tr", { key: trace.trace_id, class: bad.length ? "failed" : null },
    el("td", { class: "mono" }, clock(begin / 1000, 1)),
    el("td", { class: "request" }, el("a", { href: href(["trace", trace.trace_id], tools.common) }, request)),
    el("td", { class: "mono" }, micros(end - begin)),
    el("td", { class: "wide" }, leaf ? `${leaf.hop.span.service.name || leaf.hop.span.destination.workload}: ${PARTS[leaf.part.kind]} ${micros(leaf.part.us)}` : "–"),
    el("td", { class: "wide" }, rows.length),
    el("td", {}, bad.length ? word("bad", `${bad.length} failed`) : trace.complete ? word("good", "fine") : word("warn", "not whole")));
}

function one(root, route, tools) {
  const wanted = route.path[1] ?? "";
  const stop = new AbortController();
  const state = { trace: seen.get(wanted), error: null };
  const draw = () => render(root, tools.heading("Trace", wanted, "mono"), tools.about({ data: state.trace, at: 0, error: null, quiet: true }), body());
  const body = () => {
    if (state.error) return empty("This trace is not to be had", state.error.message);
    if (!state.trace) return el("p", { class: "faint" }, "Looking for it…");
    return waterfall(state.trace, tools);
  };
  draw();
  if (!state.trace) {
    ask("trace", { id: wanted }, stop.signal).then((trace) => { keep(trace); state.trace = trace; draw(); }).catch((error) => {
      if (stop.signal.aborted) return;
      state.error = error;
      tools.failed(error);
      draw();
    });
  }
  return () => stop.abort();
}

function waterfall(trace, tools) {
  const whole = extent(trace.spans);
  const rows = flat(hops(trace.spans));
  const kinds = [...new Set(rows.flatMap((hop) => worthTelling(hop).map(({ kind }) => kind)))];
  return [
    el("p", {}, el("span", { class: "strong" }, titleOf(trace).request), ` took ${micros(whole.end - whole.begin)}, ${clock(whole.begin / 1000, 1)}`),
    trace.complete ? null : el("p", { class: "notice warn" }, `Not whole; missing: ${trace.missing.join("; ") || "a hop"}`),
    trace.dropping.map((one) => el("p", { class: "notice warn" }, `${one.workload}.${one.namespace} does not pass trace headers on: it made ${one.calls} calls without (last: ${one.example}). It has to copy traceparent from what it is asked to what it asks.`)),
    el("ul", { class: "legend", "aria-label": "Parts of a hop" }, kinds.map((kind) => el("li", {}, el("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, el("rect", { class: `part ${kind}`, width: 12, height: 12 })), PARTS[kind]))),
    el("div", { class: "scroll", key: "waterfall", role: "region", tabindex: "0", "aria-label": "Waterfall" }, el("table", { class: "waterfall" },
      el("caption", { class: "unseen" }, "Hops of the trace in their order"),
      el("thead", {}, el("tr", {}, ["Hop", "When and where the time went", "Took", "Status", "Request"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map((hop) => line(hop, whole, tools))))),
  ];
}

/** Units of the picture of one hop. */
const WIDTH = 1000;

function line(hop, { begin, end }, tools) {
  const { span, depth } = hop;
  const place = (us) => ((us - begin) / (end - begin)) * WIDTH;
  const parts = spent(hop);
  const words = worthTelling(hop).map(({ kind, us }) => `${PARTS[kind]} ${micros(us)}`).join(", ") || "nothing was measured";
  let at = place(span.start_us);
  const scale = WIDTH / (end - begin);
  const bars = parts.map(({ kind, us }) => {
    const bar = el("rect", { class: `part ${kind}`, x: at.toFixed(1), y: 4, width: Math.max(1.5, us * scale).toFixed(1), height: 12 });
    at += us * scale;
    return bar;
  });
  const to = span.service.name || span.destination.workload || "?";
  return el("tr", { key: span.span_id, class: failed(span) ? "failed" : null },
    el("th", { scope: "row", class: `hop depth-${Math.min(depth, 8)}` }, el("span", { class: "faint" }, `${span.source.workload || "outside"} → `),
      span.destination.workload ? el("a", { href: href(["deploy", span.destination.namespace, span.destination.workload], tools.common) }, to) : to,
      span.destination.workload && span.destination.workload !== to ? el("span", { class: "faint" }, ` ${span.destination.workload}`) : null),
    el("td", { class: "when" },
      el("svg", { viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img", "aria-label": words },
        el("rect", { class: "whole", x: place(span.start_us).toFixed(1), y: 7, width: Math.max(2, span.duration_us * scale).toFixed(1), height: 6 }), bars),
      el("span", { class: "faint small" }, words, span.attempts_made > 1 ? `; ${span.attempts_made} attempts: ${span.attempts.map((attempt) => `${attempt.endpoint} ${attempt.failure || attempt.status || "given up"}`).join("; ")}` : "", span.detail ? `; ${span.detail}` : "")),
    el("td", { class: "mono" }, micros(span.duration_us)),
    el("td", {}, failed(span) ? word("bad", status(span)) : status(span), span.security === "plaintext" ? word("bad", " plaintext") : null),
    el("td", { class: "request" }, [span.method, span.path].filter(Boolean).join(" ") || `${span.protocol} connection`));
}
