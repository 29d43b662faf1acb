// Telling what went wrong, or right, at one place of a page that screen readers watch.
import { el } from "./dom.js";

/** Show a `Problem` (or any error) in `place`, an element with role="alert"; fields it names are marked in `form`. */
export function showProblem(place, error, form = null) {
  const rows = (error.errors ?? []).map(({ loc, msg }) => el("li", {}, el("code", {}, loc.join(".") || "the request"), ` ${msg}`));
  place.replaceChildren(
    el("div", { class: "notice bad" }, rows.length > 1 ? el("ul", { class: "problems" }, rows) : error.message),
  );
  if (!form) return;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
  for (const { loc } of error.errors ?? []) form.elements[loc[0]]?.setAttribute?.("aria-invalid", "true");
}

export const clear = (place) => place.replaceChildren();
