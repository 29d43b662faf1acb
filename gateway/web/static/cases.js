// Detailed Results: filters as one types, turns pages and opens rows in their place. Without it every link and form still works.
import { get } from "./api.js";
import { drawCase, mark, state } from "./case.js";
import { byId, el, quiet } from "./dom.js";
import { count, duration } from "./format.js";
import { clear, showProblem } from "./notice.js";
import { enliven, onChange } from "./panel.js";
import { localise } from "./times.js";

const ROWS = 50;
const CELL_CHARS = 300;
const TEXT_CHARS = 20_000;
const SAMPLES = 20;

const root = byId("evaluation");
const results = `/evaluations/${root.dataset.id}/results`;
const base = root.dataset.base;
let loading = null;

/** What the form asks for; what is at its default is left out. */
function asked() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(byId("filter"))) {
    if (value && !(name === "sort" && value === "index")) query.set(name, value);
  }
  return query;
}

const pageOf = (query) => `${base}/cases${query.size ? `?${query}` : ""}`;

/** Show the rows of a query, from `cursor` or `from` in it, and make this the page's address. */
async function show(query, { push = false } = {}) {
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  const table = document.getElementById("cases");
  if (!table) {
    location.assign(pageOf(query));
    return;
  }
  table.setAttribute("aria-busy", "true");
  const wanted = new URLSearchParams(query);
  wanted.set("limit", ROWS);
  wanted.set("clip", CELL_CHARS);
  try {
    const page = await get(`${results}?${wanted}`, { signal: mine.signal });
    clear(byId("rows-problem"));
    history[push ? "pushState" : "replaceState"](null, "", pageOf(query));
    fill(page, query);
  } catch (error) {
    if (error.name !== "AbortError") showProblem(byId("rows-problem"), error, byId("filter"));
  } finally {
    if (loading === mine) table.removeAttribute("aria-busy");
  }
}

function fill({ items, next }, query) {
  const begun = query.has("cursor");
  const plain = ![...query.keys()].some((name) => name !== "cursor");
  byId("rows").replaceChildren(...items.map(row));
  byId("reset").hidden = plain;
  const all = Number(byId("cases").dataset.items);
  byId("rows-said").textContent = said(items, { plain, next, begun, all });
  const first = new URLSearchParams(query);
  first.delete("cursor");
  link("first", begun ? pageOf(first) : null);
  const start = items[0]?.index ?? 0;
  link("previous", plain && start > 0 ? `${base}/cases?from=${Math.max(start - ROWS, 0) + 1}` : null);
  const following = new URLSearchParams(first);
  if (next) following.set("cursor", next);
  link("next", next ? pageOf(following) : null);
  const sort = query.get("sort") ?? "index";
  for (const anchor of document.querySelectorAll("a.sort")) {
    const { sort: key } = anchor.dataset;
    const head = anchor.closest("th");
    const direction = sort === key ? "ascending" : sort === `-${key}` ? "descending" : null;
    if (direction) head.setAttribute("aria-sort", direction);
    else head.removeAttribute("aria-sort");
    anchor.href = pageOf(sorted(key, sort));
  }
}

/** The query that a click on a column's head asks for; latency begins with the slowest. */
function sorted(key, sort) {
  const other = { index: "index", correct: sort === "correct" ? "-correct" : "correct", latency_ms: sort === "-latency_ms" ? "latency_ms" : "-latency_ms" };
  const query = asked();
  query.delete("sort");
  if (other[key] !== "index") query.set("sort", other[key]);
  return query;
}

function said(items, { plain, next, begun, all }) {
  if (!items.length) return "No test case matches.";
  if (plain) return `Rows ${count(items[0].index + 1)} to ${count(items.at(-1).index + 1)} of ${count(all)}.`;
  const one = items.length === 1;
  return `${count(items.length)}${next ? " of more" : ""} test case${one ? "" : "s"} that match${one ? "es" : ""}${begun ? ", continued" : ""}.`;
}

function link(id, href) {
  const anchor = byId(id);
  anchor.hidden = href === null;
  anchor.href = href ?? "";
}

function row(found) {
  const [kind, sign, label] = state(found, found.samples);
  const place = count(found.index + 1);
  const cell = (text, name, answer) =>
    el("td", { "data-label": name, class: name === "Input" ? "c-input" : null }, el("span", { class: answer ? "cut answer" : "cut", dir: "auto" }, text));
  const missing = el("em", {}, found.outcome === "scored" ? "nothing extracted" : label.toLowerCase());
  return el(
    "tr",
    { class: `case ${kind}`, "data-index": found.index },
    el("td", { class: "c-number" }, place),
    el("td", { class: "c-mark" }, mark([kind, sign, label])),
    el("th", { scope: "row", class: "c-item" }, el("bdi", {}, found.item_id.slice(0, 80))),
    cell(found.input, "Input", false),
    cell(found.target || "\u2014", "Target", true),
    cell(found.prediction ?? missing, "Prediction", true),
    el("td", { class: "c-latency right", "data-label": "Latency" }, duration(found.latency_ms)),
    el("td", { class: "c-open" }, opener(found.index, `Open test case ${place}`)),
  );
}

const opener = (index, label) =>
  el("button", { type: "button", class: "open-case", "data-open": index, "aria-expanded": "false", "aria-label": label }, "Open");

/** Open or close a row in its place. */
async function toggle(button) {
  const line = button.closest("tr");
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  button.firstChild.data = isOpen ? "Open" : "Close";
  if (isOpen) {
    line.nextElementSibling.remove();
    return;
  }
  const place = el("td", { colspan: 8 }, el("p", { class: "hint" }, "Loading \u2026"));
  line.after(el("tr", { class: `case-row ${line.classList.contains("miss") ? "miss" : ""}` }, place));
  const index = button.dataset.open;
  try {
    const found = await get(`${results}/${index}?samples=${SAMPLES}&clip=${TEXT_CHARS}`);
    const whole = "files" in byId("filter").dataset ? `/v1/evaluations/${root.dataset.id}/files/predictions.jsonl?download=1` : null;
    place.replaceChildren(drawCase(found, `${base}/cases/${index}`, whole));
    localise(place);
  } catch (error) {
    showProblem(place, error);
  }
}

function prepare() {
  // Rows that the server drew have links; a script opens them in their place.
  for (const anchor of document.querySelectorAll("a.open-case")) {
    anchor.replaceWith(opener(anchor.closest("tr").dataset.index, anchor.getAttribute("aria-label")));
  }
  byId("apply").hidden = true;
}

const filter = quiet(250, () => show(asked()));

document.addEventListener("input", ({ target }) => {
  if (target.form?.id === "filter") filter();
});
document.addEventListener("submit", (event) => {
  if (event.target.id !== "filter") return;
  event.preventDefault();
  show(asked());
});
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const button = event.target.closest("[data-open]");
  if (button) toggle(button);
  const next = event.target.closest("#next");
  if (next) {
    event.preventDefault();
    show(new URL(next.href).searchParams, { push: true }).then(() => byId("cases").scrollIntoView({ block: "start" }));
  }
  const head = event.target.closest("a.sort");
  if (head) {
    event.preventDefault();
    const query = new URL(head.href).searchParams;
    byId("filter").elements.sort.value = query.get("sort") ?? "index";
    show(query);
  }
});
// Its status has changed: more rows may be there. What somebody has open stays.
onChange(() => {
  const query = new URLSearchParams(location.search);
  if (document.getElementById("cases") && !query.has("from") && !document.querySelector(".case-row")) show(query);
});
// The page before is as the server draws it.
window.addEventListener("popstate", () => location.reload());

enliven("#filter", prepare);
