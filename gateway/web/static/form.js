// Forms that are sent to the API: their values, and what is wrong with them at the fields that `form_macros.html` draws.

/** What a field holds: a boolean, a number, null for an empty number, or a text. */
export function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.type !== "number") return input.value;
  // A field that holds no number reads as empty: the API is to see that there is something.
  if (input.validity.badInput) return NaN;
  return input.value === "" ? null : Number(input.value);
}

/** Whether a field differs from what the page came with. */
export function isChanged(input) {
  if (input.type === "checkbox") return input.checked !== input.defaultChecked;
  if (input instanceof HTMLSelectElement) return !input.options[input.selectedIndex].defaultSelected;
  return input.value !== input.defaultValue;
}

/**
 * Put a `Problem` (or any error) where it belongs: each error at the field that `fieldOf(loc)` names, the rest into `place`,
 * an element that screen readers watch. The first field that is wrong gets the focus.
 */
export function showErrors(form, place, problem, fieldOf = ([name]) => name) {
  clearErrors(form, place);
  let first = null;
  const rest = [];
  for (const { loc, msg } of problem.errors ?? []) {
    const name = fieldOf(loc);
    const told = form.querySelector(`[data-error="${CSS.escape(name ?? "")}"]`);
    if (!told || told.parentElement.closest("[hidden]")) {
      rest.push(msg);
      continue;
    }
    told.textContent = told.textContent ? `${told.textContent}; ${msg}` : msg;
    told.hidden = false;
    const named = form.elements[name];
    const input = named instanceof RadioNodeList ? named[0] : named;
    input?.setAttribute("aria-invalid", "true");
    if (input && (!first || input.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING)) first = input;
  }
  if (rest.length || !first) {
    const notice = document.createElement("p");
    notice.className = "notice bad";
    notice.append(rest.join("; ") || problem.message);
    place.replaceChildren(notice);
  }
  const closed = first?.closest("details:not([open])");
  if (closed) closed.open = true;
  if (first) first.focus();
  else place.scrollIntoView({ block: "nearest" });
}

/** Forget what was wrong. */
export function clearErrors(form, place) {
  place.replaceChildren();
  for (const told of form.querySelectorAll("[data-error]")) {
    told.textContent = "";
    told.hidden = true;
  }
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}
