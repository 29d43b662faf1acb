// Which parts of the deployment answer.
import { byId, el } from "./dom.js";
import { Keyed } from "./keyed.js";

const GATEWAY = "gateway";

export class Services {
  #shown = new Keyed(byId("services"), ([name]) => name, makeRow);

  async read() {
    let answer;
    try {
      answer = await fetch("/readyz", { headers: { Accept: "application/json" } });
    } catch {
      this.#shown.show([[GATEWAY, "does not answer"]]);
      return;
    }
    const { parts } = await answer.json(); // the same for 200 and 503
    this.#shown.show([[GATEWAY, "ok"], ...Object.entries(parts)]);
  }
}

function makeRow([name]) {
  const element = el("li", {});
  let shown;
  function update([, state]) {
    if (shown === state) return;
    shown = state;
    const up = state === "ok";
    element.replaceChildren(
      el("span", {}, name),
      el("span", { class: `status status-${up ? "running" : "failed"}` }, el("i", { "aria-hidden": "true" }), up ? "up" : "down"),
      ...(up ? [] : [el("span", { class: "hint" }, state)]),
    );
  }
  return { element, update };
}
