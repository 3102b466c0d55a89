// The frame: which page is shown, the bar and the navigation around it, how fresh the numbers are, keys, and light and dark.

import { Away, SignedOut, ask, forget, live, session, signOut } from "./api.js";
import { el, render } from "./dom.js";
import { clock } from "./format.js";
import { common, href, parse, seconds } from "./route.js";
import * as canaries from "./pages/canaries.js";
import * as certs from "./pages/certs.js";
import * as config from "./pages/config.js";
import * as edge from "./pages/edge.js";
import * as objectives from "./pages/objectives.js";
import * as graph from "./pages/graph.js";
import * as service from "./pages/service.js";
import * as services from "./pages/services.js";
import * as signin from "./pages/signin.js";
import * as tap from "./pages/tap.js";
import * as traces from "./pages/traces.js";

/** First parts of the address, and their pages. */
const PAGES = { graph, services, svc: service, deploy: service, edge, tap, traces, trace: traces, objectives, canaries, certs, config, signin };
/** What the navigation shows: address, text, key after `g`. */
const NAVIGATION = [["graph", "Topology", "t"], ["services", "Services", "s"], ["tap", "Tap", "p"], ["traces", "Traces", "r"], ["objectives", "Objectives", "b"], ["canaries", "Releases", "n"], ["certs", "Certificates", "c"], ["config", "Configuration", "o"]];
/** Shown in the navigation where there are some. */
const OPTIONAL = ["objectives", "canaries"];
const WINDOWS = [[60, "1 min"], [300, "5 min"], [900, "15 min"], [3600, "1 h"]];
/** Seconds that are looked back usually. */
const USUAL = 60;

const main = document.getElementById("main");
const bar = document.getElementById("bar");
const nav = document.getElementById("nav");
const help = document.getElementById("help");

const frame = { route: parse(location.hash), stop: () => {}, viewer: null, fresh: { kind: "quiet" }, namespaces: [], views: 0, canaries: false, objectives: false };

function go() {
  const route = parse(location.hash);
  const before = frame.route;
  const [name] = route.path;
  if (!name) return location.replace(href(["graph"]));
  frame.stop();
  frame.route = route;
  frame.fresh = { kind: "quiet" };
  const page = PAGES[name];
  // Each view has a place of its own: what comes late for an old one is drawn where nobody sees it.
  frame.views += 1;
  const root = el("div", { class: "view", key: frame.views });
  render(main, root);
  if (!page) {
    frame.stop = () => {};
    render(root, el("h1", { tabindex: "-1" }, "There is no such page"), el("p", {}, el("a", { href: href(["graph"]) }, "Go to the topology")));
  } else {
    frame.stop = page.start(root, route, tools(route)) ?? (() => {});
  }
  const title = typeof page?.title === "function" ? page.title(route) : page?.title ?? "Not found";
  document.title = `${title} · Amime`;
  around();
  if (before.path.join("/") !== route.path.join("/")) {
    main.scrollTop = 0;
    window.scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

/** What pages get: what is common to all, and how they tell how they fare. */
function tools(route) {
  const wanted = seconds(route.query, USUAL);
  return {
    common: common(route.query),
    namespace: route.query.ns ?? "",
    seconds: wanted,
    heading: (text, more, style) => el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, text), more ? el("p", { class: style ? `faint ${style}` : "faint" }, more) : null),
    live: (questions, show) => live(questions, (state) => {
      if (state.error instanceof SignedOut) return out(state.error);
      fresh(state);
      show(state);
    }),
    about,
    failed: (error) => { if (error instanceof SignedOut) out(error); },
    entered,
  };
}

/** Loading, failed and partial states, the same on every page. */
function about({ data, at, error, quiet }) {
  if (quiet) return null;
  if (!data && !error) return el("div", { class: "loading", role: "status" }, el("span", { class: "unseen" }, "Loading"), [1, 2, 3].map(() => el("span", { class: "bone" })));
  const notes = [];
  if (error && !data) notes.push(el("p", { class: "notice bad", role: "alert" }, error instanceof Away ? "The controller does not answer. It is asked again every few seconds; traffic does not depend on it." : error.message));
  if (error && data) notes.push(el("p", { class: "notice bad", role: "alert" }, el("strong", {}, "Stale. "), `${error instanceof Away ? "The controller does not answer" : error.message}; what you see is of ${clock(at)}. Traffic does not depend on the controller.`));
  const silent = [...new Set(Object.values(data ?? {}).flatMap((answer) => answer.unanswered ?? []))];
  if (silent.length) notes.push(el("p", { class: "notice warn" }, `Without what reports to the controller's replicas at ${silent.join(", ")}: they do not answer.`));
  return notes;
}

function fresh({ data, at, error }) {
  frame.fresh = error ? { kind: "stale", at } : data ? { kind: "live", at } : { kind: "loading" };
  for (const row of data?.deploy?.rows ?? data?.stat?.rows ?? []) {
    if (row.namespace && !frame.namespaces.includes(row.namespace)) frame.namespaces = [...frame.namespaces, row.namespace].sort();
  }
  around();
}

function pill() {
  const { kind, at } = frame.fresh;
  const text = kind === "live" ? `Live · ${clock(at)}` : kind === "stale" ? (at ? `Stale since ${clock(at)}` : "No answer") : kind === "loading" ? "Loading" : "";
  return text ? el("span", { class: `pill ${kind}`, id: "fresh" }, el("span", { "aria-hidden": "true" }, kind === "stale" ? "▲ " : "● "), text) : null;
}

