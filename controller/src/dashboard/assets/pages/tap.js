// Tap: single requests as they end. What a client sent is shown as text, whatever it is.

import { el, render } from "../dom.js";
import { bytes, clock, failed, micros, status } from "../format.js";
import { follow } from "../events.js";
import { href } from "../route.js";
import { PARTS, worthTelling } from "../waterfall.js";
import { empty, security, state as word } from "../views.js";

export const title = "Tap";

/** Requests that stay on the page. */
const KEPT = 200;
/** Between drawings; what comes in between is drawn together. */
const EVERY_MS = 250;

const FIELDS = [
  ["workload", "Workload", "shop/web"],
  ["to", "To", "cart"],
  ["method", "Method", "GET"],
  ["path", "Path begins", "/checkout"],
];

export function start(root, route, tools) {
  const { query } = route;
  const tap = { requests: [], seen: 0, dropped: 0, state: "idle", paused: false, stop: null, next: 0, timer: 0 };
  const draw = () => {
    tap.timer = 0;
    render(root, tools.heading("Tap", "Requests as they end, as sidecars see them: at most 20 a second from each."), form(), line(), list());
  };
  const soon = () => { tap.timer ||= setTimeout(draw, EVERY_MS); };
  const told = (event) => {
    tap.dropped += event.dropped;
    if (!event.span_id && !event.method && !event.start_us) return soon();
    tap.seen += 1;
    if (tap.paused) return soon();
    tap.next += 1;
    tap.requests.unshift({ ...event, key: tap.next });
    tap.requests.length = Math.min(tap.requests.length, KEPT);
    soon();
  };
  const begin = () => {
    tap.stop?.();
    const status = Number.parseInt(query.status, 10);
    const params = { namespace: query.ns, workload: query.workload, to: query.to, side: query.side, method: query.method, path: query.path, status: status > 0 ? status : "", failed: query.failed === "1", headers: query.headers === "1" };
    tap.stop = follow("tap", params, told, (next) => {
      tap.state = next;
      if (next.failed) tools.failed(next.failed);
      draw();
    });
  };
  const end = () => { tap.stop?.(); tap.stop = null; tap.state = "idle"; draw(); };
  const submit = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    const wanted = href(["tap"], { ...tools.common, ...form, go: 1 });
    if (wanted === location.hash) begin();
    else location.hash = wanted;
  };
  const form = () => el("form", { class: "controls", on: { submit } },
    FIELDS.map(([name, label, hint]) => el("label", {}, el("span", {}, label), el("input", { name, value: query[name] ?? "", placeholder: hint, autocomplete: "off", spellcheck: "false", "data-find": name === "workload" }))),
    el("label", {}, el("span", {}, "Status"), el("select", { name: "status", value: query.status ?? "" }, [["", "any"], ["2", "2xx"], ["3", "3xx"], ["4", "4xx"], ["5", "5xx"]].map(([value, text]) => el("option", { value }, text)))),
    el("label", {}, el("span", {}, "Seen by"), el("select", { name: "side", value: query.side ?? "" }, [["", "both sides"], ["outbound", "caller's sidecar"], ["inbound", "callee's sidecar"]].map(([value, text]) => el("option", { value }, text)))),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "failed", value: "1", checked: query.failed === "1" }), el("span", {}, "only what failed")),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "headers", value: "1", checked: query.headers === "1" }), el("span", {}, "headers")),
    el("div", { class: "buttons" },
      el("button", { type: "submit", class: "first" }, tap.stop ? "Tap anew" : "Start"),
      el("button", { type: "button", disabled: !tap.stop, on: { click: () => { tap.paused = !tap.paused; draw(); } } }, tap.paused ? "Go on" : "Pause"),
      el("button", { type: "button", disabled: !tap.stop, on: { click: end } }, "Stop")));
  const line = () => {
    const { state } = tap;
    const text = state === "idle" ? "Nothing is tapped. While nobody taps, it costs requests nothing."
      : state === "connecting" ? "Asking the sidecars…"
      : state === "open" ? `${tap.paused ? "Paused" : "Live"}: ${tap.seen} requests${tap.dropped ? `, ${tap.dropped} more are not shown: a sidecar tells 20 a second` : ""}`
      : state.away ? `The controller does not answer; it is tried again. ${tap.seen} requests until then.`
      : state.over ? `Over${state.over === "time" ? ": a tap ends after ten minutes" : ""}. Start it again to go on.`
      : state.failed?.message ?? "";
    return el("p", { class: `notice ${state.away || state.failed ? "bad" : ""}`, role: "status" }, text);
  };
  const list = () => {
    if (!tap.requests.length) return tap.state === "open" ? empty("Waiting for a request", "The filter lets nothing through, or nobody asks.") : null;
    return el("div", { class: "scroll", key: "requests", role: "region", tabindex: "0", "aria-label": "Tapped requests" }, el("table", { class: "tap" },
      el("caption", { class: "unseen" }, "Tapped requests, the newest first"),
      el("thead", {}, el("tr", {}, ["Time", "Seen by", "Who called whom", "Request", "Status", "Took", "Bytes", "Secured"].map((name, i) => el("th", { scope: "col", class: [1, 6, 7].includes(i) ? "wide" : null }, name)))),
      el("tbody", {}, tap.requests.map(row))));
  };
  const row = (one) => el("tr", { key: one.key, class: failed(one) ? "failed" : null },
    el("td", { class: "mono" }, clock(one.start_us / 1000, 1)),
    el("td", { class: "wide" }, one.side === "inbound" ? "callee" : "caller"),
    el("td", {}, `${one.source.workload || "outside"} → ${one.service.name || one.destination.workload || "?"}`, one.service.name && one.destination.workload && one.destination.workload !== one.service.name ? el("span", { class: "faint" }, ` ${one.destination.workload}`) : null),
    el("td", { class: "request" }, details(one)),
    el("td", {}, failed(one) ? word("bad", status(one)) : status(one)),
    el("td", { class: "mono" }, micros(one.duration_us)),
    el("td", { class: "mono wide" }, `${bytes(one.request_bytes)} / ${bytes(one.response_bytes)}`),
    el("td", { class: "wide" }, security(one.security)));
  const details = (one) => el("details", {},
    el("summary", {}, [one.method, one.path].filter(Boolean).join(" ") || `${one.protocol} connection`),
    el("dl", { class: "facts" },
      fact("Where the time went", worthTelling({ outbound: one.side === "inbound" ? null : one, inbound: one.side === "inbound" ? one : null, span: one }).map(({ kind, us }) => `${PARTS[kind]} ${micros(us)}`).join(", ") || "nothing was measured"),
      fact("What the mesh said", one.detail),
      fact("Route", one.route),
      fact("Peer", one.peer), fact("Endpoint", one.endpoint), fact("Sidecar", one.instance),
      fact("Attempts", one.attempts_made > 1 ? one.attempts.map((attempt) => `${attempt.endpoint} ${attempt.failure || attempt.status || "given up"}`).join("; ") : ""),
      one.trace_id ? fact("Trace", el("a", { href: href(["trace", one.trace_id], tools.common) }, one.trace_id)) : null,
      one.headers.length ? fact("Headers", el("ul", {}, one.headers.map(({ name, value, redacted }) => el("li", { class: "mono" }, `${name}: ${redacted ? "(never leaves the sidecar)" : value}`)))) : null));
  draw();
  if (query.go === "1") begin();
  return () => { tap.stop?.(); clearTimeout(tap.timer); };
}

function fact(name, value) {
  return value && value.length !== 0 ? [el("dt", {}, name), el("dd", {}, value)] : null;
}
