// What a model's engine says: the last lines that are kept, then each as it comes.
import { get } from "./api.js";
import { copyWith } from "./copy.js";
import { byId } from "./dom.js";
import { follow } from "./feed.js";
import { count } from "./format.js";
import { Lines } from "./loglines.js";
import { LogView } from "./logview.js";

const KEPT_AFTER_MS = 1500; // the launcher writes what it keeps once a second
const STATES = { live: "Live", lost: "Connection lost; it comes back by itself", gone: "Some lines were missed", refused: "Not available" };

/** `kept` is the end of what was said up to a moment, `told` what events told from some moment before it on: both, each line once. */
export function joined(kept, told) {
  for (let both = Math.min(kept.length, told.length); both > 0; both -= 1) {
    if (told.slice(0, both).every(({ text }, at) => text === kept[kept.length - both + at].text)) return [...kept, ...told.slice(both)];
  }
  return [...kept, ...told];
}

/** Follow the log of `panel`, the section of templates/model.html. */
export function followEngine(panel, model) {
  const latest = byId("log-latest");
  const state = byId("log-state");
  let lines = new Lines();
  let view = viewOf(lines);
  let told = []; // by events, since the connection began, until what is kept has been read
  let reading = true;
  let heard = false; // an event, after which a connection that comes back goes on

  function viewOf(of) {
    return new LogView(byId("log-lines"), of, () => {
      latest.hidden = view.following;
      byId("log-count").textContent = of.count === 1 ? "1 line" : `${count(of.count)} lines`;
    });
  }

  async function readKept() {
    reading = true;
    told = [];
    await new Promise((done) => setTimeout(done, KEPT_AFTER_MS));
    const { lines: kept } = await get(panel.dataset.path).catch(() => ({ lines: [] }));
    const { following } = view;
    view.stop();
    lines = new Lines();
    lines.add(joined(kept.map((text) => ({ at: null, level: "info", kind: "log", text })), told));
    view = viewOf(lines);
    view.following = following;
    view.reset();
    reading = false;
  }

  function onEvent({ time, data }) {
    heard = true;
    if (data.model !== model) return;
    const came = data.lines.map((text) => ({ at: Date.parse(time), level: data.level, kind: "log", text }));
    if (reading) told.push(...came);
    else view.grown(lines.add(came));
  }

  latest.addEventListener("click", () => {
    view.latest();
    byId("log-lines").focus();
  });
  byId("log-copy").addEventListener("click", ({ target }) => copyWith(target, lines.shown.map(({ text }) => text).join("\n")));
  byId("log-lines").scrollTop = byId("log-lines").scrollHeight;
  state.textContent = "Connecting";
  follow("/events/ws?type=assay.model.log", {
    onEvent,
    onState(now) {
      state.textContent = STATES[now];
      state.dataset.state = now;
      if (now === "gone") heard = false;
      if (now === "live" && !heard) readKept();
    },
  });
}
