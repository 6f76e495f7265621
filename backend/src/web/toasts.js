/** Says what happened, for a moment. */

import { button, h } from "./dom.js";

const STAYS_MS = 6000;
const MOST = 4;

const TEXTS = {
  TASK_CREATED: "Task created",
  TASK_UPDATED: "Task updated",
  TASK_COMPLETED: "Task completed",
  TASK_INCOMPLETE: "Task reopened",
  TASK_DELETED: "Task deleted",
};

const KEYS = { "aria-keyshortcuts": "Control+Z Meta+Z" };
const region = document.getElementById("toasts");

/** Show a sentence, or the text of a popup. With `undo`, the toast offers it, and Ctrl-Z does unless `isUndo`. */
export function toast(text, undo, isUndo = false) {
  const item = h("div", { class: "toast" }, h("p", { dir: "auto" }, TEXTS[text] ?? text));
  let cameFrom = null;
  const remove = () => {
    const hadFocus = item.contains(document.activeElement);
    item.remove();
    if (hadFocus) (cameFrom?.isConnected ? cameFrom : document.querySelector("main h1")).focus({ preventScroll: true });
  };
  // Not while somebody points at it or has the focus in it.
  const goLater = () => setTimeout(() => (item.matches(":hover, :focus-within") ? goLater() : remove()), STAYS_MS);
  item.addEventListener("focusin", ({ relatedTarget }) => {
    if (!region.contains(relatedTarget)) cameFrom = relatedTarget;
  });
  if (undo) item.append(button("Undo", (click) => click.detail < 2 && (remove(), undo()), isUndo ? {} : KEYS));
  item.append(button("×", remove, { "aria-label": "Dismiss", class: "dismiss" }));
  region.append(item);
  if (region.children.length > MOST) region.firstElementChild.remove();
  goLater();
}

// By Tab, the toasts are far away from the tasks. In a field, Ctrl-Z takes back what was typed there.
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("textarea, input:not([type=checkbox])");
  const latest = [...region.querySelectorAll("[aria-keyshortcuts]")].at(-1);
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.repeat || isTyping || !latest) return;
  event.preventDefault();
  latest.click();
});
