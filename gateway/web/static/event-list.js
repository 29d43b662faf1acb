// The latest events of all kinds, newest first, until one presses Pause.
import { byId, el } from "./dom.js";
import { atMostEvery } from "./every.js";
import { clip, seconds } from "./format.js";
import { Keyed, setText } from "./keyed.js";

const DRAW_MS = 500;
const BAD = /\.(failed|cancelled)$/;
const GOOD = /\.(completed|scored)$/;

export class EventList {
  #events = [];
  #shown = new Keyed(byId("events"), keyOf, makeRow);
  #most;
  #paused = false;
  #soon = atMostEvery(DRAW_MS, () => this.#draw());

  constructor(most) {
    this.#most = most;
    const button = byId("pause");
    button.hidden = false;
    button.addEventListener("click", () => {
      this.#paused = !this.#paused;
      button.textContent = this.#paused ? "Go on" : "Pause";
      this.#draw();
    });
  }

  /** An event of any type. Of an evaluation's progress only the newest stays: it would push everything else away. */
  take(event) {
    const key = keyOf(event);
    this.#events = [event, ...this.#events.filter((other) => keyOf(other) !== key)].slice(0, this.#most);
    this.#soon();
  }

  #draw() {
    if (!this.#paused) this.#shown.show(this.#events);
  }
}

const keyOf = ({ id, type, data }) => (type.endsWith(".progress") ? `progress ${data.evaluation}` : id);

/** What an event says to a person, as gateway/web/operations.py has it. */
function said({ type, data }) {
  if (type.endsWith(".completed") && data.duration_s != null) return `in ${seconds(data.duration_s)}`;
  return String(data.message ?? data.error ?? "");
}

function makeRow({ type, data }) {
  const tone = BAD.test(type) || data.level === "error" ? "event-bad" : GOOD.test(type) ? "event-good" : null;
  const time = el("time", {});
  const line = el("bdi", {});
  const subject =
    data.number == null
      ? []
      : [el("a", { href: `/evaluations/${data.number}` }, `#${data.number}`), " ", el("bdi", {}, clip(data.model_name, 40)), " "];
  const kind = el("span", { class: "event-type" }, type.replace(/^assay\./, ""));
  const element = el(
    "li",
    { class: tone },
    el("span", { class: "event-head" }, kind, time),
    el("span", { class: "event-line" }, subject, line),
  );
  let shown;
  function update(event) {
    if (shown === event.id) return;
    shown = event.id;
    time.dateTime = event.time;
    time.textContent = new Date(event.time).toLocaleTimeString("en-GB");
    setText(line, clip(said(event), 160));
  }
  return { element, update };
}
