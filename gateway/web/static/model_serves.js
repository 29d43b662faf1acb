// Several models of one endpoint, added in one step: all that it lists, or those that are chosen of a server that was found.
import { byId, el } from "./dom.js";
import { clip } from "./format.js";

/** `changed` is called when what is chosen has changed. */
export function servesIn(form, changed) {
  const part = byId("serves");
  const list = byId("serves-list");
  const { all } = form.elements;

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

  /** Offer the models of a server that was found, all of them chosen that are new. */
  function show({ models, registered }) {
    const fresh = models.filter((name) => !registered.includes(name));
    part.hidden = fresh.length === 0;
    all.closest("label").hidden = fresh.length > 0;
    list.replaceChildren(
      ...fresh.map((name) =>
        el("label", { class: "check" }, el("input", { type: "checkbox", name: "models", value: name, checked: true }), el("bdi", {}, clip(name, 120))),
      ),
    );
    offered();
  }

  function forget() {
    list.replaceChildren();
    part.hidden = true;
    all.closest("label").hidden = false;
  }

  list.addEventListener("change", offered);
  all.addEventListener("change", changed);
  form.elements.base_url.addEventListener("input", () => {
    if (list.childElementCount === 0) return;
    forget(); // they are another endpoint's
    changed();
  });

  return {
    show,
    forget,
    /** How many are to be added in one step: null where it is all that the endpoint lists, 1 where the form's own model is. */
    count: () => (all.checked && part.hidden ? null : Math.max(1, chosen().length)),
    /** Their names; null for all that the endpoint lists. */
    names: () => (all.checked && part.hidden ? null : chosen()),
  };
}
