// Local inference servers that are found at their usual ports.
import { post } from "./api.js";
import { byId, el } from "./dom.js";
import { clip } from "./format.js";

/** Open with the returned function; `choose(server)` is called with one of `POST /v1/models/discover` that is to be added. */
export function serverFinder(choose) {
  const dialog = byId("servers-dialog");
  const said = byId("servers-said");
  const list = byId("servers");
  const again = byId("servers-again");

  function row(server) {
    const { models, registered, needs_key: needsKey } = server;
    const fresh = models.filter((name) => !registered.includes(name));
    const button = el("button", { type: "button", class: "primary" }, "Add", el("span", { class: "visually-hidden" }, ` ${server.server}`));
    button.addEventListener("click", () => {
      dialog.close();
      choose(server);
    });
    return el(
      "li",
      {},
      el("div", {}, el("strong", {}, server.server), " ", el("code", {}, server.base_url)),
      el("bdi", { class: "hint" }, servesIn(server)),
      fresh.length || needsKey || models.length === 0 ? button : null,
    );
  }

  function servesIn({ models, registered, needs_key: needsKey }) {
    if (needsKey) return "It asks for a key before it says what it serves.";
    if (models.length === 0) return "It lists no models.";
    const names = models.map((name) => (registered.includes(name) ? `${clip(name, 80)} (added)` : clip(name, 80)));
    return clip(names.join(", "), 300);
  }

  async function look() {
    again.disabled = true;
    list.replaceChildren();
    said.textContent = "Looking\u2026";
    try {
      const { items } = await post("/models/discover");
      list.replaceChildren(...items.map(row));
      said.textContent = items.length ? "" : "None answers at its usual port. One at another port is added by its address.";
    } catch (error) {
      said.textContent = error.message;
    } finally {
      again.disabled = false;
    }
  }

  again.addEventListener("click", look);
  byId("servers-close").addEventListener("click", () => dialog.close());
  return () => {
    dialog.showModal();
    look();
  };
}
