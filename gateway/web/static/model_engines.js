// The engines that a launcher offers, in the form's list; what has to be installed for one is said beneath it.
import { get } from "./api.js";
import { byId } from "./dom.js";
import { visible } from "./format.js";

/** `ask` fills the list in, once; one whose program is missing may be chosen all the same, since that can be installed afterwards. */
export function enginesIn(form) {
  const select = form.elements["engine.name"];
  const said = byId("engine-missing");
  const known = new Map();
  let asked = false;

  function tell() {
    const missing = known.get(select.value)?.missing;
    said.textContent = missing ? `Not on the launcher\u2019s machine yet: ${visible(missing)}` : "";
    said.classList.toggle("warn", Boolean(missing));
  }

  async function ask() {
    if (asked) return;
    asked = true;
    let templates;
    try {
      templates = (await get("/engines")).items;
    } catch (error) {
      asked = false;
      said.textContent = `Which engines there are cannot be told: ${visible(error.message)}`;
      said.classList.add("warn");
      return;
    }
    for (const template of templates) known.set(template.name, template);
    const chosen = select.value;
    const usable = templates.find(({ missing }) => !missing);
    select.replaceChildren(
      ...templates.map(({ name, title, missing }) => new Option(visible(missing ? `${title} (missing)` : title), name)),
    );
    if (chosen && !known.has(chosen)) select.add(new Option(chosen, chosen));
    select.value = chosen || (usable ?? templates[0])?.name || "";
    for (const option of select.options) option.defaultSelected = option.selected;
    tell();
  }

  select.addEventListener("change", tell);
  return { ask };
}
