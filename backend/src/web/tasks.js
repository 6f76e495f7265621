/** The list of tasks: adding, searching, pages, and what others change meanwhile. */

import { call, newKey, Refused } from "./api.js";
import { change, explainIn, ignoreRefusal, markRefused } from "./changes.js";
import { button, h } from "./dom.js";
import { drafts, keepDraft } from "./drafts.js";
import { TaskRow } from "./task_row.js";
import { bundled } from "./waiting.js";

const PAGE = 50;
const LIMIT_MAX = 100;
// A list is read again up to here; "Show more" reads on.
const MOST_READ_AGAIN = 1000;
// More changed tasks than this are read as a list.
const FEW = 50;
const AT_A_TIME = 4;
const TYPING_MS = 250;

/** The order of `GET /tasks`: incomplete first, then newest first, then by id. */
function compare(a, b) {
  if (a.is_completed !== b.is_completed) return a.is_completed ? 1 : -1;
  if (a.created_at !== b.created_at) return a.created_at < b.created_at ? 1 : -1;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

export class TasksView {
  title = "Tasks";
  #rows = []; // In the order of the list.
  #gone = new Map(); // Of deleted tasks, the last version that is known to be gone.
  #beyond = new Map(); // Of tasks after the end, the newest version that was left out.
  #stale = new Set(); // The ids of tasks to read again.
  #next = null; // The query of the next page.
  #end = null; // The last task of the last page: those after it are not shown yet.
  #reading = new AbortController();
  #typing;

  constructor() {
    this.#field = h("input", { "aria-label": "New task", placeholder: "New task", dir: "auto", autocomplete: "off" });
    this.#field.addEventListener("input", () => keepDraft("new", { title: this.#field.value, key: newKey() }));
    this.#field.value = drafts.new?.title ?? "";
    const refused = (error) => (ignoreRefusal(error), markRefused({ title: this.#field }, error));
    const add = (event) => (event.preventDefault(), this.#add().catch(refused));
    const form = h("form", { class: "add", onsubmit: add }, this.#field, button("Add", null, { type: "submit" }));
    this.#search = h("input", { type: "search", "aria-label": "Search tasks", placeholder: "Search", maxlength: 200 });
    this.#search.addEventListener("input", () => this.#searchSoon());
    this.#list = h("ul", { "aria-label": "Tasks", class: "tasks", role: "list" });
    this.#empty = h("p", { class: "empty", role: "status", hidden: true });
    this.#more = button("Show more", () => this.#showMore().catch(ignoreRefusal), { class: "more", hidden: true });
    this.element = h("section", {}, h("h1", { tabindex: -1 }, "Tasks"), form, this.#search, this.#list, this.#empty, this.#more);
    this.reset = bundled(() => this.#read().catch(explainIn(this.#empty)));
    this.#readStale = bundled(() => this.#readStaleTasks());
  }

  #field;
  #search;
  #list;
  #empty;
  #more;
  #readStale;

  /** Take over a change of this page: the task, or null if it is deleted. */
  own(id, task) {
    if (task === null) this.#forget(id, this.#row(id)?.task.updated_at);
    else this.#take(task);
    if (this.#query) this.reset();
  }

  /** Take over changes that somebody has made, this page included. */
  changed(entries) {
    if (this.#query) return this.reset();
    const last = new Map();
    for (const entry of entries) if (!(last.get(entry.task_id)?.timestamp > entry.timestamp)) last.set(entry.task_id, entry);
    for (const [id, entry] of last) {
      if (entry.action_type === "DELETED") this.#forget(id, entry.timestamp);
      else if (!(this.#row(id)?.task.updated_at >= entry.timestamp)) this.#stale.add(id);
    }
    if (this.#stale.size <= FEW) return this.#readStale();
    this.#stale.clear();
    return this.reset();
  }

  /** Show a task that was read by its id. Only the service knows whether a search finds it. */
  #take(task) {
    if (!this.#query || this.#row(task.id)) this.place(task);
  }

  /** Show a task in its place, unless a newer version of it is shown. */
  place(task) {
    let row = this.#row(task.id);
    if (this.#gone.get(task.id) >= task.updated_at || row?.task.updated_at > task.updated_at) return;
    if (this.#beyond.get(task.id) > task.updated_at) return this.refresh(task.id);
    row?.update(task);
    row ??= new TaskRow(task, this);
    // Nothing moves under the hands of somebody who writes.
    if (row.isEdited && this.#rows.includes(row)) return;
    this.#rows = this.#rows.filter((other) => other !== row);
    if (this.#end && compare(task, this.#end) > 0) {
      this.#beyond.set(task.id, task.updated_at);
      return this.#drop(row);
    }
    const index = this.#rows.findIndex((other) => compare(task, other.task) < 0);
    this.#insert(row, index < 0 ? this.#rows.length : index);
  }

  /** Remove a row whose task is gone, and take the focus on to the next one. */
  remove(row) {
    this.#gone.set(row.task.id, row.task.updated_at);
    this.#drop(row);
  }

  focus(id) {
    (this.#row(id) ?? this).focusEdit?.();
  }

  get #query() {
    return this.#search.value.trim();
  }

  #row(id) {
    return this.#rows.find((row) => row.task.id === id);
  }

  #insert(row, index) {
    const before = this.#rows[index]?.element ?? null;
    this.#rows.splice(index, 0, row);
    if (row.element.isConnected && row.element.nextElementSibling === before) return;
    const focused = row.element.contains(document.activeElement) && document.activeElement;
    this.#list.insertBefore(row.element, before);
    if (focused) focused.focus({ preventScroll: true });
    this.#empty.hidden = true;
  }

  #drop(row) {
    const hadFocus = row.element.contains(document.activeElement);
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    this.#rows = this.#rows.filter((other) => other !== row);
    row.element.remove();
    if (hadFocus) (neighbour?.querySelector("input") ?? this.#field).focus({ preventScroll: true });
    this.#showWhetherEmpty();
  }

  #forget(id, version) {
    const row = this.#row(id);
    if (version > (this.#gone.get(id) ?? "")) this.#gone.set(id, version);
    if (row && row.task.updated_at <= version && !row.isEdited) this.#drop(row);
  }

  #showWhetherEmpty() {
    this.#empty.hidden = this.#rows.length > 0;
    this.#empty.textContent = this.#query ? "Nothing found." : "No tasks yet.";
  }

  async #add() {
    const title = this.#field.value;
    if (title === "") return this.#field.focus();
    // The key stays with the text: sent again, even after a reload, it makes no second task.
    const { key } = drafts.new?.title === title ? drafts.new : { key: newKey() };
    keepDraft("new", { title, key });
    await change(null, "POST", "tasks", { body: { title }, key });
    if (drafts.new?.key !== key) return; // The next task is being typed.
    keepDraft("new", null);
    this.#field.value = "";
  }

  #searchSoon() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => (this.#reading.abort(), this.reset()), TYPING_MS);
  }

  async #readPage(query) {
    return call("GET", `tasks?${query}`, { signal: this.#reading.signal });
  }

  async #read() {
    this.#reading = new AbortController();
    const before = new Map(this.#rows.map((row) => [row, row.task.updated_at]));
    const search = this.#query ? `&q=${encodeURIComponent(this.#query)}` : "";
    let query = `limit=${before.size > PAGE ? LIMIT_MAX : PAGE}${search}`;
    const found = [];
    do {
      const page = await this.#readPage(query);
      found.push(...page.data);
      query = page.next;
      // Meanwhile "Show more" may have added to the rows.
    } while (query && found.length < Math.min(this.#rows.length, MOST_READ_AGAIN));
    const ids = new Set(found.map((task) => task.id));
    this.#endAt(found, query);
    // A task that has changed since the reading began may be back.
    const isGone = (row) => !ids.has(row.task.id) && row.task.updated_at === before.get(row) && !row.isEdited;
    for (const row of before.keys()) if (isGone(row)) this.#drop(row);
    for (const task of found) this.place(task);
    this.#restoreEdits();
    this.#showWhetherEmpty();
  }

  #endAt(tasks, next) {
    this.#next = next;
    this.#end = next && tasks.at(-1);
    this.#more.hidden = !next;
  }

  async #showMore() {
    const [query, search] = [this.#next, this.#query];
    const { data, next } = await this.#readPage(query);
    if (query !== this.#next || search !== this.#query) return; // The list was read again meanwhile, or will be.
    const hadFocus = document.activeElement === this.#more;
    this.#endAt(data, next);
    for (const task of data) this.place(task);
    if (hadFocus && !next) this.#row(data[0]?.id)?.focus();
  }

  async #readStaleTasks() {
    const readSome = async () => {
      for (const id of this.#stale) {
        this.#stale.delete(id);
        await this.refresh(id);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, readSome));
  }

  /** Read a task again. */
  async refresh(id) {
    const version = this.#row(id)?.task.updated_at;
    try {
      this.#take((await call("GET", `tasks/${id}`)).data);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) this.#forget(id, version);
      else ignoreRefusal(error);
    }
  }

  /** Open the edits again that a reload has interrupted. */
  #restoreEdits() {
    for (const [id, draft] of Object.entries(drafts)) {
      if (id === "new" || this.#row(id)?.isEdited) continue;
      if (!this.#row(id)) this.#insert(new TaskRow(draft.base, this), 0);
      this.#row(id).edit(draft);
      this.refresh(id);
    }
  }
}
