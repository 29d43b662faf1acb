// The calls that are in flight to each model, against how many may be at once, and the engines that are up.
import { get } from "./api.js";
import { byId, el, status, svg } from "./dom.js";
import { clip, count, duration } from "./format.js";
import { Keyed, setText } from "./keyed.js";

const DASH = "\u2014";
const BUSY = 0.5; // of a call, on average over the last second

export class InFlight {
  #shown = new Keyed(byId("models"), ({ id }) => id, makeRow);
  #limit;
  #rows;

  #engines = new Keyed(byId("engines"), ({ id }) => id, makeEngine);

  /** `limit`: how many of the newest models are asked for; `rows`: how many of them are shown. */
  constructor(limit, rows) {
    this.#limit = limit;
    this.#rows = rows;
  }

  async read() {
    const { items } = await get(`/models?limit=${this.#limit}`);
    items.sort((one, other) => isBusy(other) - isBusy(one) || order(one.name, other.name) || order(one.id, other.id));
    this.#shown.show(items.slice(0, this.#rows));
    byId("models-more").hidden = items.length <= this.#rows;
    setText(byId("models-more"), `${count(items.length - this.#rows)} more models have no calls in flight.`);
    byId("models-none").hidden = items.length > 0;
    const calls = items.reduce((sum, { pacing }) => sum + (pacing?.in_flight ?? 0), 0);
    setText(byId("in-flight"), count(calls));
    const up = items.filter(({ engine, status: is }) => engine && is !== "stopped" && is !== "failed");
    up.sort((one, other) => order(one.name, other.name) || order(one.id, other.id));
    this.#engines.show(up);
    setText(byId("engines-up"), count(up.length));
  }
}

const isBusy = ({ pacing }) => (pacing?.in_flight ?? 0) >= BUSY;
const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** A model whose engine runs or starts. */
function makeEngine({ id }) {
  const name = el("bdi", {});
  const state = el("span", {});
  let shown;
  function update({ name: called, status: is }) {
    setText(name, clip(called, 60));
    if (shown !== is) state.replaceChildren(status(is));
    shown = is;
  }
  return { element: el("li", {}, el("a", { href: `/models/${id}` }, name), state), update };
}

function makeRow(model) {
  const state = el("td", { class: "c-status" });
  const value = svg("rect", { class: "bar-value", width: "0%", height: 8, rx: 4 });
  const track = svg("rect", { class: "bar-track", width: "100%", height: 8, rx: 4 });
  const bar = svg("svg", { class: "bar", width: "100%", height: 8, "aria-hidden": "true", focusable: "false" }, track, value);
  const calls = el("span", { class: "small" });
  const rate = el("td", { class: "c-number right" });
  const latency = el("td", { class: "c-number right" });
  const name = el("bdi", {});
  const element = el(
    "tr",
    {},
    el("th", { scope: "row", class: "c-name" }, el("a", { href: `/models/${model.id}` }, name)),
    state,
    el("td", { class: "c-progress" }, bar, calls),
    rate,
    latency,
  );
  let shown;
  function update({ name: called, status: is, pacing }) {
    setText(name, clip(called, 60));
    if (shown !== is) state.replaceChildren(status(is));
    shown = is;
    const share = pacing?.limit ? Math.min(1, pacing.in_flight / pacing.limit) : 0;
    value.setAttribute("width", `${(share * 100).toFixed(2)}%`);
    const how = pacing?.mode === "auto" ? ", auto" : "";
    setText(calls, pacing ? `${count(pacing.in_flight)} of ${count(pacing.limit)}${how}` : "not called yet");
    setText(rate, pacing ? pacing.calls_per_s.toFixed(1) : DASH);
    setText(latency, duration(pacing?.latency_ms));
  }
  return { element, update };
}
