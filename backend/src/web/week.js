/** A week in the reader's time zone: its numbers, its days, and the weeks before it. */

import { call, Refused } from "./api.js";
import { explainIn } from "./changes.js";
import { button, h, svg, table } from "./dom.js";
import { downloadButton } from "./download.js";
import { bundled } from "./waiting.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const NUMBERS = {
  tasks_created_this_week: "Created",
  tasks_completed_this_week: "Completed",
  total_incomplete: "Open now",
  total_completed: "Complete now",
  total_tasks: "All tasks",
};
const COLUMNS = { tasks_created: "Created", tasks_completed: "Completed", changes: "Changes" };
const BARS = ["tasks_created", "tasks_completed"];
const LOOK_MS = 60_000;
const HEIGHT = 120;
const FLOOR = HEIGHT + 28; // The numbers stand on the bars.

// Dates such as 2026-11-18 have no time of day: calculate and format them in UTC.
const longDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", timeZone: "UTC" });

function nameOf(date) {
  return `${weekday.format(new Date(date))} ${Number(date.slice(8))}`;
}

function later(date, days) {
  return new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);
}

function mondayOf(date) {
  return later(date, -((new Date(date).getUTCDay() + 6) % 7));
}

export class WeekView {
  title = "Week";
  #zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  #monday = null; // Of the week that is shown; null is this week, also when the next one begins.
  #shown = null; // The Monday of the week that was read last.
  #counts = null;
  #reading = new AbortController();
  #dates = h("p", { class: "dates", "aria-live": "polite" });
  #next = button("Next week", () => this.#go(7));
  #numbers = h("dl", { class: "numbers" });
  #chart = h("figure", {});
  #table = h("div", {});
  #download = downloadButton(() => this.#period());

  constructor() {
    const steps = h(
      "div",
      { class: "bar" },
      this.#dates,
      button("Previous week", () => this.#go(-7)),
      this.#next,
      button("This week", () => this.#go(null)),
    );
    const heading = h("h1", { tabindex: -1 }, "Week");
    this.#download.hidden = true;
    this.element = h("section", { class: "week" }, heading, steps, this.#numbers, this.#chart, this.#table, this.#download);
    this.reset = bundled(() => this.#read().catch(explainIn(this.#dates)));
    setInterval(() => this.#shown !== this.#wanted && this.reset(), LOOK_MS);
  }

  changed() {
    return this.reset();
  }

  get #thisMonday() {
    // Sweden writes dates as the service does.
    return mondayOf(new Date().toLocaleDateString("sv", { timeZone: this.#zone }));
  }

  get #wanted() {
    return this.#monday ?? this.#thisMonday;
  }

  #go(days) {
    const monday = days === null ? this.#thisMonday : later(this.#wanted, days);
    this.#monday = monday < this.#thisMonday ? monday : null;
    this.#showDates();
    this.#download.disabled = true; // The numbers are still those of the other week.
    this.#reading.abort();
    this.reset();
  }

  async #read() {
    const monday = (this.#shown = this.#wanted);
    const zone = encodeURIComponent(this.#zone);
    this.#reading = new AbortController();
    const { signal } = this.#reading;
    try {
      const [week, days] = await Promise.all([
        call("GET", `stats/weekly?date=${monday}&tz=${zone}`, { signal }),
        call("GET", `stats/daily?from=${monday}&to=${later(monday, 6)}&tz=${zone}`, { signal }),
      ]);
      this.#showDates();
      this.#show(week.data, days.data.days);
    } catch (error) {
      // A browser may know zones that the service does not.
      if (!(error instanceof Refused) || !error.message.startsWith("tz:")) throw error;
      this.#zone = "UTC";
      await this.#read();
    }
  }

  #showDates() {
    const monday = this.#wanted;
    this.#dates.textContent = longDay.formatRange(new Date(monday), new Date(later(monday, 6)));
    const isThisWeek = monday === this.#thisMonday;
    if (isThisWeek && document.activeElement === this.#next) this.#next.previousElementSibling.focus();
    this.#next.disabled = isThisWeek;
  }

  #show(counts, days) {
    this.#counts = counts;
    this.#download.hidden = this.#download.disabled = false;
    const numbers = Object.entries(NUMBERS).map(([name, text]) =>
      h("div", {}, h("dt", {}, text), h("dd", {}, counts[name].toLocaleString("en"))),
    );
    this.#numbers.replaceChildren(...numbers);
    this.#chart.replaceChildren(legend(), bars(days));
    const names = Object.keys(COLUMNS);
    const rows = days.map((day) => [nameOf(day.date), ...names.map((name) => day[name].toLocaleString("en"))]);
    this.#table.replaceChildren(table("Days of the week", ["Day", ...Object.values(COLUMNS)], rows));
  }

  #period() {
    const { week_start, week_end } = this.#counts;
    // The end of an export is the first moment after it, and `week_end` is the last second of the week.
    return new URLSearchParams({ from: week_start, to: new Date(Date.parse(week_end) + 1000).toISOString() });
  }
}

function legend() {
  const entries = BARS.map((name) => h("span", { class: `key ${name}` }, COLUMNS[name]));
  return h("figcaption", { "aria-hidden": "true" }, entries);
}

/** Draw two bars for each day, with their numbers on top. The table has the same numbers for everybody. */
function bars(days) {
  const most = Math.max(4, ...days.flatMap((day) => BARS.map((name) => day[name])));
  const picture = svg("svg", { viewBox: `0 0 700 ${FLOOR + 30}`, "aria-hidden": "true", class: "bars" });
  picture.append(svg("path", { d: `M0 ${FLOOR + 0.5}h700`, class: "axis" }));
  days.forEach((day, place) => {
    BARS.forEach((name, bar) => {
      const height = (day[name] / most) * HEIGHT;
      const x = place * 100 + 18 + bar * 34;
      const y = FLOOR - height;
      picture.append(svg("rect", { x, y, width: 30, height, rx: 3, class: name }));
      if (day[name]) picture.append(svg("text", { x: x + 15, y: y - 5 }, day[name].toLocaleString("en")));
    });
    picture.append(svg("text", { x: place * 100 + 50, y: FLOOR + 22, class: "day" }, nameOf(day.date)));
  });
  return picture;
}