function around() {
  const { route, viewer } = frame;
  const [name] = route.path;
  const at = { svc: "services", deploy: "services", edge: "graph", trace: "traces" }[name] ?? name;
  const shared = common(route.query);
  const inside = viewer && name !== "signin";
  const change = (field) => (event) => { location.hash = href(route.path, { ...route.query, [field]: event.target.value }); };
  const namespaces = [...new Set(["", ...frame.namespaces, route.query.ns ?? ""])];
  render(bar,
    el("a", { class: "brand", href: href(["graph"], shared) }, el("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), "Amime"),
    inside ? el("label", { class: "choice" }, el("span", { class: "unseen" }, "Namespace"), el("select", { id: "namespace", value: route.query.ns ?? "", on: { change: change("ns") } }, namespaces.map((ns) => el("option", { value: ns }, ns || "All namespaces")))) : null,
    inside ? el("label", { class: "choice" }, el("span", { class: "unseen" }, "Look back"), el("select", { id: "window", value: String(seconds(route.query, USUAL)), on: { change: change("window") } }, windows(route).map(([value, text]) => el("option", { value: String(value) }, text)))) : null,
    el("span", { class: "space" }), pill(),
    el("button", { type: "button", id: "theme", "aria-label": `Theme: ${theme()}. Change`, title: `Theme: ${theme()}`, on: { click: turn } }, el("span", { "aria-hidden": "true" }, { auto: "◐", light: "☀", dark: "☾" }[theme()])),
    inside ? el("button", { type: "button", id: "keys", "aria-label": "Keyboard shortcuts and session", title: "Shortcuts and session", on: { click: showHelp } }, el("span", { "aria-hidden": "true" }, "?")) : null);
  // Releases and objectives are shown where there are some.
  const pages = NAVIGATION.filter(([page]) => !OPTIONAL.includes(page) || frame[page] || page === at);
  render(nav, inside ? el("ul", {}, pages.map(([page, text]) =>
    el("li", {}, el("a", { href: href([page], shared), "aria-current": page === at ? "page" : null }, text)))) : null);
  document.body.classList.toggle("bare", !inside);
}

function windows(route) {
  const wanted = seconds(route.query, USUAL);
  return WINDOWS.some(([value]) => value === wanted) ? WINDOWS : [...WINDOWS, [wanted, `${wanted} s`]].sort((a, b) => a[0] - b[0]);
}

const THEMES = ["auto", "light", "dark"];

function theme() {
  const chosen = localStorage.getItem("amime.theme");
  return THEMES.includes(chosen) ? chosen : "auto";
}

function turn() {
  localStorage.setItem("amime.theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
  show();
  around();
}

function show() {
  document.documentElement.dataset.theme = theme();
}

function out(error) {
  frame.stop();
  frame.stop = () => {};
  forget();
  frame.viewer = null;
  if (frame.route.path[0] !== "signin") sessionStorage.setItem("amime.wanted", location.hash);
  location.hash = href(["signin"], { why: error?.message ?? "" });
}

/** Whether there are releases and objectives to show; asked once, and again where they are shown. */
function lookForMore() {
  for (const page of OPTIONAL) {
    ask(page).then((answer) => { frame[page] = answer[page].length > 0; around(); }).catch(() => {});
  }
}

async function entered() {
  frame.viewer = await session();
  lookForMore();
  const wanted = sessionStorage.getItem("amime.wanted");
  sessionStorage.removeItem("amime.wanted");
  location.hash = wanted || href(["graph"]);
}

function shortcuts() {
  return localStorage.getItem("amime.keys") !== "off";
}

function showHelp() {
  const toggle = (event) => localStorage.setItem("amime.keys", event.target.checked ? "on" : "off");
  const leave = async () => {
    help.close();
    await signOut().catch(() => {});
    out(null);
  };
  const line = (keys, text) => [el("dt", {}, keys.map((key, i) => [i ? " then " : "", el("kbd", {}, key)])), el("dd", {}, text)];
  render(help,
    el("h2", { id: "help-title" }, "Keys"),
    el("dl", { class: "keys" }, NAVIGATION.map(([, text, key]) => line(["g", key], text)), line(["/"], "Find on this page"), line(["d"], "Light or dark"), line(["?"], "This list")),
    el("label", { class: "check" }, el("input", { type: "checkbox", checked: shortcuts(), on: { change: toggle } }), el("span", {}, "Keys are on")),
    el("h2", {}, "Session"),
    el("p", {}, `${frame.viewer?.viewer ?? ""}, until ${clock(frame.viewer?.until_ms ?? 0)}; read only. Amime ${frame.viewer?.version ?? ""}.`),
    el("div", { class: "buttons" }, el("button", { type: "button", on: { click: leave } }, "Sign out"), el("button", { type: "button", class: "first", on: { click: () => help.close() } }, "Close")));
  help.showModal();
}

let prefix = 0;

function key(event) {
  if (!frame.viewer || !shortcuts() || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.closest("input, select, textarea")) return;
  if (Date.now() - prefix < 1500) {
    prefix = 0;
    const page = NAVIGATION.find(([, , letter]) => letter === event.key);
    if (page) location.hash = href([page[0]], common(frame.route.query));
    return;
  }
  if (event.key === "g") prefix = Date.now();
  else if (event.key === "d") turn();
  else if (event.key === "?") showHelp();
  else if (event.key === "/") {
    const field = main.querySelector("[data-find]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  }
}

async function begin() {
  show();
  if (frame.route.path[0] !== "signin") {
    try {
      frame.viewer = await session();
      lookForMore();
    } catch (error) {
      if (error instanceof SignedOut) {
        window.addEventListener("hashchange", go);
        out(localStorage.getItem("amime.key") ? error : null);
        return go();
      }
      // The page says so itself, and goes on asking.
      frame.viewer = { viewer: "", until_ms: 0 };
    }
  }
  window.addEventListener("hashchange", go);
  go();
}

document.addEventListener("keydown", key);
begin();
