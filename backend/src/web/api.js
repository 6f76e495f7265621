/** Calls the service: the key, the envelope, and patience while the service is away. */

import { askForKey, authorization } from "./key.js";
import { sleep } from "./waiting.js";

const TIMEOUT_MS = 30_000; // The service itself gives up after 15 seconds.
const LONGEST_PAUSE_MS = 10_000;
// The service, or a proxy in front of it, has too much to do or restarts.
const COME_BACK = new Set([429, 502, 503, 504]);

/** The service has answered, and said no: `message` is its sentence. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

let changing = 0;
let waiting = 0;
let tell = () => {};

/** Call `listener` with the number of requests that wait for the service, whenever it changes. */
export function whenWaitingChanges(listener) {
  tell = listener;
}

// Drafts outlive the page, but a change that waits does not.
addEventListener("beforeunload", (event) => changing > 0 && event.preventDefault());

/** Return a name for a request. Not `randomUUID`, which browsers have only with HTTPS and on this machine. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Call the service, again and again while it is away, and return `{data, popup, historyId, next}`.
 *
 * A change has an Idempotency-Key, so a repeat after a lost answer changes nothing twice.
 * `ifMatch` is the `updated_at` of the version that the change is for. `asFile` returns a Blob as `data`.
 * Throws `Refused`, or an AbortError once `signal` says so.
 */
export async function call(method, path, { body, key = newKey(), ifMatch, signal, asFile = false } = {}) {
  const isChange = method !== "GET";
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (isChange) headers["Idempotency-Key"] = key;
  if (ifMatch) headers["If-Match"] = `"${ifMatch}"`;
  const request = { method, headers, signal, body: body && JSON.stringify(body) };
  let isWaiting = false;
  try {
    changing += Number(isChange);
    for (let attempts = 1; ; attempts++) {
      const authorized = authorization();
      const { response, content } = await send(path, request, authorized, asFile);
      if (response?.status === 401) await askForKey(authorized.Authorization);
      else if (isFinal(response, content)) return result(response, content);
      else {
        if (!isWaiting) tell(++waiting);
        isWaiting = true;
        await sleep(pause(attempts, response?.headers.get("Retry-After")), signal);
        signal?.throwIfAborted();
      }
    }
  } finally {
    changing -= Number(isChange);
    if (isWaiting) tell(--waiting);
  }
}

async function send(path, request, authorized, asFile) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signals = [request.signal, !asFile && timeout].filter(Boolean);
  try {
    const headers = { ...request.headers, ...authorized };
    const response = await fetch(path, { ...request, headers, signal: AbortSignal.any(signals) });
    return { response, content: asFile && response.ok ? await response.blob() : envelope(await response.text()) };
  } catch (error) {
    if (request.signal?.aborted) throw error;
    return {}; // Nothing has answered, or the answer was lost on its way.
  }
}

/** Return the envelope in a text, or null if something else than the service has answered. */
function envelope(text) {
  try {
    const content = JSON.parse(text);
    return typeof content?.success === "boolean" ? content : null;
  } catch {
    return null;
  }
}

/** Whether an answer says yes or no. Otherwise the request is worth repeating. */
function isFinal(response, content) {
  if (!response || COME_BACK.has(response.status)) return false;
  return content !== null || (response.status >= 400 && response.status < 500);
}

function result(response, content) {
  if (content instanceof Blob) return { data: content };
  if (!content?.success) throw new Refused(response.status, content?.error ?? `The service answered ${response.status}.`);
  // The query alone: a proxy may have put a path in front.
  const [, query] = response.headers.get("Link")?.match(/\?([^>]+)>; rel="next"/) ?? [];
  return { data: content.data, popup: content.popup, historyId: response.headers.get("History-ID"), next: query ?? null };
}

function pause(attempts, retryAfter) {
  // Some proxies send 0, or a date instead of seconds.
  const milliseconds = retryAfter > 0 ? retryAfter * 1000 : 500 * 2 ** Math.min(attempts, 10);
  // Spread out, so that pages do not all come back at the same moment.
  return Math.min(milliseconds, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
}
