// An evaluation's log: all of it from the beginning, then live; cut connections are taken up where they were lost.
import { copyWith } from "./copy.js";
import { byId, quiet } from "./dom.js";
import { follow } from "./feed.js";
import { count } from "./format.js";
import { LogView } from "./logview.js";
import { lineOf, Lines, plain } from "./loglines.js";
import { enliven, onChange } from "./panel.js";
import { progressOf } from "./progress.js";
import { say } from "./say.js";

const SPEAK_MS = 10_000;
const MANY = 100; // lines in a frame: a history that comes in, which is not worth drawing at each step
const MANY_MS = 250;
const STATES = { live: "Live", lost: "Connection lost; it comes back by itself", ended: "Complete", refused: "Not available" };

function start(root) {
  const lines = new Lines();
  const latest = byId("log-latest");
  const total = byId("log-count"); // held, since the last scroll may come when the scores have taken the log's place
  const level = byId("log-level");
  const search = byId("log-search");
  const progress = progressOf(byId("progress"));
  const view = new LogView(byId("log-lines"), lines, showPlace);
  let waiting = []; // lines that came since the last frame
  let lastProgress = null;
  let frame = 0;
  let rest = 0;
  let unseen = 0; // lines that came since the end was left
  const renderedTo = Number(root.dataset.renderedTo); // the cursor of the last line that the server rendered
  let known = 0; // lines that came up to that one
  let begun = false;
  let toSay = "";
  let cursor = "0";
  let stop = null;

  function showPlace() {
    if (view.following) unseen = 0;
    latest.hidden = view.following;
    latest.textContent = unseen ? `Jump to latest \u00b7 ${count(unseen)} new` : "Jump to latest";
    const all = `${count(lines.count)} lines`;
    const dropped = lines.dropped ? `, the first ${count(lines.dropped)} only by the command` : "";
    total.textContent = (lines.filtered ? `${count(lines.shown.length)} of ${all}` : all) + dropped;
  }

  function draw() {
    cancelAnimationFrame(frame);
    frame = 0;
    rest = performance.now() + (waiting.length > MANY ? MANY_MS : 0);
    const came = waiting;
    waiting = [];
    const before = lines.shown.length;
    const gone = lines.add(came);
    if (begun) {
      if (!view.following) unseen += lines.shown.length + gone - before;
      view.grown(gone);
    } else if (Number(cursor) >= renderedTo) {
      // Not before: whoever reads what the server rendered would be moved away from it.
      begun = true;
      if (!view.following) unseen = lines.count - known;
      view.take(known - lines.dropped);
    }
    if (lastProgress) progress.show(lastProgress);
    lastProgress = null;
  }

  function onEvent(event) {
    cursor = event.cursor;
    if (Number(cursor) <= renderedTo) known += 1;
    const line = lineOf(event);
    waiting.push(line);
    if (line.kind === "progress") lastProgress = event;
    if (line.kind === "progress" || line.level !== "info") toSay = line.text;
    // A page in the background has no frames, and must not hold everything that comes meanwhile twice.
    if (waiting.length > 5000) draw();
    else if (!frame) frame = requestAnimationFrame(when);
  }

  function when(now) {
    if (now >= rest) draw();
    else frame = requestAnimationFrame(when);
  }

  const filter = () => {
    begun = true;
    lines.filter(level.value, search.value.trim());
    view.reset();
  };
  level.addEventListener("change", filter);
  search.addEventListener("input", quiet(120, filter));
  latest.addEventListener("click", () => {
    view.latest();
    byId("log-lines").focus();
  });
  byId("log-copy").addEventListener("click", ({ target }) => copyWith(target, lines.shown.map(plain).join("\n")));

  const place = byId("log-lines");
  place.scrollTop = place.scrollHeight;
  const state = byId("log-state");
  state.textContent = "Connecting";
  function connect() {
    stop = follow(`/evaluations/${root.dataset.evaluation}/events/ws`, {
      after: cursor,
      onEvent,
      onState(now) {
        state.textContent = STATES[now];
        state.dataset.state = now;
        if (now !== "ended") return;
        progress.settle();
        stop = null;
      },
    });
  }
  connect();
  // One that is called again goes on with the same log.
  const changes = onChange(() => stop === null && "active" in byId("evaluation").dataset && connect());
  // Not each line: a person who listens hears where it stands now and then.
  const speaking = setInterval(() => {
    if (toSay) say(toSay);
    toSay = "";
  }, SPEAK_MS);

  return () => {
    stop?.();
    changes();
    clearInterval(speaking);
    cancelAnimationFrame(frame);
    progress.stop();
    view.stop();
  };
}

enliven("#log", start);
