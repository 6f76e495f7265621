/** The frame of the page: which view is shown, and whether the service is there. */

import { whenWaitingChanges } from "./api.js";
import { whenChanged } from "./changes.js";
import { followEvents } from "./events.js";
import { HistoryView } from "./history.js";
import { TasksView } from "./tasks.js";
import { sleep } from "./waiting.js";
import { WeekView } from "./week.js";

const FIRST_CONTACT_MS = 400;

const VIEWS = { "#/tasks": TasksView, "#/history": HistoryView, "#/week": WeekView };
const TEXTS = { live: "Live", connecting: "Connecting…", away: "Away" };

const views = new Map(); // Those that were opened. A reader who comes back finds them as they were.
let view = null;
let stream = "connecting";
let waiting = 0;

function showView() {
  const route = location.hash in VIEWS ? location.hash : "#/tasks";
  if (!views.has(route)) views.set(route, new VIEWS[route]());
  view = views.get(route);
  view.reset();
  document.title = view.title;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === route) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const hadFocus = document.querySelector("main").contains(document.activeElement);
  document.querySelector("main").replaceChildren(view.element);
  if (hadFocus) document.querySelector("main h1").focus();
}

function showConnection() {
  const state = waiting > 0 ? "away" : stream;
  const connection = document.getElementById("connection");
  connection.dataset.state = state;
  if (connection.textContent !== TEXTS[state]) connection.textContent = TEXTS[state];
  const away = document.getElementById("away");
  const text = state === "away" ? "The service is away. Nothing is lost; trying again…" : "";
  if (away.textContent !== text) away.textContent = text;
}

whenWaitingChanges((number) => {
  waiting = number;
  showConnection();
});
whenChanged((id, task) => view.own?.(id, task));

// The view reads after the stream has begun, so it misses nothing, and reads nothing twice.
const contact = new Promise((made) => {
  followEvents({
    onChanges: (entries) => view?.changed(entries),
    onReset: () => view?.reset(),
    onState: (state) => {
      stream = state;
      showConnection();
      queueMicrotask(made);
    },
  });
});
await Promise.race([contact, sleep(FIRST_CONTACT_MS)]);
showView();
addEventListener("hashchange", showView);
