// A model's page: live numbers, what its engine says, Start, Stop, Probe, Edit, Delete.
import { post, remove } from "./api.js";
import { byId, el } from "./dom.js";
import { followEngine } from "./engine_log.js";
import { duration } from "./format.js";
import { enableActions, sayIn } from "./model_actions.js";
import { modelForm } from "./model_form.js";
import { keepLive, showModel } from "./model_live.js";

const REFRESH_MS = 2000;

const head = byId("model");
const { model: id } = head.dataset;
const path = `/models/${encodeURIComponent(id)}`;
const say = sayIn(byId("notice"));

function show(model) {
  showModel(head, model);
  showModel(byId("live"), model);
}

async function probe({ currentTarget: button }) {
  button.disabled = true;
  button.textContent = "Asking\u2026";
  try {
    const model = await post(`${path}/probe`);
    show(model);
    const took = model.latency_ms == null ? "" : ` after ${duration(model.latency_ms)}`;
    if (model.status === "running") say("good", `The endpoint answers${took}.`);
    else say("warn", `The model is ${model.status}: `, el("bdi", {}, model.status_detail));
  } catch (error) {
    say("bad", error.message);
  } finally {
    button.disabled = false;
    button.textContent = "Probe";
  }
}

async function deleteNow({ currentTarget: button }) {
  button.disabled = true;
  stopLooking(); // what is being deleted is not asked for
  try {
    await remove(path);
    location.assign("/models");
  } catch (error) {
    byId("delete-problem").replaceChildren(el("p", { class: "notice bad" }, error.message));
    button.disabled = false;
    stopLooking = look();
  }
}

const look = () => keepLive(path, REFRESH_MS, show, () => say("warn", "This model was deleted."));
let stopLooking = look();

enableActions({ done: show, wrong: (message) => say("bad", message) });
document.getElementById("probe")?.addEventListener("click", probe);
const edit = document.getElementById("edit");
if (edit) {
  const open = modelForm({ path, done: () => location.reload() });
  edit.addEventListener("click", () => open());
  const dialog = byId("delete-dialog");
  byId("delete").addEventListener("click", () => dialog.showModal());
  byId("delete-not").addEventListener("click", () => dialog.close());
  byId("delete-now").addEventListener("click", deleteNow);
}
const engine = document.getElementById("engine-panel");
if (engine) followEngine(engine, id);
