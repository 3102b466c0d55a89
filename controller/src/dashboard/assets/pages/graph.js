// Topology: who calls whom, live. The picture and a table of the same, for who reads tables better.

import { el, render } from "../dom.js";
import { millis, percent, rate, success, tone, toneWord } from "../format.js";
import { layout } from "../layout.js";
import { graph } from "../model.js";
import { href } from "../route.js";
import { empty, success as successCell } from "../views.js";
import { table } from "../table.js";

export const title = "Topology";

/** A picture of more than one screen is worse than none; this is about when one ends. */
const NARROW = 640;

export function start(root, route, tools) {
  let state;
  let width = root.clientWidth;
  const draw = () => {
    if (!state) return;
    const { data } = state;
    render(root, tools.heading("Topology", "Who calls whom, how often and how well. Follow a box or a line for more."), tools.about(state),
      data ? view(data) : null);
  };
  const view = ({ edges, deploy }) => {
    const { nodes, links, left } = graph(edges.edges, deploy.rows);
    if (!nodes.length) return empty("There is nobody here yet", "Workloads appear as soon as they run with a sidecar; give a namespace the label amime.io/inject=enabled, or use meshctl run.");
    const busy = nodes.filter((node) => node.asked);
    const idle = nodes.filter((node) => !node.asked);
    return [
      busy.length ? picture(busy, links, width - 12, route.query) : empty("Nobody calls anybody", `No request in the last ${tools.seconds} s.`),
      left ? el("p", { class: "notice" }, `${left} further workloads are not shown; choose a namespace.`) : null,
      idle.length ? el("p", { class: "faint" }, "Without traffic: ", idle.map((node, i) => [i ? ", " : "", el("a", { href: href(["deploy", node.namespace, node.name], tools.common) }, node.name)])) : null,
      legend(),
      el("h2", {}, "Calls"),
      calls(links, tools, draw),
    ];
  };
  // Its own drawing changes the height, never the width.
  const resized = new ResizeObserver(() => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    requestAnimationFrame(draw);
  });
  resized.observe(root);
  const stop = tools.live({
    edges: ["edges", { window: tools.seconds, namespace: tools.namespace }],
    deploy: ["stat", { kind: "deploy", window: tools.seconds, namespace: tools.namespace }],
  }, (next) => { state = next; draw(); });
  return () => { resized.disconnect(); stop(); };
}

function calls(links, tools, draw) {
  const rows = links.map((link) => ({ ...link, key: link.id, names: link.id.split(">") }));
  return table("calls", "Calls between workloads", [
    { name: "From", sort: (row) => row.from, cell: (row) => short(row.from) },
    { name: "To", sort: (row) => row.to, cell: (row) => el("a", { href: edgeHref(row, tools.common) }, short(row.to)) },
    { name: "Requests/s", align: "right", sort: (row) => row.rps ?? 0, cell: (row) => rate(row.rps) },
    { name: "Success", align: "right", sort: (row) => success(row) ?? 2, cell: successCell },
    { name: "p99", align: "right", sort: (row) => row.p99_ms ?? 0, cell: (row) => millis(row.p99_ms) },
    { name: "Secured", sort: (row) => (row.secured ? "yes" : "no"), cell: (row) => (row.secured ? "yes" : el("span", { class: "bad" }, `no: ${row.reason}`)) },
  ], rows, draw, { column: 2, down: true });
}

function short(key) {
  const [namespace, name] = key.split("/");
  return name === "-" ? "outside" : [name, el("span", { class: "faint" }, `.${namespace}`)];
}

export function edgeHref(link, common) {
  return href(["edge", ...link.from.split("/"), ...link.to.split("/")], common);
}

function legend() {
  const item = (name, text) => el("li", {},
    el("svg", { viewBox: "0 0 34 10", width: 34, height: 10, "aria-hidden": "true", class: `link ${name}` }, el("path", { d: "M1,5 H33" })), text);
  return el("ul", { class: "legend", "aria-label": "What lines mean" },
    item("good", "secured, fine"), item("warn", "✕ some fail"), item("bad", "✕ many fail"), item("open", "⚠ not encrypted"));
}

