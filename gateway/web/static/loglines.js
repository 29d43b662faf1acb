// An evaluation's events as lines for a person, the same as gateway/web/loglines.py makes of them, and all of them that are held.

const SAYS = {
  queued: "Queued",
  started: "Started",
  scoring: "Scoring",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
};
const LEVELS = { failed: "error", cancelled: "warning" };
const RANK = { info: 0, warning: 1, error: 2 };

/** A line longer than this is cut where it is held; the API has the whole. */
export const TEXT = 10_000;

/** Lines held at most, and characters: beyond either the oldest are let go, so that a page open for days does not grow. */
export const HELD = 50_000;
export const HELD_CHARS = 16_000_000;
const LET_GO = 5_000; // at once, since it moves all that stay

/** The line of an event: `{at (ms), level, kind, text}`. */
export function lineOf(event) {
  const kind = event.type.slice(event.type.lastIndexOf(".") + 1);
  const { level = "info", message, error } = event.data;
  let text = String(message || error || "");
  if (kind in SAYS) text = text ? `${SAYS[kind]}: ${text}` : SAYS[kind];
  if (text.length > TEXT) text = `${text.slice(0, TEXT)}\u2026 (${text.length - TEXT} more characters)`;
  const known = LEVELS[kind] ?? (level in RANK ? level : "info");
  return { at: Date.parse(event.time), level: known, kind, text };
}

/** A line as it is copied. */
export const plain = ({ at, level, text }) => `${new Date(at).toISOString()} ${level.toUpperCase().padEnd(7)} ${text}`;

const two = (number) => String(number).padStart(2, "0");

/** The time of day in the reader's zone. */
export function clock(at) {
  const moment = new Date(at);
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
}

/** The lines that are held, and which of them `level` and `query` let through. */
export class Lines {
  #held = [];
  #chars = 0;
  #level = "all";
  #query = "";
  /** Those to be shown, oldest first. */
  shown = this.#held;
  /** How many were let go of. */
  dropped = 0;

  get count() {
    return this.#held.length + this.dropped;
  }

  get filtered() {
    return this.#level !== "all" || this.#query !== "";
  }

  get query() {
    return this.#query;
  }

  /** Adds lines; returns by how many lines the beginning of `shown` has moved. */
  add(lines) {
    for (const line of lines) {
      this.#held.push(line);
      this.#chars += line.text.length;
      if (this.shown !== this.#held && this.#lets(line)) this.shown.push(line);
    }
    let gone = 0;
    while (this.#held.length > HELD || this.#chars > HELD_CHARS) gone += this.#letGo();
    return gone;
  }

  /** `level` is "all", or the least one to be shown, "info" being all but progress. */
  filter(level, query) {
    this.#level = level;
    this.#query = query.toLowerCase();
    this.shown = this.filtered ? this.#held.filter((line) => this.#lets(line)) : this.#held;
  }

  #lets(line) {
    if (this.#level !== "all" && (RANK[line.level] < RANK[this.#level] || line.kind === "progress")) return false;
    return this.#query === "" || line.text.toLowerCase().includes(this.#query);
  }

  #letGo() {
    const gone = this.#held.splice(0, Math.min(LET_GO, Math.ceil(this.#held.length / 4)));
    this.dropped += gone.length;
    for (const { text } of gone) this.#chars -= text.length;
    if (this.shown === this.#held) return gone.length;
    const last = new Set(gone);
    let hidden = 0;
    while (hidden < this.shown.length && last.has(this.shown[hidden])) hidden += 1;
    this.shown.splice(0, hidden);
    return hidden;
  }
}
