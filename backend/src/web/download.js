/** Saves an export. A plain link could not send the API key. */

import { call } from "./api.js";
import { button, h } from "./dom.js";
import { toast } from "./toasts.js";

/** Return a button that saves the history as CSV: the entries that the parameters of `query()` select. */
export function downloadButton(query) {
  const download = button("Download CSV", async () => {
    download.disabled = true;
    try {
      const { data } = await call("GET", `history?format=csv&${query()}`, { asFile: true });
      const url = URL.createObjectURL(data);
      h("a", { href: url, download: "history.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000); // Safari reads it some time after the click.
    } catch (error) {
      toast(error.message);
    } finally {
      download.disabled = false;
    }
  });
  return download;
}
