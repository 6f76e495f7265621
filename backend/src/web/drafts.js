/** What is typed and not saved yet, kept over a reload of the page. */

import { keep, recall } from "./storage.js";

const STORED = "drafts";

/** By the id of a task, or "new". */
export const drafts = recall(STORED) ?? {};

/** Keep a draft, or forget it if it is null. */
export function keepDraft(name, draft) {
  if (draft === null) delete drafts[name];
  else drafts[name] = draft;
  keep(STORED, drafts);
}
