// Elements from data, and a page that changes only where data did, so that focus, selection and scrolling stay. Data becomes text, never
// markup.

const SVG = new Set(["svg", "g", "path", "rect", "circle", "line", "text", "title", "defs", "marker", "polyline", "polygon"]);
const NAMESPACE = "http://www.w3.org/2000/svg";

function dispatch(event) {
  this.__on?.[event.type]?.call(this, event);
}

function listen(node, handlers) {
  for (const type of Object.keys(handlers)) {
    if (!node.__on?.[type]) node.addEventListener(type, dispatch);
  }
  node.__on = { ...node.__on, ...handlers };
}

function attribute(node, name, value) {
  if (name === "on") listen(node, value);
  else if (name === "key") node.__key = value;
  else if (name === "value" && "value" in node && node.tagName !== "OPTION") {
    node.__value = value;
    node.value = value;
  } else if (name === "checked") {
    node.__checked = value;
    node.checked = value;
  } else if (value === true) node.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
}

/** An element (`svg:a` for a name that HTML has too) with attributes (`on`: handlers, `key`: what it is among its siblings) and children: nodes, texts, numbers, lists, nothing. */
export function el(name, attributes, ...children) {
  const drawn = name.startsWith("svg:") ? name.slice(4) : SVG.has(name) ? name : null;
  const node = drawn ? document.createElementNS(NAMESPACE, drawn) : document.createElement(name);
  const late = [];
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "value") late.push([key, value]);
    else attribute(node, key, value);
  }
  node.append(...nodes(children));
  // The value of a select is known once its options are there.
  for (const [key, value] of late) attribute(node, key, value);
  return node;
}

function nodes(children) {
  const flat = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
  return flat.map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** Makes `parent` have these children. */
export function render(parent, ...children) {
  morphChildren(parent, nodes(children));
}

function same(have, want) {
  return have.nodeType === want.nodeType && have.nodeName === want.nodeName && have.__key === want.__key;
}

function morphChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.__key !== undefined) keyed.set(child.__key, child);
  let at = parent.firstChild;
  for (const want of wanted) {
    const candidate = want.__key !== undefined ? keyed.get(want.__key) : at?.__key === undefined ? at : null;
    if (candidate && same(candidate, want)) {
      if (candidate === at) at = at.nextSibling;
      else parent.insertBefore(candidate, at);
      morph(candidate, want);
    } else {
      parent.insertBefore(want, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function morph(have, want) {
  if (have.nodeType === Node.TEXT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) {
    // Whether it is open, the reader says.
    const theirs = name === "open" && (have.tagName === "DETAILS" || have.tagName === "DIALOG");
    if (!theirs && !want.hasAttribute(name)) have.removeAttribute(name);
  }
  if (want.__on) listen(have, want.__on);
  morphChildren(have, [...want.childNodes]);
  if (want.__value !== undefined && have !== document.activeElement) have.value = want.__value;
  if (want.__checked !== undefined) have.checked = want.__checked;
}
