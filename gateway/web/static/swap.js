// Parts of a page exchanged for what the server shows at another address, so that there is one template for both.
import { byId } from "./dom.js";
import { localise } from "./times.js";

/**
 * Fetch one of our own pages and put its elements with these ids into the place of those that are shown. A page without them
 * (where one must sign in again, say) is gone to.
 */
export async function swap(address, ids, { signal } = {}) {
  const answer = await fetch(address, { signal, headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = ids.map((id) => page.getElementById(id));
  if (!answer.ok || fresh.includes(null)) {
    location.assign(address);
    return;
  }
  const held = document.activeElement?.getAttribute("href");
  for (const element of fresh) byId(element.id).replaceWith(document.adoptNode(element));
  if (held && !document.activeElement?.matches("a, button, input")) {
    // The link that had the keyboard's focus went away with its part: its successor takes it.
    ids.map((id) => byId(id).querySelector(`a[href="${CSS.escape(held)}"]`)).find(Boolean)?.focus({ preventScroll: true });
  }
  for (const id of ids) localise(byId(id));
}
