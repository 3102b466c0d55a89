// Places of nodes and links of a graph: layers from callers to called ones, few crossings, links as curves. Pure, and the same for the same
// graph whatever order it comes in, so that a picture that is drawn again every few seconds does not jump.

/** Rounds of putting each layer into an order with few crossings. */
const ROUNDS = 6;

/** Layer of each node: one more than the furthest of its callers. Links that close a circle are left out of it. */
export function layers(nodes, links) {
  const next = new Map(nodes.map((node) => [node.id, []]));
  const called = new Set();
  for (const { from, to } of links) {
    if (from === to || !next.has(from) || !next.has(to)) continue;
    next.get(from).push(to);
    called.add(to);
  }
  const roots = nodes.filter((node) => !called.has(node.id)).map((node) => node.id);
  const forward = new Map(nodes.map((node) => [node.id, []]));
  const state = new Map();
  // Without recursion: a chain may be as long as there are nodes.
  for (const root of [...roots, ...nodes.map((node) => node.id)]) {
    if (state.has(root)) continue;
    const path = [[root, 0]];
    state.set(root, "open");
    while (path.length) {
      const top = path[path.length - 1];
      const [at, i] = top;
      const child = next.get(at)[i];
      if (child === undefined) {
        state.set(at, "done");
        path.pop();
        continue;
      }
      top[1] += 1;
      if (state.get(child) === "open") continue;
      forward.get(at).push(child);
      if (!state.has(child)) {
        state.set(child, "open");
        path.push([child, 0]);
      }
    }
  }
  const waits = new Map(nodes.map((node) => [node.id, 0]));
  for (const all of forward.values()) for (const to of all) waits.set(to, waits.get(to) + 1);
  const layer = new Map(nodes.map((node) => [node.id, 0]));
  const ready = nodes.filter((node) => !waits.get(node.id)).map((node) => node.id);
  while (ready.length) {
    const at = ready.shift();
    for (const to of forward.get(at)) {
      layer.set(to, Math.max(layer.get(to), layer.get(at) + 1));
      waits.set(to, waits.get(to) - 1);
      if (!waits.get(to)) ready.push(to);
    }
  }
  return layer;
}

/** Nodes of each layer, in an order in which links cross little. Nodes that nobody calls and that call nobody are not in it. */
function order(nodes, links, layer) {
  const depth = Math.max(0, ...layer.values()) + 1;
  const rows = Array.from({ length: depth }, () => []);
  for (const node of [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1))) rows[layer.get(node.id)].push(node.id);
  const near = new Map(nodes.map((node) => [node.id, []]));
  for (const { from, to } of links) {
    if (from === to) continue;
    near.get(from)?.push(to);
    near.get(to)?.push(from);
  }
  const place = new Map();
  const note = (row) => row.forEach((node, i) => place.set(node, (i + 0.5) / row.length));
  rows.forEach(note);
  for (let round = 0; round < ROUNDS; round += 1) {
    const down = round % 2 === 0;
    const sequence = [...rows.keys()];
    for (const at of down ? sequence : sequence.reverse()) {
      const wanted = new Map(rows[at].map((node) => {
        const others = near.get(node).filter((other) => (down ? layer.get(other) < at : layer.get(other) > at));
        const mean = others.length ? others.reduce((sum, other) => sum + place.get(other), 0) / others.length : place.get(node);
        return [node, mean];
      }));
      rows[at].sort((a, b) => wanted.get(a) - wanted.get(b) || (a < b ? -1 : 1));
      note(rows[at]);
    }
  }
  return rows;
}

/**
 * `{ nodes: id to { x, y }, links: id to { d, x, y }, width, height }`: centres of nodes, and for each link its curve and where its label
 * belongs. `size`: `{ node: { width, height }, gap: { along, across }, across: "down" | "right" }`; layers follow each other to the right,
 * or downwards on narrow screens.
 */
export function layout(nodes, links, size) {
  const layer = layers(nodes, links);
  const rows = order(nodes, links, layer);
  const down = size.direction === "down";
  const [long, wide] = down ? [size.node.height, size.node.width] : [size.node.width, size.node.height];
  // A layer that is too broad goes on in a further line.
  const most = size.most ?? Infinity;
  const lanes = rows.flatMap((row) => {
    const count = Math.ceil(row.length / most) || 1;
    const each = Math.ceil(row.length / count);
    return Array.from({ length: count }, (_, i) => row.slice(i * each, (i + 1) * each));
  });
  const breadth = Math.max(1, ...lanes.map((lane) => lane.length));
  const places = new Map();
  lanes.forEach((lane, at) => {
    const along = at * (long + size.gap.along) + long / 2;
    const start = ((breadth - lane.length) * (wide + size.gap.across)) / 2 + wide / 2;
    lane.forEach((node, i) => {
      const across = start + i * (wide + size.gap.across);
      places.set(node, down ? { x: across, y: along } : { x: along, y: across });
    });
  });
  const extent = [lanes.length * (long + size.gap.along) - size.gap.along, breadth * (wide + size.gap.across) - size.gap.across];
  const out = tally(links, "from");
  const into = tally(links, "to");
  // Labels go to the end at which fewer lines meet.
  const at = ({ from, to }) => (size.most ? 0.9 : out.get(from) > into.get(to) ? 0.7 : out.get(from) < into.get(to) ? 0.3 : 0.5);
  const drawn = new Map(links.filter((link) => places.has(link.from) && places.has(link.to)).map((link) =>
    [link.id, curve(places.get(link.from), places.get(link.to), size, down, at(link))]));
  return { nodes: places, links: drawn, width: down ? extent[1] : extent[0], height: down ? extent[0] : extent[1] };
}

function tally(links, end) {
  const counts = new Map();
  for (const link of links) counts.set(link[end], (counts.get(link[end]) ?? 0) + 1);
  return counts;
}

function curve(from, to, { node }, down, t) {
  const round = (number) => Math.round(number * 10) / 10;
  if (from === to) {
    const [x, y] = [from.x, from.y - node.height / 2];
    return { d: `M${round(x - 14)},${round(y)} C${round(x - 30)},${round(y - 26)} ${round(x + 30)},${round(y - 26)} ${round(x + 14)},${round(y)}`, x: round(x), y: round(y - 20) };
  }
  const forward = down ? to.y > from.y : to.x > from.x;
  const sign = forward ? 1 : -1;
  const half = (down ? node.height : node.width) / 2;
  const [ax, ay] = down ? [from.x, from.y + sign * half] : [from.x + sign * half, from.y];
  // The arrow ends before the border.
  const [bx, by] = down ? [to.x, to.y - sign * (half + 5)] : [to.x - sign * (half + 5), to.y];
  const reach = Math.max(24, Math.abs(down ? by - ay : bx - ax) / 2) * sign;
  const [cx, cy, dx, dy] = down ? [ax, ay + reach, bx, by - reach] : [ax + reach, ay, bx - reach, by];
  // Back links bow, so that they do not lie upon those that lead forward.
  const bow = forward ? 0 : 30;
  const [ox, oy] = down ? [bow, 0] : [0, bow];
  const s = 1 - t;
  const middle = (a, b, c, d) => s ** 3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t ** 3 * d;
  return {
    d: `M${round(ax)},${round(ay)} C${round(cx + ox)},${round(cy + oy)} ${round(dx + ox)},${round(dy + oy)} ${round(bx)},${round(by)}`,
    x: round(middle(ax, cx + ox, dx + ox, bx)),
    y: round(middle(ay, cy + oy, dy + oy, by)),
  };
}
