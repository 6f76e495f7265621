/** Builds elements. Text becomes text nodes, so no markup in a task's title can act. */

const SVG = "http://www.w3.org/2000/svg";

/** Return a new HTML element. A property `onclick` is a listener, `true` an attribute without a value. */
export function h(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

/** Return a button with a text or an icon. */
export function button(text, onclick, properties = {}) {
  return h("button", { type: "button", onclick, ...properties }, text);
}

/** Return a 20-pixel icon that is one stroke. */
export function icon(path) {
  return svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", class: "icon" }, svg("path", { d: path }));
}

/** Return a table. The first cell of each row is its header. */
export function table(name, columns, rows) {
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)));
  const body = rows.map(([header, ...cells]) =>
    h("tr", {}, h("th", { scope: "row" }, header), cells.map((cell) => h("td", { dir: "auto" }, cell))),
  );
  return h("table", { "aria-label": name }, h("thead", {}, head), h("tbody", {}, body));
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}
