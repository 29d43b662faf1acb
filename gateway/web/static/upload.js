// A bundle, chosen or dropped anywhere on the page, sent to the API; what is wrong with it is shown by file, line and field.
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

  const choose = el("button", { class: "primary", type: "button", onclick: () => input.click() }, "Choose a zip");
  input.parentElement.hidden = true;
  form.querySelector("[type=submit]").replaceWith(choose);
  form.prepend(el("p", { class: "drop-title" }, "Drop a bundle here"));
  said.before(byId("upload-hint"));
  form.classList.add("ready");

  async function send(file) {
    if (busy) return;
    show();
    if (file.size > most) {
      show(new Problem(413, `${file.name} has ${size(file.size)}; a bundle may have ${size(most)}.`));
      return;
    }
    busy = true;
    choose.disabled = true;
    said.replaceChildren(el("bdi", {}, file.name), ` (${size(file.size)}) is being sent and checked.`, el("progress", { "aria-label": "Sending" }));
    const body = new FormData();
    body.append("bundle", file, file.name);
    try {
      const { slug } = await call("POST", "/environments", { form: body, headers: once() });
      said.replaceChildren("Added.");
      location.assign(`/environments/${encodeURIComponent(slug)}`);
    } catch (error) {
      said.replaceChildren();
      show(error);
    } finally {
      busy = false;
      choose.disabled = false;
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
      el("h3", {}, "The bundle was not added"),
      errors.length
        ? [
            el("p", {}, `Nothing was changed. Mend ${errors.length === 1 ? "this" : "these"} and send it again.`),
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
