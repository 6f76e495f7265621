/** Edits a task in its place in the list, with a choice if somebody else was faster. */

import { call, newKey } from "./api.js";
import { change, ignoreRefusal, markRefused } from "./changes.js";
import { button, h } from "./dom.js";
import { keepDraft } from "./drafts.js";

/** The texts of a task as its fields hold them: browsers have line breaks of their own. */
function textsOf({ title, description }) {
  return { title: title.replace(/[\r\n]/g, ""), description: (description ?? "").replace(/\r\n?/g, "\n") };
}

export class EditForm {
  #base; // The version that the user edits.
  #key; // Names the request, also after a reload, so a repeat after a lost answer is known as such.
  #list;
  #done;
  #isSaving = false;
  #leaving = new AbortController();
  #fields = {
    title: h("input", { "aria-label": "Title", dir: "auto", autocomplete: "off", required: true }),
    description: h("textarea", { "aria-label": "Description", placeholder: "Description", dir: "auto", rows: 2 }),
  };
  #choice = h("div", { class: "choice" });
  #accept;
  #hasProblem;

  /** `done` is called when the form closes, with `true` if the task is gone. */
  constructor(task, draft, list, done) {
    this.#base = draft?.base ?? task;
    this.#key = draft?.key ?? newKey();
    this.#list = list;
    this.#done = done;
    const texts = draft ?? textsOf(task);
    for (const [name, field] of this.#entries) field.value = texts[name];
    this.element = h("form", { class: "edit", novalidate: true }, Object.values(this.#fields), this.#choice);
    this.element.addEventListener("submit", (event) => (event.preventDefault(), this.#try(this.#accept)));
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
    this.element.addEventListener("input", () => this.#keep());
    this.#offer(null, ["Save", () => this.#save()], ["Cancel", () => this.#close()]);
  }

  focus() {
    this.#fields.title.focus();
  }

  get #entries() {
    return Object.entries(this.#fields);
  }

  get #texts() {
    return Object.fromEntries(this.#entries.map(([name, field]) => [name, field.value]));
  }

  /** Return the fields in which the user wrote something else than `texts`. */
  #differentFrom(texts) {
    return this.#entries.filter(([name, field]) => field.value !== texts[name]);
  }

  #keep() {
    keepDraft(this.#base.id, { base: this.#base, key: this.#key, ...this.#texts });
  }

  #pressed(event) {
    if (event.isComposing) return;
    if (event.key === "Escape" && !this.#hasProblem && !this.#isSaving) this.#close();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.element.requestSubmit();
  }

  /** Show two ways to go on. A problem gets the focus, so that no key decides before the user has read it. */
  #offer(problem, [accept, onAccept], [decline, onDecline]) {
    const hadFocus = this.element.contains(document.activeElement);
    [this.#accept, this.#hasProblem] = [onAccept, problem !== null];
    const buttons = [
      button(accept, null, { type: "submit" }),
      button(decline, () => this.#try(onDecline)),
    ];
    this.#choice.replaceChildren(...(problem ?? []), h("div", { class: "buttons" }, buttons));
    if (problem && hadFocus) problem[0].focus();
  }

  async #try(way) {
    if (this.#isSaving && way === this.#accept) return;
    this.#isSaving = true;
    this.element.setAttribute("aria-busy", "true");
    try {
      await way();
    } catch (error) {
      if (error.status === 404) this.#offerNew();
      else ignoreRefusal(error);
      markRefused(this.#fields, error);
    } finally {
      this.#isSaving = false;
      this.element.removeAttribute("aria-busy");
    }
  }

  async #save() {
    const before = textsOf(this.#base);
    const body = Object.fromEntries(this.#differentFrom(before).map(([name, field]) => [name, field.value]));
    if (Object.keys(body).length === 0) return this.#close();
    this.#keep();
    const how = { body, key: this.#key, ifMatch: this.#base.updated_at, signal: this.#leaving.signal };
    const sent = this.#texts;
    let saved;
    try {
      saved = await change(this.#base.id, "PUT", `tasks/${this.#base.id}`, { ...how, own: [404, 412] });
    } catch (error) {
      if (error.status !== 412) throw error;
      return this.#settle(before);
    }
    if (this.#differentFrom(sent).length === 0) return this.#close();
    // The user went on writing meanwhile.
    [this.#base, this.#key] = [saved.data, newKey()];
    this.#keep();
  }

  /** Somebody else was faster: let the user choose, unless they changed something else. */
  async #settle(before) {
    const { data: theirs } = await call("GET", `tasks/${this.#base.id}`, { signal: this.#leaving.signal });
    const texts = textsOf(theirs);
    const mine = this.#differentFrom(before).map(([name]) => name);
    for (const [name, field] of this.#entries) if (!mine.includes(name)) field.value = texts[name];
    const saveMine = () => ((this.#base = theirs), this.#save());
    if (mine.every((name) => texts[name] === before[name])) return saveMine();
    const problem = [
      h("p", { role: "alert", tabindex: -1 }, "Somebody else changed this task while you were editing."),
      h("dl", {}, h("dt", {}, "Theirs"), h("dd", { dir: "auto" }, theirs.title)),
    ];
    if (theirs.description) problem[1].append(h("dd", { dir: "auto", class: "description" }, theirs.description));
    const takeTheirs = () => (this.#list.place(theirs), this.#close());
    this.#offer(problem, ["Save mine", saveMine], ["Take theirs", takeTheirs]);
  }

  #offerNew() {
    const problem = [h("p", { role: "alert", tabindex: -1 }, "Somebody else deleted this task.")];
    this.#offer(problem, ["Add as new", () => this.#addAsNew()], ["Discard", () => this.#close(true)]);
  }

  async #addAsNew() {
    this.#keep();
    const { title, description } = this.#texts;
    const body = description ? { title, description } : { title };
    const { data } = await change(null, "POST", "tasks", { body, key: `${this.#key}-new`, signal: this.#leaving.signal });
    this.#close(true);
    this.#list.focus(data.id);
  }

  #close(isGone = false) {
    keepDraft(this.#base.id, null);
    this.#leaving.abort();
    this.#done(isGone);
  }
}
