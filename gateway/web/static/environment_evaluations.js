// An environment's evaluations, as they go on.
import { byId, quiet } from "./dom.js";
import { count } from "./format.js";
import { follow } from "./feed.js";
import { swap } from "./swap.js";

const SETTLE_MS = 300;
const TYPES = ["queued", "started", "progress", "scoring", "completed", "failed", "cancelled"].map((kind) => `assay.evaluation.${kind}`);

const { environment } = byId("evaluations").dataset;
const isFirst = "first" in byId("evaluations").dataset;

const again = quiet(SETTLE_MS, () => swap(location.href, ["evaluations"]).catch(() => {})); // the next event, or a reload, tries again

function onEvent({ type, data }) {
  if (data.environment !== environment) return;
  const row = document.querySelector(`[data-evaluation="${CSS.escape(data.evaluation)}"]`);
  if (type !== "assay.evaluation.progress") {
    if (row || isFirst) again();
    return;
  }
  if (!row) return;
  row.querySelector("[data-done]").textContent = count(data.done);
  const bar = row.querySelector("progress");
  if (bar) bar.value = data.done;
  else again(); // it runs again
}

follow(`/events/ws?${new URLSearchParams({ type: TYPES.join(",") })}`, { onEvent, onState: (state) => state === "gone" && again() });
