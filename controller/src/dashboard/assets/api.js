// Questions to the controller, the session that they need, and answers that are kept up to date. The key is kept where only pages of this
// address and port read it; the other half of the session is a cookie that no script reads.

import { SignedOut, Away } from "./errors.js";

export { SignedOut, Away };

const KEY = "amime.key";
/** For one answer. */
const DEADLINE_MS = 6_000;

function headers() {
  return { "x-amime-key": localStorage.getItem(KEY) ?? "" };
}

async function send(url, options, signal) {
  let response;
  try {
    response = await fetch(url, { ...options, signal, cache: "no-store", credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError" && signal.reason?.name !== "TimeoutError") throw error;
    throw new Away("the controller does not answer");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const text = body.error ?? `the controller answers ${response.status}`;
  if (response.status === 401) throw new SignedOut(text);
  throw new Error(text);
}

function path(name, params) {
  const given = Object.entries(params ?? {}).filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false);
  const query = new URLSearchParams(given.map(([key, value]) => [key, value === true ? "1" : String(value)])).toString();
  return `/api/${name}${query ? `?${query}` : ""}`;
}

/** Opens a stream. */
export function open(name, params, signal) {
  return send(path(name, params), { headers: headers() }, signal);
}

/** One answer. */
export async function ask(name, params, signal) {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
  const response = await send(path(name, params), { headers: headers() }, either);
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Away("the controller does not answer");
  }
}

/** Who is signed in. */
export async function session() {
  // Without a key nobody is, and there is no need to ask.
  if (!localStorage.getItem(KEY)) throw new SignedOut("");
  return ask("session");
}

/** Signs in with `{ ticket }` or `{ token }`. */
export async function signIn(proof) {
  const options = { method: "POST", body: JSON.stringify(proof), headers: { "content-type": "application/json" } };
  const answer = await (await send("/api/session", options, AbortSignal.timeout(20_000))).json();
  localStorage.setItem(KEY, answer.key);
  return answer;
}

/** Signs out, also where the controller does not hear of it. */
export async function signOut() {
  try {
    await send("/api/session", { method: "DELETE", headers: headers() }, AbortSignal.timeout(DEADLINE_MS));
  } finally {
    localStorage.removeItem(KEY);
  }
}

/** Between questions. */
const EVERY_MS = 5_000;
const known = new Map();

/**
 * Asks `questions` (name to `[question, params]`) again and again while the page can be seen; `show({ data, at, error })` after each round,
 * and at once with what was known a short while ago. Data stay when a round fails. Gives a function that stops it.
 */
export function live(questions, show) {
  const id = JSON.stringify(questions);
  const stop = new AbortController();
  let state = known.get(id) ?? { data: null, at: 0, error: null };
  let timer;
  show(state);
  const round = async () => {
    clearTimeout(timer);
    try {
      const names = Object.keys(questions);
      const answers = await Promise.all(names.map((name) => ask(...questions[name], stop.signal)));
      state = { data: Object.fromEntries(names.map((name, i) => [name, answers[i]])), at: Date.now(), error: null };
      remember(id, state);
    } catch (error) {
      if (stop.signal.aborted) return;
      state = { ...state, error };
    }
    if (stop.signal.aborted) return;
    show(state);
    if (!(state.error instanceof SignedOut) && !document.hidden) timer = setTimeout(round, EVERY_MS);
  };
  const seen = () => { if (!document.hidden) round(); };
  document.addEventListener("visibilitychange", seen);
  round();
  return () => {
    stop.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}

/** Answers of the last views, so that going back shows something at once. */
function remember(id, state) {
  known.delete(id);
  known.set(id, state);
  for (const old of known.keys()) {
    if (known.size <= 24) break;
    known.delete(old);
  }
}

/** Nobody else's answers are shown after signing out. */
export function forget() {
  known.clear();
}
