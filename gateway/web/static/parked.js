// Parked messages, and what an admin can do with each: replay it or discard it, after being asked.
import { get, post, remove } from "./api.js";
import { byId, el } from "./dom.js";
import { clip, size } from "./format.js";
import { Keyed, setText } from "./keyed.js";
import { showProblem } from "./notice.js";
import { localise } from "./times.js";

const ACTS = {
  replay: {
    button: "Replay",
    title: "Replay this message?",
    text: "It is sent on again as it was. If its cause is not mended, it is parked again.",
    done: "Sent on again.",
    style: "primary",
    act: ({ id }) => post(`/parked/${id}/replay`),
  },
  discard: {
    button: "Discard",
    title: "Discard this message?",
    text: "It is thrown away for good.",
    done: "Discarded.",
    style: "danger",
    act: ({ id }) => remove(`/parked/${id}`),
  },
};

export class ParkedMessages {
  #shown = new Keyed(byId("parked"), ({ id }) => id, (message) => this.#row(message));
  #acts = byId("parked-table").hasAttribute("data-acts");

  async read() {
    const { items, next } = await get("/parked");
    this.#shown.show(items);
    byId("parked-none").hidden = items.length > 0;
    byId("parked-more").hidden = !next;
  }

  #row(message) {
    const kind = message.subject.split(".")[0];
    const of = message.evaluation ? [" of ", el("a", { href: `/evaluations/${message.evaluation}` }, "its evaluation")] : [];
    const cut = message.replayable ? "" : ", too large to be kept whole";
    const when = message.parked_at ? el("time", { datetime: message.parked_at }, message.parked_at) : "\u2014";
    const acts = Object.values(ACTS).map((act) =>
      el(
        "button",
        {
          type: "button",
          disabled: act === ACTS.replay && !message.replayable,
          "aria-label": `${act.button} the message parked with: ${clip(message.reason, 80)}`,
          onclick: () => this.#ask(act, message),
        },
        act.button,
      ),
    );
    const element = el(
      "tr",
      {},
      el("th", { scope: "row", class: "c-when" }, when, el("span", { class: "hint" }, `by the ${message.parked_by}`)),
      el("td", {}, el("bdi", {}, clip(message.reason, 500))),
      el("td", { class: "c-what" }, el("code", {}, kind), of, el("span", { class: "hint" }, size(message.size) + cut)),
      this.#acts && el("td", { class: "c-acts" }, el("div", { class: "row" }, acts)),
    );
    localise(element);
    return { element, update: () => {} };
  }

  #ask(act, message) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = act.title;
    byId("confirm-text").textContent = act.text;
    setText(byId("confirm-reason"), clip(message.reason, 500));
    const yes = byId("confirm-yes");
    yes.textContent = act.button;
    yes.className = act.style;
    dialog.returnValue = "";
    dialog.addEventListener("close", () => dialog.returnValue === "yes" && this.#do(act, message), { once: true });
    dialog.showModal();
  }

  async #do(act, message) {
    const told = byId("parked-told");
    try {
      await act.act(message);
      told.replaceChildren(el("p", { class: "notice good" }, act.done));
      await this.read();
    } catch (error) {
      showProblem(told, error);
    }
  }
}
