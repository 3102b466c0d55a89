// Tables that can be sorted, in a region of their own that scrolls where the screen is narrow.

import { el } from "./dom.js";

/** By which column each table is sorted: it stays while one goes around. */
const orders = new Map();

/**
 * `columns`: `{ name, cell(row), sort(row)?, class?, align? }`; `rows` have a `key`. `again()` draws the page anew after another order was
 * chosen.
 */
export function table(id, caption, columns, rows, again, usual) {
  const order = orders.get(id) ?? usual ?? { column: 0, down: false };
  const by = columns[order.column]?.sort;
  const sorted = by ? [...rows].sort((a, b) => compare(by(a), by(b)) * (order.down ? -1 : 1) || compare(a.key, b.key)) : rows;
  const choose = (column) => {
    const first = typeof (columns[column].sort(rows[0] ?? {}) ?? 0) === "number";
    orders.set(id, { column, down: order.column === column ? !order.down : first });
    again();
  };
  const head = columns.map((column, i) => {
    const chosen = by && order.column === i;
    const sort = column.sort ? (chosen ? (order.down ? "descending" : "ascending") : "none") : null;
    const arrow = chosen ? (order.down ? " ↓" : " ↑") : "";
    const inside = column.sort
      ? el("button", { type: "button", on: { click: () => choose(i) } }, column.name, el("span", { "aria-hidden": "true" }, arrow))
      : column.name;
    return el("th", { scope: "col", class: classes(column), "aria-sort": sort }, inside);
  });
  const body = sorted.map((row) => el("tr", { key: row.key, class: row.class }, columns.map((column, i) =>
    el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: classes(column) }, column.cell(row)))));
  return el("div", { class: "scroll", key: id, role: "region", tabindex: "0", "aria-label": caption },
    el("table", {},
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, body)));
}

function classes(column) {
  return [column.align === "right" ? "number" : "", column.class ?? ""].filter(Boolean).join(" ") || null;
}

/** Numbers as numbers, names as names; what is not there comes first. */
export function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
