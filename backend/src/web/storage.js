/** What the tab keeps over a reload. A browser may have no room for it, or forbid it: then the page keeps it. */

const kept = new Map();

/** Keep a JSON value, or forget it if it is null. */
export function keep(name, value) {
  kept.set(name, value);
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // It is in `kept`.
  }
}

export function recall(name) {
  try {
    if (!kept.has(name)) kept.set(name, JSON.parse(sessionStorage.getItem(name)));
  } catch {
    return null;
  }
  return kept.get(name);
}
