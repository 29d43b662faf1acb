// The frame of an evaluation's page: its actions, and taking over what changes as it goes on.
import { get, post } from "./api.js";
import { copyWith } from "./copy.js";
import { byId } from "./dom.js";
import { atMostEvery } from "./every.js";
import { exchange, PARTS } from "./exchange.js";
import { follow } from "./feed.js";
import { clear, showProblem } from "./notice.js";
import { say } from "./say.js";

const TYPES = ["started", "scoring", "completed", "failed", "cancelled"].map((kind) => `assay.evaluation.${kind}`);
const ENDS = { completed: "The evaluation has completed.", failed: "The evaluation has failed.", cancelled: "The evaluation was cancelled." };

const CALLS = new Set(["queued", "running"]); // statuses in which models are called
const AWAY = new Set(["unreachable", "starting", "stopped", "failed"]); // as in gateway/web/evaluation.py
const WAITING_MS = 500;

const root = byId("evaluation");
let stop = null;
const showWaiting = atMostEvery(WAITING_MS, () => exchange(["state"]));

async function refresh() {
  await exchange(PARTS);
  const { status } = root.dataset;
  if (status in ENDS) {
    say(ENDS[status]);
    stop?.();
    stop = null;
  } else watch();
}

/** Until it ends, hear of its steps and of whether its models can be called. */
function watch() {
  if (stop || !("active" in root.dataset)) return;
  stop = follow(`/events/ws?type=${[...TYPES, "assay.model.status"].join(",")}`, {
    onEvent({ type, data }) {
      if (type !== "assay.model.status") {
        if (data.evaluation === root.dataset.id) refresh();
      } else if (CALLS.has(root.dataset.status) && [root.dataset.model, root.dataset.judge].includes(data.model)) {
        // It also tells of the model's limit, which does not matter here.
        if (AWAY.has(data.status) || "waits" in root.dataset) showWaiting();
      }
    },
    onState(state) {
      if (state === "live" || state === "gone") check();
    },
  });
}

/** What may have happened while nobody listened. */
async function check() {
  const found = await get(`/evaluations/${root.dataset.id}`).catch(() => null);
  if (found && (found.status !== root.dataset.status || String(found.round) !== root.dataset.round)) refresh();
  else if ("waits" in root.dataset) showWaiting();
}

async function act(form) {
  const problem = byId("problem");
  clear(problem);
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await post(`/evaluations/${root.dataset.id}/${form.dataset.act}`);
    await refresh();
  } catch (error) {
    showProblem(problem, error);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.act) return;
  event.preventDefault();
  if (form.dataset.act !== "cancel") {
    act(form);
    return;
  }
  const sure = byId("sure");
  sure.returnValue = "";
  sure.addEventListener("close", () => sure.returnValue === "cancel" && act(form), { once: true });
  sure.showModal();
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-copy]");
  if (button) copyWith(button, button.dataset.copy);
});

watch();
