/** The history: filters, pages, and new entries as they are written. */

import { call } from "./api.js";
import { explainIn } from "./changes.js";
import { button, h } from "./dom.js";
import { downloadButton } from "./download.js";
import { EntryRow } from "./entry_row.js";
import { bundled } from "./waiting.js";

const PAGE = 20;
const LIMIT_MAX = 100;
const TYPING_MS = 250;
const LAST_DATE = "9999-12-31"; // Otherwise a browser takes years of six digits.

const ACTIONS = {
  "": "All actions",
  CREATED: "Created",
  UPDATED: "Updated",
  COMPLETED: "Completed",
  INCOMPLETED: "Reopened",
  DELETED: "Deleted",
};

/** The order of `GET /history`: newest first, then by id. */
function compare(a, b) {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? 1 : -1;
  return a.history_id < b.history_id ? 1 : -Number(a.history_id > b.history_id);
}

/** Return the beginning of a day of the reader as the service takes it. `later` counts days. */
function beginningOf(date, later = 0) {
  const [year, month, day] = date.split("-").map(Number);
  return new Date(year, month - 1, day + later).toISOString();
}

export class HistoryView {
  title = "History";
  #rows = []; // In the order of the list.
  #total = 0;
  #next = null; // The query of the next page.
  #task = null; // The id of the only task to show.
  #reading = new AbortController();
  #typing;
  #action = h("select", { "aria-label": "Action" });
  #search = h("input", { type: "search", "aria-label": "Search history", placeholder: "Search", maxlength: 200 });
  #from = h("input", { type: "date", id: "from", max: LAST_DATE });
  #to = h("input", { type: "date", id: "to", max: LAST_DATE });
  #all = button("Show all tasks", () => this.showTask(null), { hidden: true });
  #count = h("p", { class: "quiet", role: "status", "aria-label": "Entries" });
  #list = h("ul", { "aria-label": "History", class: "entries", role: "list" });
  #empty = h("p", { class: "empty", role: "status", hidden: true });
  #more = button("Show more", () => this.#showMore(), { class: "more", hidden: true });

  constructor() {
    this.#action.append(...Object.entries(ACTIONS).map(([value, text]) => h("option", { value }, text)));
    for (const field of [this.#action, this.#from, this.#to]) field.addEventListener("change", () => this.#restart());
    this.#search.addEventListener("input", () => this.#searchSoon());
    const filters = h("div", { class: "filters" }, this.#search, this.#action);
    const from = h("div", {}, h("label", { for: "from" }, "From"), this.#from);
    const to = h("div", {}, h("label", { for: "to" }, "To"), this.#to);
    const bar = h("div", { class: "bar" }, this.#count, this.#all, downloadButton(() => this.#query()));
    const heading = h("h1", { tabindex: -1 }, "History");
    filters.append(from, to);
    this.element = h("section", {}, heading, filters, bar, this.#list, this.#empty, this.#more);
    this.reset = bundled(() => this.#read().catch((error) => this.#explain(error)));
  }

  /** Read the new entries: the service knows which of them belong here. */
  changed(entries) {
    const tasks = new Set(entries.map((entry) => entry.task_id));
    for (const row of this.#rows) if (tasks.has(row.entry.task_id)) row.refresh();
    return this.reset();
  }

  /** Show the entries of one task only, or of all tasks. */
  showTask(id) {
    this.#task = id;
    this.#all.hidden = id === null;
    (id === null ? this.#action : this.#all).focus();
    this.#restart();
  }

  #query() {
    const query = new URLSearchParams();
    const add = (name, value) => value && query.append(name, value);
    add("q", this.#search.value.trim());
    add("action_type", this.#action.value);
    add("task_id", this.#task);
    add("from", this.#from.value && beginningOf(this.#from.value));
    add("to", this.#to.value && beginningOf(this.#to.value, 1));
    return query;
  }

  #searchSoon() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#restart(), TYPING_MS);
  }

  #restart() {
    this.#reading.abort();
    for (const row of this.#rows) row.element.remove();
    this.#rows = [];
    this.reset();
  }

  async #readPage(query) {
    return call("GET", `history?${query}`, { signal: this.#reading.signal });
  }

  async #read() {
    this.#reading = new AbortController();
    const query = this.#query();
    query.set("limit", this.#rows.length > PAGE ? LIMIT_MAX : PAGE);
    const { data, next } = await this.#readPage(query);
    const { total_count: total } = data.pagination;
    const last = this.#rows.at(-1)?.entry;
    // Those after the last row are for "Show more".
    const added = data.items.filter((entry) => last && compare(entry, last) < 0 && !this.#row(entry));
    // Entries are only ever added. If this page has not all of those, the others are somewhere after its end.
    const isGap = !last || total - this.#total !== added.length;
    if (isGap) {
      const found = new Set(data.items.map((entry) => entry.history_id));
      for (const { entry, element } of this.#rows) if (!found.has(entry.history_id)) element.remove();
      this.#rows = this.#rows.filter(({ entry }) => found.has(entry.history_id));
    }
    this.#endAt(isGap ? next : this.#next);
    for (const entry of isGap ? data.items : added) this.#insert(entry);
    this.#total = total;
    this.#showTotal();
  }

  /** Say why nothing is shown. */
  #explain(error) {
    explainIn(this.#empty)(error);
    if (error.name !== "AbortError") [this.#count.textContent, this.#more.hidden] = ["", true];
  }

  #endAt(next) {
    this.#next = next;
    this.#more.hidden = !next;
  }

  async #showMore() {
    const query = this.#next;
    try {
      const { data, next } = await this.#readPage(query);
      if (query !== this.#next) return; // The list was read again meanwhile.
      const hadFocus = document.activeElement === this.#more;
      this.#endAt(next);
      const rows = data.items.map((entry) => this.#insert(entry));
      if (hadFocus && !next) rows[0]?.focus();
    } catch (error) {
      this.#explain(error);
    }
  }

  #row({ history_id }) {
    return this.#rows.find((row) => row.entry.history_id === history_id);
  }

  #insert(entry) {
    const there = this.#row(entry);
    if (there) return there;
    const row = new EntryRow(entry, this);
    const index = this.#rows.findIndex((other) => compare(entry, other.entry) < 0);
    this.#list.insertBefore(row.element, this.#rows[index]?.element ?? null);
    this.#rows.splice(index < 0 ? this.#rows.length : index, 0, row);
    return row;
  }

  #showTotal() {
    const text = `${this.#total.toLocaleString("en")} ${this.#total === 1 ? "entry" : "entries"}`;
    if (this.#count.textContent !== text) this.#count.textContent = text;
    this.#empty.hidden = this.#rows.length > 0;
    this.#empty.textContent = "Nothing found.";
  }
}
