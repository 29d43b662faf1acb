// The Evaluate form: which models are shown, what the choice will take, starting it, and adding a model on the way.
import { post } from "./api.js";
import { byId, given } from "./dom.js";
import { estimate } from "./estimate.js";
import { clearErrors, showErrors, valueOf } from "./form.js";
import { clip, count, dollars, seconds, visible } from "./format.js";
import { modelForm } from "./model_form.js";
import { keepLive, showModel } from "./model_live.js";
import { serverFinder } from "./model_servers.js";

const REFRESH_MS = 15_000;
const SEARCHED_FROM = 9;
const SEARCHED = ["name", "served", "tags"];

const form = byId("evaluate");
const list = byId("models");
const place = byId("problem");
const run = document.getElementById("run"); // not there for who may only look
const models = new Map(given("known-models").map((model) => [model.id, model]));
const basis = given("estimate-basis");

const usedUp = given("used-up"); // by phase and model: why nothing more can be started

const chosen = () => [...list.querySelectorAll("input:checked")].map(({ value }) => models.get(value));
/** The model that judges: the one that is chosen, else the newest of the name that the environment gives. */
function judge() {
  const id = form.elements.judge?.value;
  return id ? models.get(id) : [...models.values()].find(({ name }) => name === basis.judge);
}

const cards = () => new Map([...list.children].map((card) => [card.dataset.model, card]));
const source = () => form.elements.source.value;

/** Where a model is shown. As `tabs_of` in gateway/web/evaluate.py. */
function tabsOf({ source: own, status, published_at: published }) {
  const also = { platform: published !== null, running: status === "running" };
  return [own, ...Object.keys(also).filter((tab) => also[tab] && tab !== own)];
}

/** A model that has used up its evaluations in the phase cannot be chosen. */
function markUsedUp() {
  const here = usedUp[form.elements.phase.value] ?? {};
  for (const card of list.children) {
    const why = here[card.dataset.model];
    const box = card.querySelector("input");
    box.disabled = Boolean(why);
    if (why) box.checked = false;
    const note = card.querySelector(".choice-spent");
    note.hidden = !why;
    note.firstElementChild.textContent = visible(why ?? "");
  }
}

function update() {
  markUsedUp();
  const selected = chosen();
  if (run) {
    run.disabled = selected.length === 0;
    const number = selected.length === 1 ? "1 model chosen" : `${count(selected.length)} models chosen`;
    const told = selected.length ? number : "No model chosen";
    if (byId("chosen").textContent !== told) byId("chosen").textContent = told;
    byId("clear").hidden = selected.length === 0;
    byId("names").textContent = visible(clip(selected.map(({ name }) => name).join(", "), 200));
  }
  showEstimate(selected);
}

function showEstimate(selected) {
  const limit = valueOf(form.elements.limit);
  const samples = valueOf(form.elements.samples_per_item) ?? 1;
  const known = selected.length > 0 && samples >= 1 && (limit === null || limit >= 1);
  const found = known
    ? estimate(basis, selected, judge(), {
        phase: form.elements.phase.value,
        limit,
        samples,
        maxTokens: valueOf(form.elements.max_tokens) || null,
      })
    : null;
  const tokens = found?.tokens == null ? "\u2014" : `${found.bounded ? "at most " : "about "}${rounded(found.tokens)}`;
  const cost = found?.cost == null ? "\u2014" : `${found.bounded ? "at most " : "about "}${dollars(found.cost)}`;
  const time = found?.seconds == null ? "\u2014" : about(found.seconds);
  byId("calls").textContent = found ? count(found.calls) : "\u2014";
  byId("tokens").textContent = tokens;
  byId("cost").textContent = cost;
  byId("time").textContent = time;
  const said = found ? found.said : [selected.length ? "Correct the settings to see what it will take." : "Choose a model to see what it will take."];
  byId("basis").replaceChildren(
    ...said.map((text) => {
      const line = document.createElement("li");
      line.append(visible(text));
      return line;
    }),
  );
  if (!run) return;
  const parts = found ? [`${count(found.calls)} ${found.calls === 1 ? "call" : "calls"}`] : [];
  if (found?.tokens != null) parts.push(`${tokens} tokens`);
  if (found?.cost != null) parts.push(cost);
  if (found?.seconds != null) parts.push(time);
  byId("summary").textContent = parts.join(" \u00b7 ");
}

/** Two digits that count, since it is an estimate. */
function rounded(number) {
  if (number < 100) return count(number);
  const unit = 10 ** (Math.floor(Math.log10(number)) - 1);
  return count(Math.round(number / unit) * unit);
}

const about = (value) => (value < 2 ? "a few seconds" : `about ${seconds(value < 60 ? Math.ceil(value) : value).replace(".0", "")}`);

function countTabs() {
  for (const place of form.querySelectorAll("[data-count]")) {
    place.textContent = count(list.querySelectorAll(`[data-tabs~="${place.dataset.count}"]`).length);
  }
}

function search() {
  const wanted = byId("search").value.trim().toLowerCase();
  byId("search").hidden = models.size < SEARCHED_FROM;
  for (const card of list.children) {
    card.hidden = !SEARCHED.some((field) => textOf(card, field).toLowerCase().includes(wanted));
  }
  const shown = [...list.querySelectorAll(`[data-tabs~="${source()}"]`)];
  byId("none-found").hidden = shown.length === 0 || shown.some((card) => !card.hidden);
}

