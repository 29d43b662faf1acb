// How many items end in a second, over all evaluations, from their progress events.
import { svg } from "./dom.js";

const STEP_S = 2; // of the curve
const NOW_S = 6; // over which the present rate is taken
const WIDTH = 240;
const HEIGHT = 40;
const FINAL = /\.(completed|failed|cancelled)$/;

/** Counts what has ended in each step of the last `historyS` seconds. Times are milliseconds of the server's clock. */
export class Throughput {
  #done = new Map();
  #steps = new Map();
  #historyS;

  constructor(historyS) {
    this.#historyS = historyS;
  }

  /** An event of any type. */
  take({ type, time, data }) {
    if (type.endsWith(".queued")) this.#done.set(data.evaluation, 0);
    else if (FINAL.test(type)) this.#done.delete(data.evaluation);
    else if (type.endsWith(".progress")) {
      const before = this.#done.get(data.evaluation);
      this.#done.set(data.evaluation, data.done);
      // The first that is heard of an evaluation does not say when its items ended; a redriven one begins again lower.
      if (before === undefined || data.done <= before) return;
      const step = stepOf(Date.parse(time));
      this.#steps.set(step, (this.#steps.get(step) ?? 0) + data.done - before);
    }
  }

  /** Items per second in each whole step until now, the oldest first. */
  curve(now) {
    const last = stepOf(now) - 1;
    const first = last - this.#historyS / STEP_S + 1;
    for (const step of this.#steps.keys()) if (step < first) this.#steps.delete(step);
    return Array.from({ length: this.#historyS / STEP_S }, (_, at) => (this.#steps.get(first + at) ?? 0) / STEP_S);
  }

  /** Items per second over the last whole steps. */
  rate(now) {
    const recent = this.curve(now).slice(-NOW_S / STEP_S);
    return recent.reduce((sum, value) => sum + value, 0) / recent.length;
  }
}

const stepOf = (ms) => Math.floor(ms / 1000 / STEP_S);

/** A function that draws a curve into `element`, an `<svg viewBox="0 0 240 40">`. */
export function curveIn(element) {
  const area = svg("path", { class: "curve-area" });
  const line = svg("path", { class: "curve-line" });
  element.replaceChildren(area, svg("path", { class: "curve-base", d: `M0 ${HEIGHT}H${WIDTH}` }), line);
  return (values) => {
    const most = Math.max(1, ...values);
    const points = values.map((value, at) => {
      const x = (at / (values.length - 1)) * WIDTH;
      return `${x.toFixed(1)} ${(HEIGHT - (value / most) * (HEIGHT - 2)).toFixed(1)}`;
    });
    line.setAttribute("d", `M${points.join("L")}`);
    area.setAttribute("d", `M0 ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z`);
  };
}
