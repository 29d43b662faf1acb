// One test case in full, as templates/evaluation_case.html draws it.
import { el } from "./dom.js";
import { clip, count, duration, plain, words } from "./format.js";

const OUTCOMES = { scored: "Answered", no_answer: "No answer", model_error: "Model error", infra_error: "Not called" };

/** How a row or a sample ended: `[class, sign, words]`; of several samples it says how many are correct. */
export function state(first, samples) {
  if (!samples || samples.length < 2) {
    if (first.outcome === "scored" && first.correct == null) return ["open", "\u2013", OUTCOMES.scored];
    if (first.outcome === "scored") return first.correct ? ["hit", "\u2713", "Correct"] : ["miss", "\u2715", "Wrong"];
    return first.outcome === "infra_error" ? ["open", "\u2013", OUTCOMES.infra_error] : ["miss", "\u2715", OUTCOMES[first.outcome]];
  }
  const called = samples.filter(({ outcome }) => outcome !== "infra_error");
  const hits = called.filter(({ correct }) => correct).length;
  if (!called.length) return ["open", "\u2013", OUTCOMES.infra_error];
  if (called.some(({ correct }) => correct == null)) return ["open", "\u2013", `${called.length} answers`];
  if (hits === called.length) return ["hit", "\u2713", `${hits} of ${called.length} correct`];
  return ["miss", hits ? "\u25d0" : "\u2715", `${hits} of ${called.length} correct`];
}

/** The mark of a state. */
export const mark = ([kind, sign, label]) =>
  el("span", { class: `mark mark-${kind}` }, el("i", { "aria-hidden": "true" }, sign), ` ${label}`);

const title = (text, hint) => el("h3", {}, text, hint && el("span", { class: "hint" }, ` ${hint}`));

function block(text, label, isCut, whole) {
  const shown = text
    ? el("pre", { class: "block", dir: "auto", tabindex: 0, role: "group", "aria-label": label }, text)
    : el("p", { class: "none" }, "empty");
  if (!isCut) return [shown];
  const said = `Cut after ${count(text.length)} characters.`;
  return [shown, el("p", { class: "hint" }, said, whole && [" ", el("a", { href: whole }, "predictions.jsonl"), " has the whole text."])];
}

function difference(parts) {
  const hidden = (text) => el("span", { class: "visually-hidden" }, text);
  const drawn = parts.map(({ kind, text }) => {
    if (kind === "same") return text;
    if (kind === "removed") return el("del", {}, hidden("[only in the target: "), text, hidden("]"));
    return el("ins", {}, hidden("[only in the prediction: "), text, hidden("]"));
  });
  return el("pre", { class: "block", dir: "auto", tabindex: 0, role: "group", "aria-label": "Difference of target and prediction" }, drawn);
}

function facts(sample) {
  const scores = Object.entries(sample.scores).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = [
    ...scores.map(([name, value]) => [words(name), plain(value)]),
    ["Latency", duration(sample.latency_ms)],
    ...(sample.ttft_ms == null ? [] : [["First token", duration(sample.ttft_ms)]]),
    ["Attempts", count(sample.attempts)],
    ["Finish reason", sample.finish_reason || "\u2014"],
    ["Tokens in", count(sample.usage?.prompt_tokens)],
    ["Tokens out", count(sample.usage?.completion_tokens)],
    ...(sample.round ? [["Round", count(sample.round)]] : []),
  ];
  const drawn = rows.map(([term, value]) =>
    el("div", {}, el("dt", {}, el("bdi", {}, clip(term, 60))), el("dd", {}, el("bdi", {}, clip(value, 60)))),
  );
  const called = sample.started_at ? el("time", { datetime: sample.started_at }, sample.started_at) : "\u2014";
  return el("dl", { class: "facts case-facts" }, drawn, el("div", {}, el("dt", {}, "Called"), el("dd", {}, called)));
}

function sampleOf(sample, several, whole) {
  const cut = (name) => sample.cut.includes(name);
  return [
    several && el("h3", { class: "sample-head" }, `Sample ${sample.sample} `, mark(state(sample))),
    sample.reasoning && [title("Reasoning", "what the model thought before it answered"), block(sample.reasoning, "Reasoning", cut("reasoning"), whole)],
    title("Answer", "as the model gave it"),
    block(sample.output, "Answer", cut("output"), whole),
    sample.prediction != null && !sample.judge?.length && [title("Prediction", "what of it is compared"), block(sample.prediction, "Prediction", cut("prediction"), whole)],
    sample.difference && [
      el("h3", {}, "Difference ", el("span", { class: "hint" }, el("del", {}, "only in the target"), " ", el("ins", {}, "only in the prediction"))),
      difference(sample.difference),
    ],
    sample.detail && [title("Scoring", "how the score came about"), block(sample.detail, "Scoring", cut("detail"))],
    sample.judge?.map(({ output, score }, at, { length }) => [
      title("Judge", (length > 1 ? `the answer ${at ? "second" : "first"}, ` : "") + (score == null ? "no verdict" : plain(score))),
      block(output, "Judge", cut(`judge.${at}`), null),
    ]),
    sample.error && [title("Error"), block(sample.error, "Error", cut("error"), whole)],
    facts(sample),
  ].flat(3);
}

/** A case (`/v1/evaluations/{id}/results/{index}`). `address` is its own page's; `whole` a file that has uncut texts, or null. */
export function drawCase(found, address, whole) {
  const target = found.target != null && found.target !== found.gold;
  const columns = Object.entries(found.metadata).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  const left = [
    found.messages.map(({ role, content }, at) => [
      title(`Prompt: ${clip(role, 40)}`),
      block(content, `Prompt: ${role}`, found.cut.includes(`messages.${at}`)),
    ]),
    title("Gold answer"),
    found.gold == null
      ? el("p", { class: "none" }, "Hidden: this phase shows its targets to admins only.")
      : block(found.gold, "Gold answer", found.cut.includes("gold")),
    target && [title("Target", "what of it is compared"), block(found.target, "Target", found.cut.includes("target"))],
    columns.length > 0 && el("p", { class: "muted small", dir: "auto" }, el("bdi", {}, clip(columns.join(", "), 500))),
  ].flat(3);
  const more = found.total - found.samples.length;
  const right = [
    ...found.samples.flatMap((sample) => sampleOf(sample, found.total > 1, whole)),
    more > 0 && el("p", { class: "hint" }, `${count(more)} more samples are in the files.`),
    el("p", {}, el("a", { href: address }, "This test case on a page of its own")),
  ];
  const kept = (children) => children.filter((child) => child);
  return el("div", { class: "case-columns" }, el("div", {}, kept(left)), el("div", {}, kept(right)));
}
