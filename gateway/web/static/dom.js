// Making elements. Text is always a text node: nothing that a model wrote can become markup.
import { visible } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element; `attributes` with a null or false value are left out; children are elements or texts, which are made visible. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child != null) element.append(child instanceof Node ? child : visible(child));
  }
  return element;
}

/** A status as the macro of the same name draws it. */
export const status = (value) => el("span", { class: `status status-${value}` }, el("i", { "aria-hidden": "true" }), value);

/** The element with this id; it must be there. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** What the server put into `<script type="application/json" id=...>` for this page's script. */
export const given = (id) => JSON.parse(byId(id).textContent);

/** Call `act` once things have been quiet for `ms`. */
export function quiet(ms, act) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), ms);
  };
}
