// Numbers as people read them. Pure.

/** Requests a second. */
export function rate(rps) {
  if (!rps) return "0";
  if (rps < 0.1) return "<0.1";
  if (rps < 100) return rps.toFixed(1);
  if (rps < 10_000) return Math.round(rps).toString();
  return `${(rps / 1000).toFixed(1)}k`;
}

/** The share of requests that did not fail, or null where there were none. */
export function success(row) {
  return row.requests ? (row.requests - row.failures) / row.requests : null;
}

/** A share in per cent: 100 % only where nothing is missing. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share === 1) return "100%";
  const text = (Math.floor(share * 10_000) / 100).toFixed(2);
  return `${text}%`;
}

/** Milliseconds. */
export function millis(ms) {
  if (ms === null || ms === undefined || !(ms > 0)) return "–";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(2)} s`;
}

/** Microseconds. */
export function micros(us) {
  return us > 0 ? millis(us / 1000) : "0 ms";
}

/** Bytes. */
export function bytes(count) {
  if (count < 1000) return `${Math.round(count)} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(1)} MB`;
  return `${(count / 1e9).toFixed(1)} GB`;
}

/** A count. */
export function count(number) {
  return number < 10_000 ? String(number) : number < 1e6 ? `${(number / 1e3).toFixed(1)}k` : `${(number / 1e6).toFixed(1)}M`;
}

/** Seconds as a span of time: the largest unit and what is left of it in the next one. */
export function span(seconds) {
  const units = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return "0s";
  const [unit, size] = units[at];
  const whole = `${Math.floor(seconds / size)}${unit}`;
  const next = units[at + 1];
  const left = next ? Math.floor((seconds % size) / next[1]) : 0;
  return left ? `${whole} ${left}${next[0]}` : whole;
}

/** How fast a budget is used up: 1x lasts exactly as long as it should. */
export function burn(rate) {
  return `${rate < 1 ? rate.toFixed(2) : rate < 10 ? rate.toFixed(1) : Math.round(rate)}x`;
}

/** The time of day here. */
export function clock(ms, parts = 0) {
  const date = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return parts ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

/** How good a row of requests is: what an eye is led to. */
export function tone(row) {
  if (!row.requests) return "idle";
  if (!row.failures) return "good";
  return row.failures * 20 <= row.requests ? "warn" : "bad";
}

/** The tone in a word, for who sees no colours. */
export function toneWord(name) {
  return { idle: "no traffic", good: "fine", warn: "some fail", bad: "many fail" }[name] ?? name;
}

/** How a request ended. */
export function status(span) {
  const code = span.grpc_status !== null && span.grpc_status !== undefined ? `gRPC ${span.grpc_status}` : span.status ? String(span.status) : "–";
  return span.failure ? `${code} ${span.failure}` : code;
}

/** Whether it failed, as the mesh counts failures. */
export function failed(span) {
  const grpc = span.grpc_status;
  if (grpc !== null && grpc !== undefined) return [2, 4, 12, 13, 14, 15].includes(grpc);
  return span.status >= 500 || (span.status === 0 && Boolean(span.failure));
}