const textOf = (card, field) => card.querySelector(`[data-field="${field}"]`).textContent;

function show(card, model) {
  models.set(model.id, model);
  card.dataset.tabs = tabsOf(model).join(" ");
  showModel(card, model);
}

/** The card of a model that the page came without. */
function cardOf(model) {
  const card = byId("choice").content.firstElementChild.cloneNode(true);
  card.dataset.model = model.id;
  const box = card.querySelector("input");
  box.value = model.id;
  box.id = `choose-${model.id}`;
  box.setAttribute("aria-describedby", `about-${model.id}`);
  card.querySelector("label").htmlFor = box.id;
  card.querySelector(".choice-about").id = `about-${model.id}`;
  show(card, model);
  return card;
}

/** A model that the page came without may judge, too. */
function offerAsJudge({ id, name }) {
  const judge = form.elements.judge;
  if (judge && ![...judge.options].some(({ value }) => value === id)) judge.add(new Option(visible(clip(name, 60)), id));
}

/** A model that was added here: first, chosen, and in a tab that shows it. */
function added(model) {
  // The feed may have told of it already.
  cards().get(model.id)?.remove();
  const card = cardOf(model);
  list.prepend(card);
  offerAsJudge(model);
  const box = card.querySelector("input");
  box.checked = true;
  const tabs = tabsOf(model);
  if (!tabs.includes(source())) form.elements.source.value = tabs[0];
  byId("search").value = "";
  countTabs();
  changed();
  card.scrollIntoView({ block: "nearest" });
  box.focus();
}

/** What the API says by now; what was registered elsewhere meanwhile joins the others. */
function refreshed({ items }) {
  const known = cards();
  for (const model of items) {
    if (known.has(model.id)) show(known.get(model.id), model);
    else list.append(cardOf(model));
    offerAsJudge(model);
  }
  countTabs();
  changed();
}

function changed() {
  search();
  update();
}

/** The body of `POST /v1/evaluations`; raises what `showErrors` takes where a field cannot be read. */
function bodyOf() {
  const body = { environment: form.dataset.environment, phase: form.elements.phase.value, models: chosen().map(({ id }) => id), params: {} };
  const errors = [];
  const take = (into, name) => {
    const value = valueOf(form.elements[name]);
    if (Number.isNaN(value)) errors.push({ loc: [name], msg: "must be a number" });
    else if (value !== null) into[name] = value;
  };
  if (form.elements.judge?.value) body.judge = form.elements.judge.value;
  const other = form.elements.other.value.trim();
  if (other) {
    let found = null;
    try {
      found = JSON.parse(other);
    } catch {
      // Told below.
    }
    if (found === null || typeof found !== "object" || Array.isArray(found)) {
      errors.push({ loc: ["other"], msg: 'must be a JSON object, such as {"top_k": 20}' });
    } else Object.assign(body.params, found);
  }
  for (const name of ["limit", "samples_per_item", "priority"]) take(body, name);
  for (const name of ["temperature", "max_tokens", "top_p", "seed"]) take(body.params, name);
  const stop = form.elements.stop.value.split("\n").filter(Boolean);
  if (stop.length) body.params.stop = stop;
  if (errors.length) throw Object.assign(new Error("Some settings cannot be read."), { errors });
  return body;
}

const fieldOf = (loc) => {
  const [name, inner] = loc;
  if (name !== "params") return name;
  return form.elements[inner] ? inner : "other";
};

let attempt = null;

async function start(event) {
  event.preventDefault();
  run.disabled = true;
  run.textContent = "Starting\u2026";
  try {
    clearErrors(form, place);
    const body = bodyOf();
    const text = JSON.stringify(body);
    // Pressed again after a connection that broke: the same evaluations, not some more.
    if (attempt?.text !== text) attempt = { text, key: crypto.randomUUID() };
    const { group, evaluations } = await post("/evaluations", body, { headers: { "Idempotency-Key": attempt.key } });
    location.assign(evaluations.length === 1 ? `/evaluations/${evaluations[0].number}` : `/evaluations?group=${encodeURIComponent(group)}`);
  } catch (error) {
    run.textContent = "Run Evaluation";
    update();
    showErrors(form, place, error, fieldOf);
  }
}

form.addEventListener("submit", run ? start : (event) => event.preventDefault());
form.addEventListener("input", update);
form.addEventListener("change", ({ target }) => {
  if (target.name === "source") {
    const address = new URL(location.href);
    address.searchParams.set("source", target.value);
    history.replaceState(null, "", address);
    search();
  }
});
byId("search").addEventListener("input", search);
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault();
});
document.getElementById("clear")?.addEventListener("click", () => {
  for (const box of list.querySelectorAll("input:checked")) box.checked = false;
  update();
  form.elements.source[0].closest("fieldset").querySelector(":checked").focus();
});
if (document.getElementById("model-dialog")) {
  const open = modelForm({ done: (models) => models.toReversed().forEach(added) });
  const find = serverFinder((found) => open({ source: "running", base_url: found.base_url, found }));
  for (const button of document.querySelectorAll("[data-add]")) {
    button.addEventListener("click", () => open({ source: button.dataset.add || source() }));
  }
  for (const button of document.querySelectorAll("[data-discover]")) button.addEventListener("click", find);
}
// A browser that comes back to this page fills the form in again, without telling.
window.addEventListener("pageshow", changed);
changed();
keepLive("/models?limit=1000", REFRESH_MS, refreshed);
