// How far an evaluation is: one place that its progress events change, without anything moving.
import { count, percent, seconds } from "./format.js";

const COUNTS = ["scored", "no_answer", "model_error", "infra_error"];
const STILL_MS = 10_000; // after so long without a result, the last rate says nothing any more

const plainTitle = () => document.title.replace(/^\d+% \u00b7 /, "");

/** Keeps `place` (see evaluation_log.html) as its events say. `show(event, live)`, and `settle()` for as long as nothing is expected; `stop()` for good. */
export function progressOf(place) {
  const bar = place.querySelector("progress");
  const shown = new Map([...place.querySelectorAll("[data-show]")].map((element) => [element.dataset.show, element]));
  const rendered = Date.parse(place.dataset.rendered);
  let done = Number(place.dataset.done);
  let cameAt = null;
  const timer = setInterval(still, 1000);

  function still() {
    if (cameAt === null) return;
    const quiet = performance.now() - cameAt;
    if (quiet > STILL_MS) say("pace", `nothing has come for ${seconds(Math.floor(quiet / 1000)).replace(/\.0\s/, "\u00a0")}`);
  }

  function say(key, text) {
    const element = shown.get(key);
    if (element.textContent !== text) element.textContent = text;
  }

  return {
    show({ time, data }) {
      // What the page was rendered with may be newer than an event of the history, and older than another.
      if (Date.parse(time) < rendered && data.done <= done) return;
      done = data.done;
      bar.max = Math.max(1, data.total);
      bar.value = data.done;
      say("percent", `${data.percent}%`);
      say("count", `${count(data.done)} of ${count(data.total)}`);
      const called = data.done - (data.infra_error ?? 0);
      if (data.correct != null && shown.has("correct")) say("correct", count(data.correct) + (called ? ` (${percent(data.correct / called)})` : ""));
      for (const key of COUNTS) if (data[key] != null) say(key, count(data[key]));
      const rate = data.items_per_s ? `${data.items_per_s.toFixed(1)} items/s` : "";
      const left = data.eta_s && data.done < data.total ? `about ${seconds(Math.ceil(data.eta_s)).replace(/\.0\s/, "\u00a0")} left` : "";
      say("pace", [rate, left].filter(Boolean).join(" \u00b7 "));
      cameAt = data.done < data.total ? performance.now() : null;
      document.title = `${data.percent}% \u00b7 ${plainTitle()}`;
    },
    settle() {
      cameAt = null;
      say("pace", "");
      document.title = plainTitle();
    },
    stop: () => clearInterval(timer),
  };
}
