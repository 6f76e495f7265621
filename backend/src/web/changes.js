/** Changes tasks, says how it went, and tells the view about it without waiting for the event. */

import { call, Refused } from "./api.js";
import { toast } from "./toasts.js";

const told = new Set();
let tell = () => {};

/** Have `listener` told of each change that this page has made: the task's id, and the task or null. */
export function whenChanged(listener) {
  tell = listener;
}

/**
 * Make a change, as `call` does, and show its popup with Undo.
 *
 * A refusal is shown too, and thrown. The caller handles those with a status in `own` without a toast.
 */
export async function change(id, method, path, { own = [], isUndo, ...options } = {}) {
  try {
    const answer = await call(method, path, options);
    const changedId = id ?? answer.data.id;
    // Sent twice under one key, a change is made once.
    const { historyId } = answer;
    const takeBack = historyId && (() => undo(historyId, changedId).catch(ignoreRefusal));
    if (!told.has(historyId)) toast(answer.popup, takeBack, isUndo);
    if (historyId) told.add(historyId);
    tell(changedId, answer.data);
    return answer;
  } catch (error) {
    if (error instanceof Refused && !own.includes(error.status)) toast(error.message);
    throw error;
  }
}

export function undo(historyId, taskId) {
  return change(taskId, "POST", `history/${historyId}/undo`, { isUndo: true });
}

/** Mark the field that a refusal names, until somebody types there. */
export function markRefused(fields, { message }) {
  const field = fields[message.split(":")[0]];
  field?.setAttribute("aria-invalid", "true");
  field?.addEventListener("input", () => field.removeAttribute("aria-invalid"), { once: true });
}

/** Return a handler of errors that shows a refusal in `element`. */
export function explainIn(element) {
  return (error) => {
    ignoreRefusal(error);
    if (error instanceof Refused) [element.textContent, element.hidden] = [error.message, false];
  };
}

/** For those who have nothing to add to the toast of a refusal. */
export function ignoreRefusal(error) {
  if (!(error instanceof Refused) && error.name !== "AbortError") throw error;
}
