// Parts of a page that come and go: an evaluation's panel is exchanged when it ends, and its script must find the new one.

const CHANGED = "panel-changed";

/** Call `start(element)` for each element of `selector`, now and for those that come with another panel. It may return a function
 * to be called when its element has left the page. */
export function enliven(selector, start) {
  const living = new Map();
  function look() {
    for (const [element, stop] of living) {
      if (element.isConnected) continue;
      living.delete(element);
      stop?.();
    }
    for (const element of document.querySelectorAll(selector)) {
      if (!living.has(element)) living.set(element, start(element));
    }
  }
  onChange(look);
  look();
}

/** Call `act` whenever parts of the page were exchanged; returns how to stop that. */
export function onChange(act) {
  document.addEventListener(CHANGED, act);
  return () => document.removeEventListener(CHANGED, act);
}

/** To be called after parts of the page were exchanged. */
export const changed = () => document.dispatchEvent(new Event(CHANGED));
