// The newest evaluations that failed, or have samples that could not be called.
import { nameCell } from "./activity.js";
import { get } from "./api.js";
import { byId, el, status } from "./dom.js";
import { clip, count } from "./format.js";

const CALL_AGAIN = "Calls could not be made; call them again from its page.";

/** Ask for the newest `recent` evaluations and show the failures among them. */
export async function readFailures(recent) {
  const { items } = await get(`/evaluations?limit=${recent}`);
  const found = items.filter((one) => one.status === "failed" || one.progress.infra_error);
  byId("failures").replaceChildren(...found.map(row));
  byId("failures-none").hidden = found.length > 0;
}

function row(evaluation) {
  return el(
    "tr",
    {},
    nameCell(evaluation),
    el("td", { class: "c-status" }, status(evaluation.status)),
    el("td", { class: "c-number right" }, count(evaluation.progress.infra_error)),
    el("td", {}, el("bdi", {}, clip(evaluation.error || CALL_AGAIN, 300))),
  );
}
