// Lists whose elements stay while their contents change, so that focus, selection and scrolling stay too.
import { visible } from "./format.js";

/**
 * A list in `parent`. `keyOf(value)` tells values apart, `make(value)` gives `{element, update}` for a new one, and `update(value)`
 * is called whenever it is shown.
 */
export class Keyed {
  #parent;
  #keyOf;
  #make;
  #shown = null;

  constructor(parent, keyOf, make) {
    this.#parent = parent;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  /** Show these values in this order, and nothing else. */
  show(values) {
    if (!this.#shown) this.#parent.replaceChildren(); // what the server drew has no keys
    const before = this.#shown ?? new Map();
    this.#shown = new Map(values.map((value) => [this.#keyOf(value), before.get(this.#keyOf(value)) ?? this.#make(value)]));
    for (const [key, { element }] of before) if (!this.#shown.has(key)) element.remove();
    let place = this.#parent.firstChild;
    for (const value of values) {
      const { element, update } = this.#shown.get(this.#keyOf(value));
      if (element === place) place = place.nextSibling;
      else this.#parent.insertBefore(element, place);
      update(value);
    }
  }
}

/** Give an element another text, where it is another, with what cannot be seen made visible. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}
