// Places of a graph: the same for the same graph, layers in order, nothing upon another thing.

import assert from "node:assert/strict";
import test from "node:test";
import { layers, layout } from "../../../controller/src/dashboard/assets/layout.js";

const node = (id) => ({ id });
const link = (from, to) => ({ id: `${from}>${to}`, from, to });
const SIZE = { node: { width: 100, height: 40 }, gap: { along: 60, across: 20 }, direction: "right" };
const SHOP = {
  nodes: ["visitor", "web", "catalog", "reviews-v1", "reviews-v2", "cart", "stock"].map(node),
  links: [["visitor", "web"], ["web", "catalog"], ["web", "reviews-v1"], ["web", "reviews-v2"], ["web", "cart"], ["cart", "stock"]].map(([a, b]) => link(a, b)),
};

test("callers come before those whom they call", () => {
  const layer = layers(SHOP.nodes, SHOP.links);
  for (const { from, to } of SHOP.links) assert.ok(layer.get(from) < layer.get(to), `${from} ${to}`);
  assert.equal(layer.get("stock"), 3);
});

test("circles, calls of oneself and long chains end", () => {
  const layer = layers(["a", "b", "c"].map(node), [link("a", "b"), link("b", "c"), link("c", "a"), link("b", "b")]);
  assert.deepEqual([...layer.values()].sort(), [0, 1, 2]);
  const long = Array.from({ length: 5000 }, (_, i) => node(`n${i}`));
  const chain = layers(long, long.slice(1).map((one, i) => link(`n${i}`, one.id)));
  assert.equal(chain.get("n4999"), 4999);
});

test("no two boxes lie upon each other, and all are within the picture", () => {
  for (const size of [SIZE, { ...SIZE, direction: "down", most: 2 }]) {
    const { nodes, width, height } = layout(SHOP.nodes, SHOP.links, size);
    const all = [...nodes.values()];
    all.forEach((a, i) => {
      assert.ok(a.x >= 50 && a.x <= width - 50 && a.y >= 20 && a.y <= height - 20);
      for (const b of all.slice(i + 1)) assert.ok(Math.abs(a.x - b.x) >= 100 || Math.abs(a.y - b.y) >= 40);
    });
  }
});

test("a picture does not depend on the order of the answer", () => {
  const other = layout([...SHOP.nodes].reverse(), [...SHOP.links].reverse(), SIZE);
  assert.deepEqual(new Map([...layout(SHOP.nodes, SHOP.links, SIZE).nodes].sort()), new Map([...other.nodes].sort()));
});

test("lines that need not cross do not", () => {
  const nodes = ["a", "b", "x", "y"].map(node);
  const { nodes: at } = layout(nodes, [link("a", "y"), link("b", "x")], SIZE);
  assert.equal(at.get("a").y < at.get("b").y, at.get("y").y < at.get("x").y);
});

test("a line to somebody who is not there is left out", () => {
  const drawn = layout([node("a")], [link("a", "gone"), link("a", "a")], SIZE);
  assert.deepEqual([...drawn.links.keys()], ["a>a"]);
  assert.match(drawn.links.get("a>a").d, /^M[-\d.]+,[-\d.]+ C/);
});
