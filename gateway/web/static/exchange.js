// Taking over what the server renders of this page now, part by part, without loading it again.
import { changed } from "./panel.js";
import { localise } from "./times.js";

const TRIES = 8;
const PAUSE_MS = 500;

/** All parts of an evaluation's page that change. */
export const PARTS = ["actions", "state", "tabs", "panel", "details"];

let running = null;
const asked = new Set();

/**
 * Exchange the elements with these ids for those of the page as it is now.
 *
 * `#panel` stays where it holds something that keeps itself up to date (`data-keep`) and the same tab is still the one to show.
 */
export function exchange(ids) {
  for (const id of ids) asked.add(id);
  running ??= (async () => {
    try {
      while (asked.size) {
        const now = [...asked];
        asked.clear();
        await once(now);
      }
    } finally {
      running = null;
    }
  })();
  return running;
}

async function once(ids) {
  const text = await load();
  if (text === null) return;
  const now = new DOMParser().parseFromString(text, "text/html");
  const root = document.getElementById("evaluation");
  const rootNow = now.getElementById("evaluation");
  if (!rootNow || other(now)) {
    location.reload();
    return;
  }
  const modules = await loadHead(now);
  const sameTab = root.dataset.tab === rootNow.dataset.tab;
  // Where the evaluation itself has gone on, its parts must not tell of different states.
  const same = ["status", "round"].every((name) => root.dataset[name] === rootNow.dataset[name]);
  for (const id of same ? ids : PARTS) {
    const old = document.getElementById(id);
    const fresh = now.getElementById(id);
    if (!old || !fresh) continue;
    if (id === "panel" && sameTab && old.querySelector("[data-keep]")) continue;
    const focused = old.contains(document.activeElement);
    old.replaceWith(document.adoptNode(fresh));
    localise(fresh);
    if (focused) document.getElementById("panel").focus({ preventScroll: true });
  }
  document.title = now.title;
  for (const [name, value] of Object.entries(rootNow.dataset)) root.dataset[name] = value;
  for (const name of Object.keys(root.dataset)) if (!(name in rootNow.dataset)) delete root.dataset[name];
  for (const address of modules) await import(address);
  changed();
}

/** The page's text; null where it cannot be had (the person then still has what is there). */
async function load() {
  for (let nth = 0; nth < TRIES; nth += 1) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) location.assign(answer.url); // signed out meanwhile
      if (answer.ok) return await answer.text();
    } catch {
      // The gateway is being started again.
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS * (nth + 1)));
  }
  return null;
}

const hrefs = (root, selector, name) => [...root.querySelectorAll(selector)].map((element) => element.getAttribute(name));

/** Whether the page comes from another version of Assay, whose scripts are others. */
function other(now) {
  const [mine] = hrefs(document, 'link[rel="stylesheet"]', "href");
  return !hrefs(now, 'link[rel="stylesheet"]', "href").includes(mine);
}

/** Load the styles that the page needs now; returns the modules that it needs and this one has not loaded. */
async function loadHead(now) {
  const have = new Set(hrefs(document, 'link[rel="stylesheet"]', "href"));
  const missing = hrefs(now, 'link[rel="stylesheet"]', "href").filter((href) => !have.has(href));
  await Promise.all(missing.map(loadStyle));
  const loaded = new Set(hrefs(document, 'script[type="module"]', "src"));
  return hrefs(now, 'script[type="module"]', "src").filter((address) => !loaded.has(address));
}

function loadStyle(href) {
  return new Promise((done) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    link.onload = link.onerror = done;
    document.head.append(link);
  });
}
