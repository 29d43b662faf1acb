// The dialog of templates/model_form.html: registers a model, or changes one.
import { byId } from "./dom.js";
import { clearErrors, isChanged, showErrors, valueOf } from "./form.js";

/** Fields of the API for which empty means "none", and may be sent as null. */
const MAY_BE_NULL = new Set(["requests_per_minute"]);

/**
 * Open with the returned function, which may set fields: `open({ source: "trained" })`.
 *
 * `send(body, attempt)` does the API's call; `attempt` is the same for the same body, for its Idempotency-Key. `done(answer)` comes
 * once the dialog is closed. With `changes`, only what was changed is sent.
 */
export function modelForm({ send, done, changes = false }) {
  const dialog = byId("model-dialog");
  const form = byId("model-form");
  const place = form.querySelector(".form-problem");
  const button = form.querySelector('[type="submit"]');
  let attempt = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = bodyOf(form, changes);
    const text = JSON.stringify(body);
    if (attempt?.text !== text) attempt = { text, key: crypto.randomUUID() };
    button.disabled = true;
    let answer;
    try {
      answer = await send(body, attempt.key);
    } catch (error) {
      showErrors(form, place, error);
      return;
    } finally {
      button.disabled = false;
    }
    attempt = null;
    form.reset();
    clearErrors(form, place);
    dialog.close();
    done(answer);
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  return (values = {}) => {
    clearErrors(form, place);
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
    dialog.showModal();
  };
}

function bodyOf(form, changes) {
  const body = {};
  for (const input of form.elements) {
    if (!input.name || (changes && !isChanged(input))) continue;
    const value = valueOf(input);
    if (input.name === "without_key") {
      if (value) body.api_key = null;
    } else if (input.name === "api_key") {
      if (value) body.api_key = value;
    } else if (input.name === "max_concurrency") {
      body.max_concurrency = /^\d+$/.test(value.trim()) ? Number(value) : value.trim();
    } else if (value !== null || (changes && MAY_BE_NULL.has(input.name))) {
      body[input.name] = value;
    } else if (changes) {
      body[input.name] = null; // the API says that it must not be
    }
  }
  return body;
}
