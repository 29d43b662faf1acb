// The list of models: live numbers, filters that need no button, and a dialog to add one.
import { byId } from "./dom.js";
import { count } from "./format.js";
import { enableActions, sayIn } from "./model_actions.js";
import { modelForm } from "./model_form.js";
import { keepLive, showModel } from "./model_live.js";
import { serverFinder } from "./model_servers.js";

const REFRESH_MS = 3000;

const table = document.getElementById("models");
if (table) {
  const say = sayIn(byId("notice"));
  const rows = new Map([...table.querySelectorAll("[data-model]")].map((row) => [row.dataset.model, row]));
  keepLive(table.dataset.live, REFRESH_MS, ({ items }) => {
    for (const model of items) if (rows.has(model.id)) showModel(rows.get(model.id), model);
    const fresh = items.filter(({ id }) => !rows.has(id)).length;
    const link = byId("new-models");
    link.hidden = fresh === 0;
    link.href = location.href;
    link.textContent = `Show ${count(fresh)} more`;
  });
  enableActions({ done: (model) => showModel(rows.get(model.id), model), wrong: (message) => say("bad", message) });
}

if (byId("models-page").dataset.empty !== undefined) {
  keepLive("/models?limit=1", REFRESH_MS, ({ items }) => {
    if (items.length && !document.querySelector("dialog[open]")) location.reload();
  });
}

const filter = document.getElementById("filter");
if (filter) {
  filter.addEventListener("change", () => filter.requestSubmit());
  filter.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of [...formData]) if (!value) formData.delete(name);
  });
}

const add = document.getElementById("add");
if (add) {
  const open = modelForm({
    done: (models) => location.assign(models.length === 1 ? `/models/${encodeURIComponent(models[0].id)}` : "/models"),
  });
  add.addEventListener("click", () => open());
  byId("discover").addEventListener("click", serverFinder((found) => open({ source: "running", base_url: found.base_url, found })));
}
