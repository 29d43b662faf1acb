// What evaluations will take, and from what that is known. The numbers come with the page, see gateway/web/estimate.py.
import { count, duration } from "./format.js";

const CHARACTERS_A_TOKEN = 4;

/** The earlier evaluation that says most about a model in a phase: its own there, its own elsewhere, another model's there, any. */
export function nearest(earlier, model, phase) {
  const ranked = [
    (row) => row.model === model && row.phase === phase,
    (row) => row.model === model,
    (row) => row.phase === phase,
    () => true,
  ];
  for (const fits of ranked) {
    const row = earlier.find(fits);
    if (row) return row;
  }
  return null;
}

/**
 * An estimate for `models` and their `judge` (as the API gives them; null where none judges) with the form's `phase`, `limit`, `samples` and
 * `maxTokens` (null where empty).
 *
 * Gives `calls`; `tokens` with `bounded` (what they are at most), both null where nothing is known of the answers; `cost` of those in US
 * dollars, null where a price is not known; `seconds`, null where a model was never called; and `said`, a sentence for each thing that it is
 * based on.
 */
export function estimate(basis, models, judge, { phase, limit, samples, maxTokens }) {
  const { items: all, characters } = basis.phases[phase];
  const items = Math.min(limit ?? all, all);
  const each = items * samples;
  const tokens = tokensOf(basis, models, { phase, all, each, characters, most: maxTokens ?? basis.max_tokens });
  const verdicts = verdictsOf(basis, judge, { phase, answers: each * models.length });
  const time = timeOf(basis, models, { phase, each });
  const counted = `${count(items)} ${items === 1 ? "item" : "items"}`;
  const times = (number, what) => (number === 1 ? "" : ` \u00d7 ${count(number)} ${what}`);
  const calls = `Calls: ${counted}${times(samples, "samples")}${times(models.length, "models")}; retries come on top.`;
  return {
    calls: each * models.length,
    tokens: tokens.spent && Math.round(sum([...tokens.spent, ...verdicts.spent].map(({ prompt, completion }) => prompt + completion))),
    bounded: tokens.bounded,
    cost: tokens.spent && sum([...tokens.spent, ...verdicts.spent].map(dollars)),
    seconds: time.seconds,
    said: [calls, ...verdicts.said, ...tokens.said, ...time.said],
  };
}

/** The sum, or null where one of them is. */
const sum = (numbers) => numbers.reduce((total, number) => (total === null || number === null ? null : total + number), 0);

function dollars({ price, prompt, completion }) {
  if (price?.input == null || price.output == null) return null;
  return (prompt * price.input + completion * price.output) / 1e6;
}

/** What each model is asked and answers, all calls together, as `spent`; null where nothing is known of the answers. */
function tokensOf(basis, models, { phase, all, each, characters, most }) {
  const spent = [];
  let bounded = false;
  const rows = new Map();
  for (const { id, price } of models) {
    const row = nearest(basis.earlier.filter(({ tokens }) => tokens !== null), id, phase);
    if (row) {
      rows.set(row.number, row);
      const { prompt, completion } = row.tokens;
      spent.push({ price, prompt: each * prompt, completion: each * Math.min(completion, most ?? Infinity) });
    } else if (characters === null || most === null) {
      return { spent: null, bounded: false, said: ["Tokens: unknown; nothing bounds the answers, and no earlier evaluation counted them."] };
    } else {
      bounded = true;
      spent.push({ price, prompt: each * (characters / CHARACTERS_A_TOKEN), completion: each * most });
    }
  }
  const said = [];
  if (rows.size) said.push(`Tokens: as many as a call took in ${numbers(rows)}.`);
  if (bounded) {
    const which = all > basis.measured ? `the first ${count(basis.measured)} items` : "the items";
    said.push(`Tokens: prompts of ${which} at about ${CHARACTERS_A_TOKEN} characters a token, answers of at most ${count(most)}.`);
  }
  return { spent, bounded, said };
}

/** The same of the questions to the judge: as many tokens as it took in an earlier evaluation, else they are not counted. */
function verdictsOf(basis, judge, { phase, answers }) {
  if (!basis.questions) return { spent: [], said: [] };
  const asked = `The judge is asked ${basis.questions === 1 ? "once" : "twice"} about each answer`;
  const judged = basis.earlier.filter((row) => row.judge_tokens !== null && row.judge === judge?.id);
  const row = judged.find((found) => found.phase === phase) ?? judged[0];
  if (!row) return { spent: [], said: [`${asked}, which is not counted here.`] };
  const { prompt, completion } = row.judge_tokens;
  const calls = answers * basis.questions;
  const spent = [{ price: judge.price, prompt: calls * prompt, completion: calls * completion }];
  return { spent, said: [`${asked}; a question as many tokens as in #${row.number}.`] };
}

function timeOf(basis, models, { phase, each }) {
  let slowest = null;
  const unknown = [];
  for (const model of models) {
    const own = basis.earlier.filter((row) => row.model === model.id && row.latency_ms !== null);
    const row = own.find((found) => found.phase === phase) ?? own[0];
    const latency = row?.latency_ms ?? model.pacing?.latency_ms ?? null;
    if (latency === null) {
      unknown.push(model.name);
      continue;
    }
    const atOnce = Math.min(each, model.pacing?.limit ?? (Number(model.max_concurrency) || 1));
    const byLatency = (each * latency) / 1000 / atOnce;
    const byRate = model.requests_per_minute ? (each / model.requests_per_minute) * 60 : 0;
    const found = { model, row, latency, atOnce, seconds: Math.max(byLatency, byRate), rated: byRate > byLatency };
    if (!slowest || found.seconds > slowest.seconds) slowest = found;
  }
  const said = [];
  if (unknown.length) said.push(`Time: unknown until ${names(unknown)} ${unknown.length === 1 ? "has" : "have"} been called once.`);
  else if (slowest) {
    const { model, row, latency, atOnce, rated } = slowest;
    const which = models.length > 1 ? `; all models run at once, and ${model.name} takes longest` : "";
    const from = row ? ` in #${row.number}` : " at present";
    if (rated) said.push(`Time: ${count(model.requests_per_minute)} calls a minute${which}.`);
    else said.push(`Time: ${duration(latency)} a call${from}, ${count(atOnce)} at once${which}.`);
  }
  const notUp = models.filter(({ status }) => status !== "running");
  const startable = notUp.filter(({ engine }) => engine);
  const away = notUp.filter(({ engine }) => !engine);
  if (startable.length) said.push(startsFirst(startable));
  if (away.length) said.push(`It waits until ${names(away.map(({ name }) => name))} ${away.length === 1 ? "is" : "are"} running.`);
  return { seconds: unknown.length || !slowest ? null : slowest.seconds, said };
}

/** What comes before the first call of models whose engines are not up. */
function startsFirst(models) {
  const all = names(models.map(({ name }) => name));
  const starting = models.every(({ status }) => status === "starting");
  const again = models.some(({ status }) => status === "failed") ? " again" : "";
  if (starting) return `The engine of ${all} is starting; the evaluation waits for it.`;
  return models.length === 1 ? `The engine of ${all} is started${again} first.` : `The engines of ${all} are started${again} first.`;
}

function names(all) {
  return all.length <= 3 ? all.join(", ") : `${all.slice(0, 2).join(", ")} and ${all.length - 2} more`;
}

function numbers(rows) {
  const all = [...rows.values()].map(({ number, name, phase }) => `#${number} (${name}, ${phase})`);
  return names(all);
}
