// What can be done to a model with one press: start, stop, publish, withdraw. The forms of `model_macros.action` do it without a script too.
import { post } from "./api.js";
import { el } from "./dom.js";

/** `done(model, act)` comes after one was done, `wrong(message)` after one was refused. */
export function enableActions({ done, wrong }) {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const { act } = form.dataset;
    if (!act) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      done(await post(new URL(form.action).pathname), act);
    } catch (error) {
      wrong(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

/** Say something in `place`, which screen readers watch. */
export const sayIn = (place) => (kind, ...texts) => place.replaceChildren(el("p", { class: `notice ${kind}` }, ...texts));
