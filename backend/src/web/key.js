/** The API key, which lives as long as the tab. */

import { button, h } from "./dom.js";
import { keep, recall } from "./storage.js";

const STORED = "api-key";
const KEY_PATTERN = "[ -~]+"; // Printable ASCII. A browser cannot send other characters.

let asking = null;

/** Return the header that carries the key, or none if no key is known. */
export function authorization() {
  const key = recall(STORED);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Ask for a key after an answer of 401. However many requests wait, one dialog asks, and all go on with its key. */
export function askForKey(refused) {
  if (refused !== authorization().Authorization) return Promise.resolve(); // Another request has asked meanwhile.
  asking ??= ask(refused !== undefined).finally(() => (asking = null));
  return asking;
}

function ask(isWrong) {
  const before = document.activeElement;
  const problem = isWrong && h("p", { role: "alert" }, "That key is not accepted.");
  const field = h("input", { id: "api-key", type: "password", autocomplete: "off", required: true, pattern: KEY_PATTERN });
  const form = h("form", {}, h("h2", { id: "key-title" }, "API key"), h("p", {}, "This service asks for a key."));
  form.append(h("label", { for: "api-key" }, "API key"), field, ...(problem ? [problem] : []));
  form.append(button("Continue", null, { type: "submit" }));
  const dialog = h("dialog", { "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    // Without a key nothing can go on, so Escape leaves the dialog open.
    dialog.addEventListener("close", () => dialog.isConnected && dialog.showModal());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(STORED, field.value);
      dialog.remove();
      before?.focus();
      resolve();
    });
  });
}
