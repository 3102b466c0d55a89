// Configuration: which objects are in force, on how many sidecars, what is wrong with the others, and which sidecars are behind.

import { el, render } from "../dom.js";
import { clock } from "../format.js";
import { wrong } from "../model.js";
import { table } from "../table.js";
import { empty, figure, figures, state as word, thing } from "../views.js";
import { href } from "../route.js";

export const title = "Configuration";

const TONES = { synced: "good", behind: "warn", rejects: "bad", "not connected": "warn", left: "idle" };

export function start(root, route, tools) {
  const only = route.query.only === "wrong";
  let state;
  const draw = () => {
    if (!state) return;
    render(root, tools.heading("Configuration", "Objects and what became of them; sidecars and what they have."), tools.about(state), state.data ? view(state.data) : null);
  };
  const view = ({ sync, version }) => {
    const inNamespace = (object) => {
      const of = object.object.split(" ")[1]?.split("/") ?? [];
      return !tools.namespace || of.length < 2 || of[0] === tools.namespace;
    };
    const objects = sync.objects.filter(inNamespace).map((object) => ({ ...object, key: `${object.object}@${object.origin}`, why: wrong(object) }));
    const proxies = sync.proxies.filter((proxy) => !tools.namespace || proxy.namespace === tools.namespace).map((proxy) => ({ ...proxy, key: `${proxy.namespace}/${proxy.workload}/${proxy.instance}` }));
    const bad = objects.filter((object) => object.why);
    const behind = proxies.filter((proxy) => !["synced", "left"].includes(proxy.state));
    const shown = only ? bad : objects;
    const versions = version.proxies.map(({ version, count }) => `${version} (${count})`).join(", ");
    return [
      figures(
        figure("Objects", objects.length), figure("Not in force", bad.length ? word("bad", bad.length) : word("good", "none")),
        figure("Sidecars", proxies.filter((proxy) => proxy.connected).length, "connected"), figure("Not up to date", behind.length ? word("warn", behind.length) : word("good", "none")),
        figure("Revision", sync.revision, `of ${clock(sync.source_time_ms)}`), figure("Controller", version.controller, versions ? `sidecars ${versions}` : "")),
      el("h2", {}, "Objects"),
      el("div", { class: "controls" }, el("div", { class: "switch", role: "group", "aria-label": "Which objects" },
        el("a", { href: href(["config"], tools.common), "aria-current": only ? null : "true" }, "All"),
        el("a", { href: href(["config"], { ...tools.common, only: "wrong" }), "aria-current": only ? "true" : null }, "What is wrong"))),
      shown.length ? table("objects", "Objects and whether they are in force", [
        { name: "Object", sort: (row) => row.object, cell: (row) => row.object },
        { name: "State", sort: (row) => (row.why ? 0 : 1), cell: (row) => (row.why ? word("bad", "not in force") : word("good", "in force")) },
        { name: "On sidecars", align: "right", sort: (row) => (row.programmed_of ? row.programmed / row.programmed_of : 2), cell: (row) => (row.programmed_of ? `${row.programmed}/${row.programmed_of}` : "–") },
        { name: "Why", class: "text", cell: (row) => row.why || "–" },
        { name: "From", class: "wide mono", sort: (row) => row.origin, cell: (row) => row.origin },
      ], shown, draw, { column: 1, down: false }) : empty(only ? "Nothing is wrong" : "There are no objects", only ? "Every object is in force." : "Apply one, or put YAML into the folder of the mesh."),
      el("h2", {}, "Sidecars"),
      proxies.length ? table("proxies", "Sidecars and what they have", [
        { name: "Workload", sort: (row) => row.workload, cell: (row) => thing("deploy", row.namespace, row.workload, tools.common) },
        { name: "State", sort: (row) => row.state, cell: (row) => word(TONES[row.state] ?? "warn", row.state) },
        { name: "Has", align: "right", sort: (row) => row.acked_revision, cell: (row) => row.acked_revision },
        { name: "Was sent", align: "right", sort: (row) => row.sent_revision, cell: (row) => row.sent_revision },
        { name: "Refuses", class: "text", cell: (row) => row.rejects.map(({ resource, field, reason }) => `${resource}: ${field}: ${reason}`).join("; ") || "–" },
        { name: "Version", class: "wide", sort: (row) => row.version, cell: (row) => row.version },
        { name: "Since", class: "wide", sort: (row) => row.since_ms, cell: (row) => clock(row.since_ms) },
      ], proxies, draw, { column: 1, down: false }) : el("p", { class: "faint" }, "No sidecar is connected."),
    ];
  };
  return tools.live({ sync: ["sync", {}], version: ["version", {}] }, (next) => { state = next; draw(); });
}
