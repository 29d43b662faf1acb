// The evaluations under way: asked for as a whole when one begins or ends, and kept up to date by events in between.
import { get } from "./api.js";
import { byId, el, status } from "./dom.js";
import { clip, count, seconds } from "./format.js";
import { Keyed, setText } from "./keyed.js";

const PATH = "/evaluations?status=queued&status=running&status=scoring&limit=1000";
const CHANGES = { started: "running", scoring: "scoring" };
const BEGINS_OR_ENDS = new Set(["queued", "completed", "failed", "cancelled"]);
const DASH = "\u2014";

/** `#12 model`, as the first cell of a row, with the environment beneath it. */
export function nameCell(evaluation) {
  return el(
    "th",
    { scope: "row", class: "c-name" },
    el("a", { href: `/evaluations/${evaluation.number}` }, `#${evaluation.number}`),
    " ",
    el("bdi", {}, clip(evaluation.model_name, 60)),
    el("span", { class: "hint" }, `${evaluation.environment}, `, el("bdi", {}, evaluation.phase)),
  );
}

export class Activity {
  #evaluations = new Map();
  #shown;
  #most;
  #drawing = false;

  constructor(most) {
    this.#most = most;
    this.#shown = new Keyed(byId("active"), ({ id }) => id, makeRow);
  }

  /** Ask which evaluations are under way. */
  async read() {
    const found = new Map();
    let cursor = "";
    do {
      const page = await get(PATH + cursor);
      for (const one of page.items) found.set(one.id, newer(one, this.#evaluations.get(one.id)));
      cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
    } while (cursor);
    this.#evaluations = found;
    this.#draw();
  }

  /** An event of any type; returns whether it says that the list is another now. */
  take({ type, data }) {
    if (!type.startsWith("assay.evaluation.")) return false;
    const kind = type.slice("assay.evaluation.".length);
    const known = this.#evaluations.get(data.evaluation);
    if (BEGINS_OR_ENDS.has(kind) || (kind === "started" && !known)) return true;
    if (!known || (data.round ?? 0) < known.round) return false;
    if (CHANGES[kind]) known.status = CHANGES[kind];
    if (kind === "progress" && data.done >= known.progress.done) {
      known.progress = { ...known.progress, done: data.done, total: data.total };
      known.rate = data.items_per_s;
      known.left = data.eta_s;
    }
    this.#soon();
    return false;
  }

  #soon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const all = [...this.#evaluations.values()];
    all.sort((one, other) => (one.status === "queued") - (other.status === "queued") || one.number - other.number);
    const queued = all.filter((one) => one.status === "queued").length;
    setText(byId("running"), count(all.length - queued));
    setText(byId("queued"), count(queued));
    setText(byId("waiting"), count(all.reduce((sum, { progress }) => sum + progress.total - progress.done, 0)));
    this.#shown.show(all.slice(0, this.#most));
    byId("active-none").hidden = all.length > 0;
    byId("active-more").hidden = all.length <= this.#most;
    setText(byId("active-more"), `${count(all.length - this.#most)} more are under way.`);
  }
}

/** What was asked for, unless an event has told of more since. */
function newer(read, known) {
  if (!known || known.round !== read.round) return read;
  const progress = known.progress.done > read.progress.done ? known.progress : read.progress;
  return { ...read, progress, rate: known.rate, left: known.left };
}

function makeRow(evaluation) {
  const state = el("td", { class: "c-status" });
  const bar = el("progress", { "aria-label": `Progress of #${evaluation.number}` });
  const done = el("span", { class: "small" });
  const rate = el("td", { class: "c-number right" });
  const left = el("td", { class: "c-number right" });
  const element = el("tr", {}, nameCell(evaluation), state, el("td", { class: "c-progress" }, bar, done), rate, left);
  let shown;
  function update(one) {
    if (shown !== one.status) state.replaceChildren(status(one.status));
    shown = one.status;
    bar.max = one.progress.total;
    bar.value = one.progress.done;
    setText(done, `${count(one.progress.done)} of ${count(one.progress.total)}`);
    const runs = one.status === "running" && one.rate != null;
    setText(rate, runs ? one.rate.toFixed(1) : DASH);
    setText(left, runs ? seconds(one.left) : DASH);
  }
  return { element, update };
}
