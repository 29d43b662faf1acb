// Models as they are by now: the feed says when one changes, and what the feed has no event for is looked up now and then.
import { get } from "./api.js";
import { el, quiet, status } from "./dom.js";
import { follow } from "./feed.js";
import { clip, count, duration, plain, visible } from "./format.js";

const SETTLE_MS = 300;
const SOURCES = { running: "Running", platform: "Platform", trained: "Trained", huggingface: "HuggingFace" };

/** Calls at once: `16`, `12 of 16` after a cut, `40 (auto)`. */
export function limitOf({ max_concurrency: set, pacing }) {
  const now = pacing?.limit;
  if (set === "auto") return now ? `${count(now)} (auto)` : "auto";
  return now && now !== set ? `${count(now)} of ${count(set)}` : count(set);
}

/** As `served_by` in gateway/web/model_fields.py. */
export function servedBy({ model, engine }) {
  if (!engine) return model;
  return `${engine.checkpoint}${engine.adapter ? ` + ${engine.adapter}` : ""} \u00b7 ${engine.name}`;
}

/** As `said_of` in gateway/web/model_fields.py. */
function saidOf({ status: value, status_detail: detail, engine }) {
  if (value === "running") return "";
  return value === "stopped" && engine ? "Starts when it is evaluated." : detail;
}

/** As `price_of` in gateway/web/model_fields.py. */
function priceOf(price) {
  const known = [["in", price?.input], ["out", price?.output]].filter(([, usd]) => usd != null);
  return known.map(([which, usd]) => `${plain(usd)} ${which}`).join(", ");
}

const rests = ({ status: value }) => value === "stopped" || value === "failed";

const isOffered = ({ published_at: published, withdrawn_at: withdrawn }) => published !== null && withdrawn === null;

/** Whether an action is offered, as in model_macros.html. */
const MAY = {
  start: rests,
  stop: (model) => !rests(model),
  publish: (model) => !isOffered(model),
  withdraw: (model) => isOffered(model),
};

const FIELDS = {
  name: (place, { name }) => place.replaceChildren(visible(name)),
  served: (place, model) => place.replaceChildren(visible(clip(servedBy(model), 160))),
  published(place, model) {
    place.hidden = !(isOffered(model) && model.source !== "platform") && model.withdrawn_at === null;
    place.replaceChildren(model.withdrawn_at === null ? "Published" : "Withdrawn");
  },
  source: (place, { source }) => place.replaceChildren(SOURCES[source]),
  elsewhere(place, { source }) {
    // "Running" beside a status would read as one.
    place.hidden = source === "running";
    place.replaceChildren(SOURCES[source]);
  },
  per_minute(place, { requests_per_minute: most }) {
    place.hidden = most === null;
    place.querySelector("dd").replaceChildren(String(most));
  },
  limit: (place, model) => place.replaceChildren(limitOf(model)),
  rate: (place, { pacing }) => place.replaceChildren((pacing?.calls_per_s ?? 0).toFixed(1)),
  calls: (place, { pacing }) => place.replaceChildren(count(pacing?.calls ?? 0)),
  refused: (place, { pacing }) => place.replaceChildren(count(pacing?.refused ?? 0)),
  in_flight: (place, { pacing }) => place.replaceChildren((pacing?.in_flight ?? 0).toFixed(0)),
  meter(place, { pacing }) {
    const part = pacing?.limit ? Math.min(1, pacing.in_flight / pacing.limit) : 0;
    place.querySelector(".bar-value").setAttribute("width", `${(part * 100).toFixed(3)}%`);
  },
  latency(place, { pacing, latency_ms: probe }) {
    if (pacing?.latency_ms != null) return place.replaceChildren(duration(pacing.latency_ms));
    if (probe == null) return place.replaceChildren(duration(null));
    const small = document.createElement("small");
    small.append("(probe)");
    place.replaceChildren(`${duration(probe)} `, small);
  },
  status(place, { status: value }) {
    if (place.textContent.trim() !== value) place.replaceChildren(status(value));
  },
  since(place, { status_since: moment }) {
    if (!moment || place.dateTime === moment) return;
    place.dateTime = moment;
    place.title = moment;
    place.textContent = new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  },
  act(place, model) {
    place.hidden = !MAY[place.dataset.act](model);
  },
  tags(place, { tags }) {
    place.hidden = tags.length === 0;
    place.replaceChildren(...tags.map((tag) => el("li", {}, el("span", { class: "badge tag" }, el("bdi", {}, clip(tag, 40))))));
  },
  price(place, { price }) {
    const text = priceOf(price);
    place.hidden = !text;
    place.querySelector("dd").replaceChildren(text);
  },
  detail(place, model) {
    const text = saidOf(model);
    place.hidden = !text;
    place.dataset.status = model.status;
    place.replaceChildren(visible(clip(text, Number(place.dataset.most))));
  },
};

const shown = new WeakMap();

/** Write a `Model` of the API into the `data-field`s of `root`. */
export function showModel(root, model) {
  // Of a thousand cards a handful changes.
  const text = JSON.stringify(model);
  if (shown.get(root) === text) return;
  shown.set(root, text);
  for (const place of root.querySelectorAll("[data-field]")) FIELDS[place.dataset.field](place, model);
}

/**
 * Call `show` with the API's answer to `path` whenever a model's status or limit changes, and every `everyMs` while the page is seen.
 *
 * Returns how to stop that. `gone` is called, and nothing more asked for, where there is nothing at `path` any more.
 */
export function keepLive(path, everyMs, show, gone = () => {}) {
  let asking = false;
  let stopped = false;
  async function refresh() {
    if (asking || stopped || document.visibilityState === "hidden") return;
    asking = true;
    try {
      const answer = await get(path);
      if (!stopped) show(answer);
    } catch (error) {
      // What is shown stays; the next time may do.
      if (error.status === 404 && !stopped) {
        stop();
        gone();
      }
    } finally {
      asking = false;
    }
  }
  const timer = setInterval(refresh, everyMs);
  document.addEventListener("visibilitychange", refresh);
  const soon = quiet(SETTLE_MS, refresh);
  // Once it is connected as well: what happened before that had no listener.
  const unfollow = follow("/events/ws?type=assay.model.status", { onEvent: soon, onState: (state) => state !== "lost" && soon() });

  function stop() {
    stopped = true;
    clearInterval(timer);
    document.removeEventListener("visibilitychange", refresh);
    unfollow();
  }
  return stop;
}
