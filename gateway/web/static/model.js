// A model's page: live numbers, Probe, Edit, Delete.
import { patch, post, remove } from "./api.js";
import { byId, el } from "./dom.js";
import { duration } from "./format.js";
import { modelForm } from "./model_form.js";
import { keepLive, showModel } from "./model_live.js";

const REFRESH_MS = 2000;

const head = byId("model");
const path = `/models/${encodeURIComponent(head.dataset.model)}`;
const notice = byId("notice");

function show(model) {
  showModel(head, model);
  showModel(byId("live"), model);
}

const say = (kind, ...texts) => notice.replaceChildren(el("p", { class: `notice ${kind}` }, ...texts));

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
  try {
    await remove(path);
    location.assign("/models");
  } catch (error) {
    byId("delete-problem").replaceChildren(el("p", { class: "notice bad" }, error.message));
    button.disabled = false;
  }
}

document.getElementById("probe")?.addEventListener("click", probe);
const edit = document.getElementById("edit");
if (edit) {
  const open = modelForm({ changes: true, send: (body) => patch(path, body), done: () => location.reload() });
  edit.addEventListener("click", () => open());
  const dialog = byId("delete-dialog");
  byId("delete").addEventListener("click", () => dialog.showModal());
  byId("delete-not").addEventListener("click", () => dialog.close());
  byId("delete-now").addEventListener("click", deleteNow);
}
keepLive(path, REFRESH_MS, show);
