// History as small pictures, each with its numbers in words. Geometry is pure.

import { el } from "./dom.js";
import { clock, millis, percent, rate } from "./format.js";

/** Seconds of a point. */
const SLOT = 10;

/** Points as a series without gaps: the last `seconds` before `now` (Unix seconds), a value a slot; null where there was nothing. */
export function slots(history, now, seconds, value, nothing = null) {
  // The slot that is under way is left out: it would always look like a fall.
  const end = Math.floor(now / SLOT) * SLOT;
  const begin = end - Math.ceil(seconds / SLOT) * SLOT;
  const out = new Array((end - begin) / SLOT).fill(nothing);
  for (const point of history ?? []) {
    const at = (point.time - begin) / SLOT;
    if (Number.isInteger(at) && at >= 0 && at < out.length) out[at] = value(point);
  }
  return out;
}

/** Seconds of history that are worth a picture: as far back as there is something, up to `most`. */
export function reach(rows, most, now = Date.now() / 1000) {
  const first = Math.min(...rows.flatMap((row) => (row.history ?? []).map((point) => point.time)));
  return Number.isFinite(first) ? Math.min(most, Math.max(300, Math.ceil((now - first) / 60) * 60)) : most;
}

/** Lines through values, a piece for each run without null. */
export function lines(values, width, height, top) {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const pieces = [];
  let piece = [];
  values.forEach((value, i) => {
    if (value === null) {
      if (piece.length) pieces.push(piece);
      piece = [];
    } else {
      piece.push([i * step, height - (Math.min(value, top) / (top || 1)) * height]);
    }
  });
  if (piece.length) pieces.push(piece);
  const text = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" L");
  // A run of one is a short stroke: it would not be seen.
  return pieces.map((points) => (points.length === 1 ? `M${text(points)} h1.5` : `M${text(points)}`));
}

const KINDS = {
  rps: { name: "Requests a second", value: (point) => point.requests / SLOT, nothing: 0, text: (value) => rate(value) },
  success: {
    name: "Success",
    value: (point) => (point.requests ? (point.requests - point.failures) / point.requests : null),
    nothing: null,
    text: percent,
  },
  p99: { name: "Latency p99", value: (point) => (point.requests ? point.p99_ms : null), nothing: null, text: millis },
};

function read(row, kind, seconds, now) {
  const { value, nothing } = KINDS[kind];
  return slots(row.history, now, seconds, value, nothing);
}

function summary(kind, values, seconds) {
  const there = values.filter((value) => value !== null);
  const { name, text } = KINDS[kind];
  if (!there.length) return `${name}: nothing in the last ${Math.round(seconds / 60)} minutes`;
  return `${name}, last ${Math.round(seconds / 60)} minutes: least ${text(Math.min(...there))}, most ${text(Math.max(...there))}, last ${text(there[there.length - 1])}`;
}

/** Beside a number, in a table. */
export function spark(row, kind, seconds, now = Date.now() / 1000) {
  const values = read(row, kind, seconds, now);
  const top = Math.max(...values.map((value) => value ?? 0), 0.001);
  const [width, height] = [90, 18];
  return el("svg", { class: `spark ${kind}`, viewBox: `0 -1 ${width} ${height + 2}`, width, height: height + 2, role: "img", "aria-label": summary(kind, values, seconds) },
    lines(values, width, height, top).map((d) => el("path", { d })));
}

/** On the page of one thing, with a scale. */
export function chart(row, kind, seconds, now = Date.now() / 1000) {
  const values = read(row, kind, seconds, now);
  const there = values.filter((value) => value !== null);
  const top = kind === "success" ? 1 : Math.max(...there, 0.001);
  const floor = kind === "success" ? Math.min(...there, 0.99) : 0;
  const scaled = values.map((value) => (value === null ? null : (value - floor) / (top - floor || 1)));
  const [width, height] = [300, 70];
  const { name, text } = KINDS[kind];
  const last = there.length ? there[there.length - 1] : null;
  return el("figure", { class: `chart ${kind}` },
    el("figcaption", {}, el("span", { class: "label" }, name), el("span", { class: "value" }, last === null ? "–" : text(last))),
    el("svg", { viewBox: `0 -2 ${width} ${height + 4}`, preserveAspectRatio: "none", role: "img", "aria-label": summary(kind, values, seconds) },
      [0, 0.5, 1].map((at) => el("line", { class: "grid", x1: 0, x2: width, y1: at * height, y2: at * height })),
      lines(scaled, width, height, 1).map((d) => el("path", { d }))),
    el("div", { class: "scale", "aria-hidden": "true" },
      el("span", {}, clock((now - seconds) * 1000).slice(0, 5)),
      el("span", {}, `${text(floor) === "–" ? "0" : text(floor)} to ${there.length ? text(top) : "–"}`),
      el("span", {}, "now")));
}
