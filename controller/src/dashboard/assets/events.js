// Streams of events: server-sent events read with `fetch`, which can show the key of the session. The parser is pure.

import { Away, open } from "./api.js";

/** Longest event that is read. */
const MAX_EVENT = 4_000_000;

/** Takes pieces of text, gives whole events: `{ type, data }`; a sign of life has no data. */
export function parser() {
  let rest = "";
  return (piece) => {
    rest += piece;
    if (rest.length > MAX_EVENT) throw new Error("an event is too long");
    const events = [];
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      events.push(event(rest.slice(0, end)));
      rest = rest.slice(end + 2);
    }
    return events;
  };
}

function event(text) {
  let type = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return { type, data: data.length ? JSON.parse(data.join("\n")) : undefined };
}

/** A stream is given up when there is no sign of life for so long. */
const SILENCE_MS = 12_000;

/**
 * Follows a stream. `told(data)` for each event, `changed(state)` for `connecting`, `open`, `{ over }` (it ended as planned) and
 * `{ away }` (it broke; it is opened again). Gives a function that stops it.
 */
export function follow(name, params, told, changed) {
  const stop = new AbortController();
  const heard = (tell) => (what) => { if (!stop.signal.aborted) tell(what); };
  run(name, params, heard(told), heard(changed), stop.signal);
  return () => stop.abort();
}

async function run(name, params, told, changed, signal) {
  let wait = 1000;
  while (!signal.aborted) {
    changed("connecting");
    try {
      const over = await once(name, params, told, () => { wait = 1000; changed("open"); }, signal);
      if (over !== undefined) return changed({ over });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Away)) return changed({ failed: error });
      changed({ away: error });
    }
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 10_000);
  }
}

async function once(name, params, told, opened, signal) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await open(name, params, either);
    opened();
    const parse = parser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return undefined;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      for (const { type, data } of parse(value)) {
        if (type === "end") return data;
        if (data !== undefined) told(data);
      }
    }
  } catch (error) {
    if (error instanceof TypeError || silence.signal.aborted) throw new Away("the controller does not answer");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
