// The dialog of templates/model_form.html: registers models, or changes one.
import { call } from "./api.js";
import { byId } from "./dom.js";
import { clearErrors, isChanged, showErrors, valueOf } from "./form.js";
import { count } from "./format.js";
import { enginesIn } from "./model_engines.js";
import { servesIn } from "./model_serves.js";

/** Fields of the API for which empty means "none", and may be sent as null. */
const MAY_BE_NULL = new Set(["requests_per_minute"]);

/** Objects of the API that are sent as a whole, as the fields `engine.name`, `engine.checkpoint` ... */
const WHOLE = ["engine", "price"];

/** Fields of the page alone. */
const OWN = new Set(["way", "models", "all"]);

/** Texts that may be none. */
const NAMES = new Set(["owner", "api_key_env"]);

const ALONE = { count: () => 1, forget() {} };

/** An error of a list or an object stands at its field: `engine.args.0` at that of `engine.args`, `tags.2` at that of `tags`. */
const fieldOf = (form) => (loc) => {
  const name = WHOLE.includes(loc[0]) ? `${loc[0]}.${loc[1]}` : loc[0];
  return form.elements[name] ? name : loc[0];
};

/**
 * Open with the returned function, which may set fields: `open({ source: "trained" })`, and in `found` a server that was found.
 *
 * `done(models)` comes once the dialog is closed, with what was registered or changed; `path` is that of the model which is changed.
 */
export function modelForm({ done, path = null }) {
  const dialog = byId("model-dialog");
  const form = byId("model-form");
  const place = form.querySelector(".form-problem");
  const button = form.querySelector('[type="submit"]');
  const changes = path !== null;
  const parts = [...form.querySelectorAll("[data-sources], [data-ways], [data-single]")];
  const source = () => (changes ? form.dataset.source : form.elements.source.value);
  const way = () => (changes ? form.dataset.way : form.elements.way.value);
  const engines = enginesIn(form);
  const serves = changes ? ALONE : servesIn(form, adapt);
  let attempt = null;
  let named = changes; // by the person, not by us

  function wrong(error) {
    showErrors(form, place, error, fieldOf(form));
  }

  /** Whether several models are added in one step. */
  const severalOf = () => way() === "address" && serves.count() !== 1;

  function adapt() {
    const many = severalOf();
    for (const part of parts) {
      const { sources, ways, single } = part.dataset;
      part.hidden = !(
        (!sources || sources.split(" ").includes(source())) &&
        (!ways || ways.split(" ").includes(way())) &&
        (single === undefined || !many)
      );
    }
    if (way() === "engine") engines.ask();
    if (changes) return;
    const number = serves.count();
    button.textContent = many ? `Add ${number === null ? "all its" : count(number)} models` : "Add model";
  }

  /** The first way that goes with the source. */
  function choose() {
    const ways = [...form.elements.way];
    ways.find((one) => one.closest(".way").dataset.sources.split(" ").includes(source())).checked = true;
    adapt();
  }

  form.addEventListener("change", ({ target }) => {
    if (target.name === "source") choose();
    else if (target.name === "way") adapt();
  });
  form.addEventListener("input", ({ target }) => {
    if (target.name === "name") named = target.value !== "";
    if (named || !["engine.checkpoint", "model"].includes(target.name)) return;
    form.elements.name.value = target.value.replace(/[/\s]+$/, "").split("/").at(-1).slice(0, 200);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      clearErrors(form, place);
      const body = bodyOf(form, changes);
      if (severalOf() && serves.names()) body.models = serves.names();
      const text = JSON.stringify(body);
      if (attempt?.text !== text) attempt = { text, key: crypto.randomUUID() };
      const models = await send(body, attempt.key);
      close();
      done(models);
    } catch (error) {
      wrong(error);
    } finally {
      button.disabled = false;
    }
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

  async function send(body, key) {
    if (changes) return [await call("PATCH", path, { body })];
    const options = { body, headers: { "Idempotency-Key": key } };
    if (severalOf()) {
      const { registered, present } = await call("POST", "/models/endpoint", options);
      return [...registered, ...present];
    }
    return [await call("POST", "/models", options)];
  }

  function close() {
    attempt = null;
    named = changes;
    form.reset();
    serves.forget();
    dialog.close();
  }

  if (changes) adapt();
  return ({ found, ...values } = {}) => {
    clearErrors(form, place);
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
    if (!changes) {
      choose();
      if (found) serves.show(found);
      else serves.forget();
      adapt();
    }
    dialog.showModal();
  };
}

/** The body of the request: of what is shown, and with `changes` of that only what was changed. */
export function bodyOf(form, changes) {
  const body = {};
  const whole = new Set();
  for (const input of form.elements) {
    if (!input.name || OWN.has(input.name) || input.closest("[hidden]") || (input.type === "radio" && !input.checked)) continue;
    const [name, inner] = input.name.split(".");
    if (inner) {
      body[name] ??= {};
      const value = input.name === "engine.args" ? linesOf(input.value) : valueOf(input);
      if (value !== "" && value !== null) body[name][inner] = value;
      if (changes && isChanged(input)) whole.add(name);
      continue;
    }
    if (changes && !isChanged(input)) continue;
    const value = valueOf(input);
    if (name === "without_key") {
      if (value) body.api_key = null;
    } else if (name === "api_key") {
      if (value) body.api_key = value;
    } else if (name === "tags") {
      const tags = value.split(",").map((tag) => tag.trim()).filter(Boolean);
      if (changes || tags.length) body.tags = tags;
    } else if (name === "max_concurrency") {
      body.max_concurrency = /^\d+$/.test(value.trim()) ? Number(value) : value.trim();
    } else if (NAMES.has(name)) {
      if (changes || value.trim()) body[name] = value.trim() || null;
    } else if (value !== null || (changes && MAY_BE_NULL.has(name))) {
      body[name] = value;
    } else if (changes) {
      body[name] = null; // the API says that it must not be
    }
  }
  if (body.price && Object.keys(body.price).length === 0) body.price = null;
  for (const name of WHOLE) if (changes ? !whole.has(name) : body[name] === null) delete body[name];
  return body;
}

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
