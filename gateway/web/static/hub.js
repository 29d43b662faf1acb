// The hub: finds as one types, and takes a bundle.
import { byId, quiet } from "./dom.js";
import { swap } from "./swap.js";
import { takeBundles } from "./upload.js";

const TYPING_MS = 200;

const form = byId("search");
const input = form.elements.q;
let asked = new AbortController();

const say = () => (byId("found").textContent = byId("environments").dataset.found);

async function find() {
  asked.abort();
  asked = new AbortController();
  const asks = [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  const address = asks.length ? `/?${new URLSearchParams(asks)}` : "/";
  try {
    await swap(address, ["tags", "environments"], { signal: asked.signal });
    history.replaceState(null, "", address);
    say();
  } catch (error) {
    if (error.name !== "AbortError") byId("found").textContent = "The gateway cannot be reached.";
  }
}

input.addEventListener("input", quiet(TYPING_MS, find));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
say();

const upload = document.getElementById("upload");
if (upload) takeBundles(upload);
