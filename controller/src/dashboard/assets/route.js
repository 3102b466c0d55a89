// Where in the dashboard one is: the fragment of the address, so that every view is a link. Pure.

/** `#/svc/shop/cart?window=600` as path and query. */
export function parse(hash) {
  const text = hash.replace(/^#/, "");
  const at = text.indexOf("?");
  const path = (at < 0 ? text : text.slice(0, at)).split("/").filter(Boolean).map(decode);
  return { path, query: Object.fromEntries(new URLSearchParams(at < 0 ? "" : text.slice(at + 1))) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The fragment of a view; what is empty is left out. */
export function href(path, query = {}) {
  const parts = path.map((part) => encodeURIComponent(part === "" ? "-" : part)).join("/");
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null));
  const text = params.toString();
  return `#/${parts}${text ? `?${text}` : ""}`;
}

/** What is the same in every view: which namespace, how far back. */
export function common(query) {
  return { ns: query.ns, window: query.window };
}

/** Seconds to look back; a view has its own usual ones. */
export function seconds(query, usual) {
  const wanted = Number(query.window);
  return wanted >= 1 && wanted <= 3600 ? wanted : usual;
}
