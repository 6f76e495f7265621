/** One entry of the history. Opened, it shows what it changed, and offers to undo that or says why not. */

import { call, Refused } from "./api.js";
import { ignoreRefusal, undo } from "./changes.js";
import { button, h, table } from "./dom.js";

const FIELDS = {
  title: "Title",
  description: "Description",
  is_completed: "Complete",
  completed_at: "Completed at",
  created_at: "Created at",
};
const ALREADY = "Already undone.";
const CHANGED = "The task has changed since.";
const TOO_OLD = "This entry is too old to be undone.";

const times = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function shown(value) {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return value;
}

function shownIn(field, value) {
  return field.endsWith("_at") && value ? times.format(new Date(value)) : shown(value);
}

/** Return why an entry can never be undone, or null. */
function obstacle({ undone_by, changes }) {
  if (undone_by) return ALREADY;
  return changes === null ? TOO_OLD : null;
}

/** Return why an entry cannot be undone at the moment, or null if it can. `task` is null if there is none. */
function conflict({ changes, action_type }, task) {
  if (action_type === "DELETED") return task === null ? null : CHANGED;
  const isAsLeft = task !== null && Object.entries(changes).every(([field, { after }]) => task[field] === after);
  return isAsLeft ? null : CHANGED;
}

function tableOf(changes) {
  const rows = Object.entries(changes).map(([field, { before, after }]) => [
    FIELDS[field],
    shownIn(field, before),
    shownIn(field, after),
  ]);
  return table("Changes", ["Field", "Before", "After"], rows);
}

export class EntryRow {
  #view;
  #details = h("div", { class: "details", hidden: true });
  #disclosure;
  #reading;

  /** `view` shows the entries of one task when asked to. */
  constructor(entry, view) {
    this.entry = entry;
    this.#view = view;
    this.#disclosure = h(
      "button",
      { type: "button", class: "entry", "aria-expanded": "false", onclick: () => this.#toggle() },
      h("span", { class: "sentence", dir: "auto" }, entry.description),
      " ",
      // Null in entries of versions that did not keep it. Most sentences say it already.
      !entry.description.includes(entry.task_title ?? "") && h("span", { class: "title", dir: "auto" }, entry.task_title),
    );
    const time = h("time", { datetime: entry.timestamp, class: "quiet" }, times.format(new Date(entry.timestamp)));
    this.element = h("li", { class: entry.action_type.toLowerCase() }, this.#disclosure, time, this.#details);
  }

  get isOpen() {
    return !this.#details.hidden;
  }

  focus() {
    this.#disclosure.focus();
  }

  /** Show the details again if they are open: the task has changed. */
  refresh() {
    if (this.isOpen) this.#show().catch(ignoreRefusal);
  }

  #toggle() {
    this.#details.hidden = this.isOpen;
    this.#disclosure.setAttribute("aria-expanded", this.isOpen);
    this.refresh();
  }

  async #show() {
    const reading = (this.#reading = Symbol());
    const { data: entry } = await call("GET", `history/${this.entry.history_id}`);
    const before = obstacle(entry) ?? conflict(entry, await this.#task());
    if (reading !== this.#reading) return; // The task has changed again.
    const only = button("Only this task", () => this.#view.showTask(entry.task_id));
    const undoIt = button("Undo", (click) => click.detail < 2 && this.#undo());
    const focused = this.#details.contains(document.activeElement);
    this.#details.replaceChildren(
      ...(entry.changes ? [tableOf(entry.changes)] : []),
      h("div", { class: "buttons" }, before ? h("p", { class: "quiet" }, before) : undoIt, only),
    );
    // The button that had it may be gone.
    if (focused) (before ? only : undoIt).focus({ preventScroll: true });
  }

  /** Return the task, or null if it is deleted. Asks the history first, because browsers log a 404 as an error. */
  async #task() {
    const { items } = (await call("GET", `history?task_id=${this.entry.task_id}&limit=1`)).data;
    if (items[0]?.action_type === "DELETED") return null;
    try {
      return (await call("GET", `tasks/${this.entry.task_id}`)).data;
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    }
  }

  async #undo() {
    try {
      await undo(this.entry.history_id, this.entry.task_id);
    } catch (error) {
      ignoreRefusal(error);
    }
    this.refresh();
  }
}
