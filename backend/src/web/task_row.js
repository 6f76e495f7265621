/** One task of the list. */

import { change, ignoreRefusal } from "./changes.js";
import { button, h, icon } from "./dom.js";
import { EditForm } from "./edit_form.js";
import { toast } from "./toasts.js";

const PENCIL = "M3.5 16.5l.8-3.4L13 4.4a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2l-8.7 8.7zM11.5 6l2.5 2.5";
const BIN = "M4 5.5h12M8 5.5V4h4v1.5M5.5 5.5l.6 10.5h7.8l.6-10.5M8.5 8.5v5M11.5 8.5v5";

/** Ignore the second click of two: the row may have moved, and another one be under the pointer. */
function once(click) {
  if (click.detail > 1) click.preventDefault();
  return click.detail < 2;
}

export class TaskRow {
  #list;
  #form = null;
  #wanted = null; // The state that a click has asked for, until the service has it.
  #box = h("input", { type: "checkbox", onchange: () => this.#toggle(), onclick: once });
  #title = h("span", { class: "title", dir: "auto" });
  #description = h("p", { class: "description", dir: "auto" });
  #edit = button(icon(PENCIL), () => this.edit());
  #delete = button(icon(BIN), (click) => this.#remove(click));
  #body = h("div", { class: "text" }, this.#title, this.#description);
  #actions = h("div", { class: "actions" }, this.#edit, this.#delete);

  constructor(task, list) {
    this.#list = list;
    this.#body.addEventListener("click", () => getSelection().isCollapsed && this.edit());
    this.element = h("li", {}, this.#box, this.#body, this.#actions);
    this.update(task);
  }

  get isEdited() {
    return this.#form !== null;
  }

  /** Show another version of the task, in the same elements: that keeps the focus. */
  update(task) {
    this.task = task;
    this.#title.textContent = task.title;
    this.#description.textContent = task.description ?? "";
    this.#description.hidden = !task.description;
    this.#box.setAttribute("aria-label", task.title);
    this.#edit.setAttribute("aria-label", `Edit ${task.title}`);
    this.#delete.setAttribute("aria-label", `Delete ${task.title}`);
    if (this.#wanted === null) this.#box.checked = task.is_completed;
  }

  focus() {
    this.#box.focus();
  }

  focusEdit() {
    this.#edit.focus();
  }

  /** Let the user edit the task, from a draft if there is one. */
  edit(draft) {
    if (this.isEdited) return;
    this.#form = new EditForm(this.task, draft, this.#list, (isGone) => this.#endEdit(isGone));
    this.#body.hidden = this.#actions.hidden = true;
    this.element.append(this.#form.element);
    if (!draft) this.#form.focus();
  }

  #endEdit(isGone) {
    const hadFocus = this.#form.element.contains(document.activeElement);
    this.#form.element.remove();
    this.#form = null;
    this.#body.hidden = this.#actions.hidden = false;
    if (hadFocus) this.#edit.focus();
    if (isGone) this.#list.remove(this);
    // Meanwhile the task may have got another place, or none.
    else this.#list.refresh(this.task.id);
  }

  async #toggle() {
    const isSending = this.#wanted !== null;
    this.#wanted = this.#box.checked;
    if (isSending) return;
    try {
      for (let sent = null; sent !== this.#wanted; ) {
        sent = this.#wanted;
        await this.#change("PATCH", sent ? "/complete" : "/incomplete");
      }
    } catch (error) {
      ignoreRefusal(error);
    } finally {
      this.#wanted = null;
      this.#box.checked = this.task.is_completed;
    }
  }

  async #remove(click) {
    if (!once(click) || this.element.ariaBusy) return;
    this.element.ariaBusy = "true";
    try {
      // Nobody deletes what they have not seen.
      await this.#change("DELETE", "", { ifMatch: this.task.updated_at });
    } catch (error) {
      if (error.status !== 412) return ignoreRefusal(error);
      await this.#list.refresh(this.task.id);
      toast("Somebody else changed this task. Look at it before you delete it.");
    } finally {
      this.element.ariaBusy = null;
    }
  }

  async #change(method, way, options) {
    try {
      await change(this.task.id, method, `tasks/${this.task.id}${way}`, { own: [404, 412], ...options });
    } catch (error) {
      if (error.status === 404) {
        toast("Somebody else deleted this task.");
        this.#list.remove(this);
      }
      throw error;
    }
  }
}
