// Parts that several pages show.

import { el } from "./dom.js";
import { percent, success as share, tone, toneWord } from "./format.js";
import { href } from "./route.js";

/** Nothing is there, why, and what to do. */
export function empty(what, next) {
  return el("div", { class: "empty" }, el("p", { class: "strong" }, what), el("p", {}, next));
}

/** Success with its tone: by a mark, not by colour alone. */
export function success(row) {
  const name = tone(row);
  const mark = { good: "●", warn: "▲", bad: "✕", idle: "○" }[name];
  return el("span", { class: `tone ${name}` }, el("span", { "aria-hidden": "true" }, `${mark} `), percent(share(row)), el("span", { class: "unseen" }, ` ${toneWord(name)}`));
}

/** A state in a word, with its tone. */
export function state(name, word) {
  const mark = { good: "●", warn: "▲", bad: "✕", idle: "○" }[name];
  return el("span", { class: `tone ${name}` }, el("span", { "aria-hidden": "true" }, `${mark} `), word);
}

/** A number that one looks at first. */
export function figure(label, value, more) {
  return el("div", { class: "figure" }, el("dt", {}, label), el("dd", {}, value, more ? el("span", { class: "faint" }, " ", more) : null));
}

/** Figures in a row. */
export function figures(...all) {
  return el("dl", { class: "figures" }, all);
}

/** `name.namespace` as a link to its page. */
export function thing(kind, namespace, name, common) {
  if (!name) return el("span", { class: "faint" }, "outside");
  return [el("a", { href: href([kind, namespace, name], common) }, name), el("span", { class: "faint" }, `.${namespace}`)];
}

/** How a request was secured, in a word. */
export function security(name) {
  const word = { mtls: "mTLS", tls: "TLS", plaintext: "plaintext", unknown: "–" }[name] ?? name;
  return name === "plaintext" ? state("bad", word) : word;
}