function picture(nodes, links, width, query) {
  const down = width < NARROW;
  const size = down
    ? { node: { width: 132, height: 48 }, gap: { along: 44, across: 16 }, direction: "down", most: Math.max(1, Math.floor((width + 16) / 148)) }
    : { node: { width: 164, height: 48 }, gap: { along: 118, across: 26 }, direction: "right" };
  const placed = layout(nodes, links, size);
  const edge = 14;
  const [w, h] = [placed.width + edge * 2, placed.height + edge * 2 + 16];
  // Never larger than life, and not so small that nobody can read it: then it scrolls.
  const scale = Math.min(1.15, Math.max(0.72, width / w));
  const marker = (name) => el("marker", { id: `arrow-${name}`, class: `arrow ${name}`, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, el("path", { d: "M0,0.5 L7,4 L0,7.5 z" }));
  const common = { ns: query.ns, window: query.window };
  return el("div", { class: "graph scroll", key: "graph", role: "region", tabindex: "0", "aria-label": "Picture of the topology" },
    el("svg", { viewBox: `${-edge} ${-edge - 16} ${w} ${h}`, width: Math.round(w * scale), height: Math.round(h * scale), "aria-label": `${nodes.length} workloads, ${links.length} connections` },
      el("defs", {}, ["good", "warn", "bad", "idle", "open"].map(marker)),
      el("g", {}, links.filter((link) => placed.links.has(link.id)).map((link) => line(link, placed.links.get(link.id), common))),
      el("g", {}, nodes.map((node) => box(node, placed.nodes.get(node.id), size.node, common))),
      // Above all: a line may pass behind a box.
      el("g", { class: "labels", "aria-hidden": "true" }, links.filter((link) => placed.links.has(link.id)).map((link) => label(link, placed.links.get(link.id))))));
}

/** Failing comes before unencrypted: both are said in words. */
function kind(link) {
  return link.secured || tone(link) !== "good" ? tone(link) : "open";
}

function line(link, { d }, common) {
  const name = kind(link);
  const words = `${plain(link.from)} calls ${plain(link.to)}: ${rate(link.rps)} requests a second, ${percent(success(link))} succeed, p99 ${millis(link.p99_ms)}, ${link.secured ? "secured" : `not encrypted: ${link.reason}`}`;
  return el("svg:a", { href: edgeHref(link, common), key: link.id, class: `link ${name}${link.secured ? "" : " open"}` },
    el("title", {}, words),
    el("path", { class: "hit", d }),
    el("path", { class: "line", d, "stroke-width": (1.2 + Math.min(3, Math.log10(1 + link.rps))).toFixed(1), "marker-end": `url(#arrow-${name})` }));
}

function label(link, { x, y }) {
  const text = `${link.failures ? `✕ ${percent(1 - success(link))}` : `${rate(link.rps)}/s`}${link.secured ? "" : " ⚠"}`;
  const length = text.length * 6.4 + 10;
  return el("g", { class: `link ${kind(link)}`, key: link.id },
    el("rect", { class: "label", x: x - length / 2, y: y - 9, width: length, height: 18, rx: 9 }),
    el("text", { x, y: y + 4, "text-anchor": "middle" }, text));
}

function plain(key) {
  const [namespace, name] = key.split("/");
  return name === "-" ? "outside" : `${name} in ${namespace}`;
}

function box(node, { x, y }, { width, height }, common) {
  const name = tone(node);
  const good = success(node);
  const words = node.outside ? "callers outside the mesh" : `${node.name} in ${node.namespace}: ${toneWord(name)}, ${rate(node.rps)} requests a second, ${percent(good)} succeed, p99 ${millis(node.p99_ms)}`;
  const inside = [
    el("title", {}, words),
    el("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 6 }),
    el("rect", { class: "mark", x: x - width / 2, y: y - height / 2, width: 4, height, rx: 2 }),
    el("text", { class: "name", x: x - width / 2 + 12, y: y - 4 }, cut(node.name, width / 7.6)),
    el("text", { class: "numbers", x: x - width / 2 + 12, y: y + 14 },
      node.outside ? "outside the mesh" : node.requests ? `${rate(node.rps)}/s · ${percent(good)}` : node.namespace),
  ];
  if (node.outside) return el("g", { class: "node outside", key: node.id, role: "img", "aria-label": words }, inside);
  return el("svg:a", { href: href(["deploy", node.namespace, node.name], common), key: node.id, class: `node ${name}` }, inside);
}

function cut(text, length) {
  return text.length <= length ? text : `${text.slice(0, Math.max(1, Math.floor(length) - 1))}…`;
}
