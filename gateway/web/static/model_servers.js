// Local inference servers that are found at their usual ports.
import { post } from "./api.js";
import { byId, el } from "./dom.js";
import { clip } from "./format.js";

/** Open with the returned function; `choose(server)` is called with `{base_url, models}` of one that is to be added. */
export function serverFinder(choose) {
  const dialog = byId("servers-dialog");
  const said = byId("servers-said");
  const list = byId("servers");
  const again = byId("servers-again");

  function row(server) {
    const button = el("button", { type: "button", class: "primary" }, "Add");
    button.addEventListener("click", () => {
      dialog.close();
      choose(server);
    });
    const names = server.models.map((name) => clip(name, 80));
    return el(
      "li",
      {},
      el("div", {}, el("strong", {}, server.server), " ", el("code", {}, server.base_url)),
      el("bdi", { class: "hint" }, names.length ? clip(names.join(", "), 300) : "It lists no models."),
      button,
    );
  }

  async function look() {
    again.disabled = true;
    list.replaceChildren();
    said.textContent = "Looking\u2026";
    try {
      const { servers } = await post("/models/discover", {});
      list.replaceChildren(...servers.map(row));
      said.textContent = servers.length ? "" : "None answers at its usual port. One at another port is added by its address.";
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
