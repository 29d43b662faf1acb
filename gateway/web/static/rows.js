// Tables of evaluations (evaluation_rows.html), kept up to date by the feed of all. Rows never move: what is new is only told of.
import { get } from "./api.js";
import { status } from "./dom.js";
import { follow } from "./feed.js";
import { count, percent } from "./format.js";

const KINDS = ["queued", "started", "progress", "scoring", "completed", "failed", "cancelled"];
const STATUS = { started: "running" };

/** Keep the rows that are on this page as they are. `onNew(data)` is told of each evaluation that is queued meanwhile. */
export function keepRows({ onNew = () => {} } = {}) {
  const rows = new Map([...document.querySelectorAll("tr[data-evaluation]")].map((row) => [row.dataset.evaluation, row]));
  const came = new Map(); // the newest progress of each since the last frame
  let frame = 0;

  function draw() {
    frame = 0;
    for (const [id, data] of came) showProgress(rows.get(id), data);
    came.clear();
  }

  return follow(`/events/ws?type=${KINDS.map((kind) => `assay.evaluation.${kind}`).join(",")}`, {
    onEvent({ type, data }) {
      const kind = type.slice(type.lastIndexOf(".") + 1);
      const row = rows.get(data.evaluation);
      if (kind === "queued") onNew(data);
      else if (!row) return;
      else if (kind === "progress") {
        came.set(data.evaluation, data);
        frame ||= requestAnimationFrame(draw);
      } else showStatus(row, STATUS[kind] ?? kind);
    },
    onState(state) {
      if (state === "live" || state === "gone") loadActive(rows);
    },
  });
}

/** One after the other: a gateway that has just started has all its pages come back. */
async function loadActive(rows) {
  for (const row of rows.values()) if (isActive(row)) await load(row);
}

const isActive = (row) => ["queued", "running", "scoring"].includes(row.dataset.status);
const part = (row, name) => row.querySelector(`[data-show="${name}"]`);

function showProgress(row, { done, total }) {
  part(row, "count").textContent = `${count(done)} of ${count(total)}`;
  const bar = row.querySelector("progress");
  bar.max = Math.max(1, total);
  bar.value = done;
}

function showStatus(row, value) {
  row.dataset.status = value;
  part(row, "status").replaceChildren(status(value));
  row.querySelector("progress").hidden = !isActive(row);
  if (!isActive(row)) load(row);
}

/** What no event has told: what happened before the feed was there, and the score. */
async function load(row) {
  const found = await get(`/evaluations/${row.dataset.evaluation}`).catch(() => null);
  if (!found) return;
  if (found.status !== row.dataset.status) showStatus(row, found.status);
  showProgress(row, found.progress);
  const { metrics } = found;
  if (!metrics) return;
  row.dataset.scored = "";
  const same = metrics.overall_score === metrics.accuracy;
  part(row, "score").textContent = same ? percent(metrics.overall_score) : plain(metrics.overall_score);
  row.dispatchEvent(new CustomEvent("scored", { bubbles: true }));
}

const plain = (number) => (number == null ? "\u2014" : number.toLocaleString("en-US", { maximumFractionDigits: 4 }));
