// What an endpoint serves, to be chosen from in the form instead of typed: several models are then registered in one step.
import { post } from "./api.js";
import { byId, el } from "./dom.js";
import { clip, count } from "./format.js";

/** `changed` is called when what is chosen has changed, `wrong(error)` when the endpoint cannot be asked. */
export function servesIn(form, { changed, wrong }) {
  const part = byId("serves");
  const list = byId("serves-list");
  const said = byId("find-said");
  const button = byId("find");

  /** The names that are chosen; none where nothing was looked for. */
  const chosen = () => [...list.querySelectorAll("input:checked")].map(({ value }) => value);

  /** One alone is the form's own model, with a name that may be given to it. */
  function offered() {
    const [only, ...more] = chosen();
    if (only && more.length === 0) {
      form.elements.model.value = only;
      form.elements.model.dispatchEvent(new Event("input", { bubbles: true }));
    }
    changed();
  }

  /** Offer these names. */
  function show(names) {
    part.hidden = names.length === 0;
    list.replaceChildren(
      ...names.map((name) =>
        el(
          "label",
          { class: "check" },
          el("input", { type: "checkbox", name: "models", value: name, checked: names.length === 1 }),
          el("bdi", {}, clip(name, 120)),
        ),
      ),
    );
    offered();
    said.textContent = names.length ? `It serves ${count(names.length)} ${names.length === 1 ? "model" : "models"}.` : "It lists no models; name one below.";
  }

  function forget() {
    list.replaceChildren();
    part.hidden = true;
    said.textContent = "";
  }

  async function find() {
    button.disabled = true;
    said.textContent = "Asking\u2026";
    try {
      const body = { base_url: form.elements.base_url.value };
      if (form.elements.api_key.value) body.api_key = form.elements.api_key.value;
      const { models } = await post("/models/discover", body);
      show(models);
    } catch (error) {
      forget();
      changed();
      wrong(error);
    } finally {
      button.disabled = false;
    }
  }

  button.addEventListener("click", find);
  list.addEventListener("change", offered);
  form.elements.base_url.addEventListener("input", () => {
    if (list.childElementCount === 0) return;
    forget(); // they are another endpoint's
    changed();
  });
  return { chosen, show, forget };
}
