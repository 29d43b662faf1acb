// A window on many lines: some hundred elements, whatever there is to show. Lines wrap, so their heights are not known before
// they are drawn; the window moves along with the scrolling instead of standing for all lines by their height.
import { el } from "./dom.js";
import { clock } from "./loglines.js";

/** Elements at most, and how many are added at a time when one scrolls to the window's edge. */
export const MOST = 1000;
const STEP = 150;
const NEAR_PX = 400;
const AT_END_PX = 24;
const CUT = 1000; // characters of a line before it is opened

export class LogView {
  #place;
  #lines;
  #onMove;
  #from = 0;
  #to = 0;
  /** Whether what comes is scrolled to. */
  following = true;

  /** `place` scrolls; `lines` is a `Lines`; `onMove` is called when what is seen of the end has changed. */
  constructor(place, lines, onMove) {
    this.#place = place;
    this.#lines = lines;
    this.#onMove = onMove;
    place.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    place.addEventListener("keydown", (event) => this.#pressed(event));
    // A place that gets smaller, as when a phone is turned, still ends with the last line.
    this.#sizes = new ResizeObserver(() => this.following && this.#toEnd());
    this.#sizes.observe(place);
  }

  #sizes;

  stop() {
    this.#sizes.disconnect();
  }

  /** How many lines there are below what is drawn. */
  get below() {
    return this.#lines.shown.length - this.#to;
  }

  /** Draw anew: the end where it is followed, else the beginning. */
  reset() {
    const { length } = this.#lines.shown;
    if (this.following) this.#draw(Math.max(0, length - STEP), length);
    else this.#draw(0, Math.min(length, STEP));
    if (this.following) this.#toEnd();
    else this.#place.scrollTop = 0;
    this.#onMove();
  }

  /** Take over from lines that stand in the place already, the last of them being that before `to`; what is read stays where it is. */
  take(to) {
    const rows = [...this.#place.querySelectorAll(".line")];
    if (this.following || rows.length === 0 || to < rows.length || this.#lines.filtered) return this.reset();
    const { top } = this.#place.getBoundingClientRect();
    const first = rows.findIndex((row) => row.getBoundingClientRect().bottom > top);
    const before = rows[first].getBoundingClientRect().top;
    this.#draw(to - rows.length, to);
    this.#place.scrollTop += this.#place.children[first].getBoundingClientRect().top - before;
    this.#onMove();
  }

  /** Lines were added, and `gone` let go of at the beginning. */
  grown(gone) {
    if (gone > this.#from) return this.reset();
    this.#from -= gone;
    this.#to -= gone;
    const { length } = this.#lines.shown;
    if (this.following) {
      if (length - this.#to > STEP) return this.reset();
      this.#append(length);
      if (this.#to - this.#from > MOST) this.#trimTop(this.#to - this.#from - MOST + STEP);
      this.#toEnd();
    } else this.#append(Math.min(length, Math.max(this.#to, this.#from + MOST)));
    this.#onMove();
  }

  latest() {
    this.following = true;
    this.reset();
  }

  first() {
    this.following = false;
    this.reset();
  }

  #toEnd() {
    this.#place.scrollTop = this.#place.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#place;
    const left = scrollHeight - clientHeight - scrollTop;
    const was = this.following;
    this.following = left <= AT_END_PX && this.below === 0;
    if (scrollTop < NEAR_PX && this.#from > 0 && !this.following) this.#earlier();
    else if (left < NEAR_PX && this.below > 0) this.#later();
    if (was !== this.following) this.#onMove();
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Home") this.first();
    else if (event.key === "End") this.latest();
    else return;
    event.preventDefault();
  }

  #earlier() {
    const from = Math.max(0, this.#from - STEP);
    const before = this.#place.scrollHeight;
    const { scrollTop } = this.#place;
    this.#place.prepend(this.#rows(from, this.#from));
    this.#from = from;
    this.#place.scrollTop = scrollTop + this.#place.scrollHeight - before;
    while (this.#to - this.#from > MOST) {
      this.#place.lastElementChild.remove();
      this.#to -= 1;
    }
    this.#onMove();
  }

  #later() {
    this.#append(Math.min(this.#lines.shown.length, this.#to + STEP));
    if (this.#to - this.#from > MOST) {
      const before = this.#place.scrollHeight;
      const { scrollTop } = this.#place;
      this.#trimTop(this.#to - this.#from - MOST);
      this.#place.scrollTop = scrollTop - (before - this.#place.scrollHeight);
    }
    this.#onMove();
  }

  #append(to) {
    if (to <= this.#to) return;
    if (this.#to === this.#from) this.#place.replaceChildren();
    this.#place.append(this.#rows(this.#to, to));
    this.#to = to;
  }

  #trimTop(count) {
    for (let left = count; left > 0; left -= 1) this.#place.firstElementChild.remove();
    this.#from += count;
  }

  #draw(from, to) {
    this.#from = from;
    this.#to = to;
    if (from < to) this.#place.replaceChildren(this.#rows(from, to));
    else {
      const none = this.#lines.filtered ? "No line is like that." : "Nothing has been said yet.";
      this.#place.replaceChildren(el("p", { class: "log-none" }, none));
    }
  }

  #rows(from, to) {
    const rows = document.createDocumentFragment();
    for (let at = from; at < to; at += 1) rows.append(this.#row(this.#lines.shown[at]));
    return rows;
  }

  #row({ at, level, kind, text }) {
    const said = el("span", { class: "line-text", dir: "auto" }, marked(text.slice(0, CUT), this.#lines.query));
    const row = el(
      "div",
      { class: `line line-${kind === "progress" ? kind : level}` },
      at === null ? null : el("span", { class: "line-time", title: new Date(at).toISOString() }, clock(at)),
      el("span", { class: "line-level" }, level),
      said,
    );
    if (text.length > CUT) {
      const more = el("button", { type: "button", class: "quiet line-more" }, `Show all ${text.length} characters`);
      more.addEventListener("click", () => {
        said.replaceWith(el("span", { class: "line-text", dir: "auto" }, marked(text, this.#lines.query)));
        more.remove();
      });
      row.append(more);
    }
    return row;
  }
}

/** A text with what was searched for marked: texts and `<mark>` elements. */
export function marked(text, query) {
  if (query === "") return [text];
  const parts = [];
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return [text]; // letters that change their length with their case: places would be off
  let from = 0;
  for (let at = lower.indexOf(query); at >= 0; at = lower.indexOf(query, from)) {
    parts.push(text.slice(from, at), el("mark", {}, text.slice(at, at + query.length)));
    from = at + query.length;
  }
  return [...parts, text.slice(from)];
}
