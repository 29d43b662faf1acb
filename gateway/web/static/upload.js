// A bundle, or a file to import, chosen or dropped anywhere on the page, sent to the API; what is wrong with it is shown by file, line and field.
import { call, once, Problem } from "./api.js";
import { byId, el } from "./dom.js";
import { size } from "./format.js";

const PLACE = /^(line|row) (\d+)(?:, column \d+)?: /;

/** Where an error of a bundle is: `{file, at, field, message, text}`. gateway/web/bundles.py does the same for the page without a script. */
export function place({ loc, msg, text }) {
  let path = loc[0] === "bundle" && loc.length > 1 ? loc.slice(1) : loc;
  const file = String(path[0] ?? "the bundle");
  path = path.slice(1);
  const found = PLACE.exec(msg);
  if (found && path[0] === Number(found[2])) path = path.slice(1);
  const field = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`)).join("").replace(/^\./, "");
  return { file, at: found ? `${found[1]} ${found[2]}` : "", field, message: found ? msg.slice(found[0].length) : msg, text };
}

/** Make the hub's form of a bundle one that files can be dropped on, and that stays on its page while the bundle is checked. */
export function takeBundles(form) {
  const input = form.elements.bundle;
  const said = byId("upload-said");
  const most = Number(form.dataset.most);
  let busy = false;

  const format = form.elements.format;
  const options = byId("upload-options");
  const choose = el("button", { class: "primary", type: "button", onclick: () => input.click() }, "Choose a file");
  const byName = el("button", { type: "button", onclick: () => send(null) }, "Import by name");
  const title = el("p", { class: "drop-title" });
  byId("upload-file").hidden = true;
  form.querySelector("[type=submit]").replaceWith(choose, byName);
  form.prepend(title);
  said.before(byId("upload-hint"));
  form.classList.add("ready");

  const chosen = () => {
    title.textContent = format.value ? "Drop a file to import here" : "Drop a bundle here";
    options.hidden = !format.value;
    options.open = Boolean(format.value);
    byName.hidden = format.selectedOptions[0].dataset.fileless === undefined;
    if (format.value) input.removeAttribute("accept");
    else input.accept = ".zip,application/zip";
  };
  format.addEventListener("change", chosen);
  chosen();

  async function send(file) {
    if (busy) return;
    show();
    if (file && file.size > most) {
      show(new Problem(413, `${file.name} has ${size(file.size)}; a file may have ${size(most)}.`));
      return;
    }
    let asked;
    try {
      asked = importOf(form);
    } catch (error) {
      show(error);
      return;
    }
    busy = true;
    choose.disabled = byName.disabled = true;
    const what = file ? [el("bdi", {}, file.name), ` (${size(file.size)}) is being sent and checked.`] : ["It is being fetched and checked."];
    said.replaceChildren(...what, el("progress", { "aria-label": "Sending" }));
    try {
      const { slug } = await call("POST", "/environments", { ...body(file, asked), headers: once() });
      said.replaceChildren("Added.");
      location.assign(`/environments/${encodeURIComponent(slug)}`);
    } catch (error) {
      said.replaceChildren();
      show(error);
    } finally {
      busy = false;
      choose.disabled = byName.disabled = false;
      input.value = ""; // so that the same file, mended, can be chosen again
    }
  }

  input.addEventListener("change", () => input.files[0] && send(input.files[0]));
  form.addEventListener("submit", (event) => event.preventDefault());

  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // of elements that the file is over
  const leave = () => {
    depth = 0;
    document.body.classList.remove("dropping");
  };
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth += 1;
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (holdsFiles(event) && --depth <= 0) leave();
  });
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    leave();
    form.scrollIntoView({ block: "center" });
    const item = event.dataTransfer.items[0]?.webkitGetAsEntry?.();
    if (item?.isDirectory) show(new Problem(0, `${item.name} is a folder. Zip it, or send it with: assay env push ${item.name}`));
    else if (event.dataTransfer.files.length !== 1) show(new Problem(0, "One bundle at a time."));
    else send(event.dataTransfer.files[0]);
  });
}

/** What the form asks to import, as the API takes it; null for a bundle. */
function importOf(form) {
  const { format, slug, title, options } = form.elements;
  if (!format.value) return null;
  let more = {};
  if (options.value.trim()) {
    try {
      more = JSON.parse(options.value);
    } catch (error) {
      throw new Problem(0, `The options of the format are not JSON: ${error.message}`);
    }
  }
  const given = Object.entries({ slug: slug.value.trim(), title: title.value.trim() }).filter(([, value]) => value);
  return { ...more, ...Object.fromEntries(given), format: format.value };
}

/** The request's body: a form with the file, or JSON where there is none. */
function body(file, asked) {
  if (!file) return { body: { import: asked } };
  const form = new FormData();
  form.append("bundle", file, file.name);
  if (asked) form.append("import", JSON.stringify(asked));
  return { form };
}

/** Show what is wrong with a bundle, or nothing. */
function show(error = null) {
  const shown = byId("upload-problem");
  shown.replaceChildren();
  if (!error) return;
  const errors = error.errors ?? [];
  shown.append(
    el(
      "div",
      { class: "notice bad" },
      el("h3", {}, "Nothing was added"),
      errors.length
        ? [
            el("p", {}, `Mend ${errors.length === 1 ? "this" : "these"} and send it again.`),
            el("ol", { class: "wrong" }, errors.map((one) => row(place(one)))),
          ]
        : el("p", {}, error.message),
    ),
  );
  shown.scrollIntoView({ block: "nearest" });
}

const row = ({ file, at, field, message, text }) =>
  el(
    "li",
    {},
    el(
      "p",
      { class: "wrong-place" },
      el("code", {}, el("bdi", {}, file)),
      at ? el("span", { class: "nowrap" }, at) : null,
      field ? el("code", {}, el("bdi", {}, field)) : null,
    ),
    el(
      "div",
      {},
      el("p", { class: "wrong-message", dir: "auto" }, message),
      text ? el("p", { class: "wrong-text foreign", dir: "auto" }, text) : null,
    ),
  );
