/** Follows `GET /events`. An EventSource cannot send an API key, and gives up for good after a 503. */

import { askForKey, authorization } from "./key.js";
import { sleep, wakeAll } from "./waiting.js";

// The service breaks every silence of 10 seconds, so after this one the connection is dead.
const LONGEST_SILENCE_MS = 25_000;

/** Takes the events out of the text of a stream. The service ends a line with LF, and an event with an empty line. */
class EventStream {
  retry = 3000;
  position = null; // The id of the last event that was complete.
  #rest = "";

  /** Return the events that `text` completes, each `{type, data}`. */
  push(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map((block) => this.#read(block)).filter(({ data }) => data);
  }

  /** Forget what the end of a connection has cut off. */
  cut() {
    this.#rest = "";
  }

  #read(block) {
    const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
    if (fields.id) this.position = fields.id;
    if (fields.retry) this.retry = Number(fields.retry);
    return { type: fields.event, data: fields.data };
  }
}

/**
 * Follow the events for as long as the page lives.
 *
 * `onChanges` gets the history entries that arrived together, `onReset` is told to read everything again, and
 * `onState` gets "live", "connecting" or "away". A hidden page lets go of its connection, because a
 * browser has only six for one host, and catches up when it is looked at.
 */
export async function followEvents(listeners) {
  const stream = new EventStream();
  let state = "connecting";
  for (;;) {
    if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
    const end = new AbortController();
    const until = { signal: end.signal };
    document.addEventListener("visibilitychange", () => end.abort(), until);
    addEventListener("offline", () => end.abort(), until);
    const heard = await listen(stream, listeners, end, state === "away");
    end.abort(); // And with it the listeners above.
    stream.cut();
    state = heard.state;
    listeners.onState(state);
    await sleep(heard.pause_ms * (0.75 + Math.random() / 2));
  }
}

/** Listen until the connection ends, and return what that means and how long to wait before the next one. */
async function listen(stream, listeners, end, wasAway) {
  let watchdog = setTimeout(() => end.abort(), LONGEST_SILENCE_MS);
  let isLive = false;
  try {
    const response = await open(stream.position, end.signal);
    if (response.status === 401) return { state: "connecting", pause_ms: 0 };
    // A proxy may answer with a page of its own.
    if (!response.ok || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return { state: "away", pause_ms: Number(response.headers.get("Retry-After")) * 1000 || stream.retry };
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => end.abort(), LONGEST_SILENCE_MS);
      if (!isLive) {
        isLive = true;
        listeners.onState("live");
        // What arrives later says nothing to a request that was told how long to wait.
        if (wasAway) wakeAll();
      }
      deliver(stream, read.value, listeners);
    }
  } catch {
    // The connection is lost. No error of this page ends here: listeners run outside.
  } finally {
    clearTimeout(watchdog);
  }
  // A service that restarts, or another process of it, may be there at once.
  if (isLive || end.signal.aborted) return { state: "connecting", pause_ms: 200 };
  return { state: "away", pause_ms: stream.retry };
}

async function open(position, signal) {
  const authorized = authorization();
  const headers = { Accept: "text/event-stream", ...authorized, ...(position && { "Last-Event-ID": position }) };
  const response = await fetch("events", { headers, cache: "no-store", signal });
  if (response.status === 401) await askForKey(authorized.Authorization);
  return response;
}

function deliver(stream, text, { onChanges, onReset }) {
  const isFirst = stream.position === null;
  const events = stream.push(text);
  // Nobody tells what changed before the first position, so it is read.
  if ((isFirst && stream.position !== null) || events.some((event) => event.type === "reset")) queueMicrotask(onReset);
  else {
    const changes = events.filter((event) => event.type === "change").map((event) => JSON.parse(event.data));
    if (changes.length > 0) queueMicrotask(() => onChanges(changes));
  }
}
