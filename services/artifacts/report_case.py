"""One test case on the report. Plain string formatting: the same out of a template is most of what an evaluation's files cost.

Every text that a model, the data or a user wrote passes `_html`; what does not is digits, signs and words of this module.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import escape

from shared.contracts import Outcome
from shared.texts import clip, count, duration, plain, visible

Record = Mapping[str, Any]

MAX_SAMPLES = 20
CELL_CHARS = 300
SHORT_CHARS = 120
TEXT_CHARS = 20_000

DASH = "\u2014"
HIDDEN = "(hidden)"
"""In the place of a gold answer, in a phase that hides them."""

_BLANKS = re.compile(r"\s+")
_STATES = {
    "correct": ("hit", "\u2713", "Correct"),
    "wrong": ("miss", "\u2715", "Wrong"),
    "unclaimed": ("open", "\u2013", "Answered"),
    Outcome.NO_ANSWER: ("miss", "\u2715", "No answer"),
    Outcome.MODEL_ERROR: ("miss", "\u2715", "Model error"),
    Outcome.INFRA_ERROR: ("open", "\u2013", "Not answered"),
}


def case_view(item: Record, results: Sequence[Record]) -> dict[str, Any]:
    """What the page shows of one case: a row from sample 0, and below it the prompt and each sample in full."""
    samples = [_sample_view(result) for result in results[:MAX_SAMPLES]]
    first = results[0]
    kind, glyph, label = _STATES[_state(first)]
    if len(results) > 1:
        called = [result for result in results if result["outcome"] != Outcome.INFRA_ERROR]
        hits = sum(1 for result in called if result["correct"])
        kind = "open" if not called else "hit" if hits == len(called) else "miss"
        glyph = {"open": "\u2013", "hit": "\u2713"}.get(kind, "\u25d0" if hits else "\u2715")
        label = f"{hits} of {len(called)} correct" if called else "Not answered"
        if any(result["correct"] is None for result in called):
            kind, glyph, label = "open", "\u2013", f"{len(called)} answers"
    tokens = [(result["usage"] or {}).get("total_tokens") for result in results]
    latencies = [result["latency_ms"] for result in results if result["latency_ms"] is not None]
    return {
        "kind": kind,
        "glyph": glyph,
        "label": label,
        "item_id": _cell(item["item_id"], SHORT_CHARS),
        "input": _cell(item["input"], CELL_CHARS),
        "target": HIDDEN if first["target"] is None else _cell(first["target"], SHORT_CHARS),
        "prediction": None if first["prediction"] is None else _cell(first["prediction"], SHORT_CHARS),
        "missing": "nothing extracted" if first["outcome"] == Outcome.SCORED else _STATES[first["outcome"]][2].lower(),
        "prompt": [{"role": each["role"], "content": _text(each["content"])} for each in item["messages"]],
        "gold": _text(HIDDEN if item["target"] is None else item["target"]),
        "samples": samples,
        "left_out": len(results) - len(samples),
        "several": len(results) > 1,
        "latency_ms": max(latencies, default=None),
        "attempts": sum(result["attempts"] for result in results),
        "tokens": None if None in tokens else sum(tokens),
    }


def _sample_view(result: Record) -> dict[str, Any]:
    kind, glyph, label = _STATES[_state(result)]
    usage = result["usage"] or {}
    return {
        "sample": result["sample"],
        "kind": kind,
        "glyph": glyph,
        "label": label,
        "prediction": None if result["prediction"] is None else _text(result["prediction"]),
        "output": _text(result["output"]),
        "error": _text(result["error"] or ""),
        "scores": [(name, plain(value)) for name, value in sorted((result["scores"] or {}).items())],
        "latency_ms": result["latency_ms"],
        "ttft_ms": result["ttft_ms"],
        "attempts": result["attempts"],
        "finish_reason": result["finish_reason"],
        "tokens_in": usage.get("prompt_tokens"),
        "tokens_out": usage.get("completion_tokens"),
        "detail": _text(result.get("detail") or ""),
        "judge": [_text(verdict["output"]) for verdict in result.get("judge") or ()],
    }


def _state(result: Record) -> str:
    if result["outcome"] != Outcome.SCORED:
        return str(result["outcome"])
    if result["correct"] is None:
        return "unclaimed"
    return "correct" if result["correct"] else "wrong"


def _cell(text: str, limit: int) -> str:
    """A text on one line, clipped. Only its beginning is looked at: the rest may be megabytes."""
    line = _BLANKS.sub(" ", text[: limit * 4]).strip()
    return clip(line if len(text) <= limit * 4 else line + "\u2026", limit)


def _text(text: str) -> dict[str, Any]:
    return {"text": text[:TEXT_CHARS], "left_out": max(len(text) - TEXT_CHARS, 0)}


def case_html(view: Record) -> str:
    """The rows of one case, from `case_view`."""
    prediction = f"<em>{view['missing']}</em>" if view["prediction"] is None else _html(view["prediction"])
    latency = "" if view["latency_ms"] is None else f"{duration(view['latency_ms'])}, "
    tokens = "" if view["tokens"] is None else f", {count(view['tokens'])} tokens"
    prompt = "".join(f"<h4>Prompt: {_html(each['role'])}</h4>\n{_block(each['content'])}" for each in view["prompt"])
    samples = "".join(_sample_html(sample, several=view["several"]) for sample in view["samples"])
    left_out = (
        f'<p class="note">{count(view["left_out"])} more samples are not shown here; '
        "predictions.jsonl and detailed_results.json hold them all.</p>\n"
        if view["left_out"]
        else ""
    )
    return f"""<tbody class="{view["kind"]}">
<tr class="row">
<td class="mark"><span><i aria-hidden="true">{view["glyph"]}</i> {view["label"]}</span></td>
<th scope="row" class="id"><bdi>{_html(view["item_id"])}</bdi></th>
<td data-label="Input" dir="auto">{_html(view["input"])}</td>
<td data-label="Target" class="answer" dir="auto">{_html(view["target"])}</td>
<td data-label="Prediction" class="answer" dir="auto">{prediction}</td>
</tr>
<tr class="more">
<td></td>
<td colspan="4">
<details>
<summary><span class="open-word">Details</span>
<span class="meta">{latency}{count(view["attempts"])} attempt{"" if view["attempts"] == 1 else "s"}{tokens}</span></summary>
<div class="columns">
<div>
{prompt}<h4>Gold answer</h4>
{_block(view["gold"])}</div>
<div>
{samples}{left_out}</div>
</div>
</details>
</td>
</tr>
</tbody>
"""


def _sample_html(sample: Record, *, several: bool) -> str:
    head = (
        f'<h5 class="{sample["kind"]}">Sample {sample["sample"]} '
        f'<span><i aria-hidden="true">{sample["glyph"]}</i> {sample["label"]}</span></h5>\n'
        if several
        else ""
    )
    prediction = (
        ""
        if sample["prediction"] is None or sample["judge"]
        else f"<h4>Prediction</h4>\n{_block(sample['prediction'], 'detailed_results.json')}"
    )
    error = f"<h4>Error</h4>\n{_block(sample['error'], 'predictions.jsonl')}" if sample["error"]["text"] else ""
    judge = "".join(f"<h4>Judge</h4>\n{_block(text, 'detailed_results.json')}" for text in sample["judge"])
    detail = (
        f"<h4>Scoring</h4>\n{_block(sample['detail'], 'detailed_results.json')}" if sample["detail"]["text"] else ""
    )
    scores = "".join(f"<div><dt>{_html(name)}</dt><dd>{value}</dd></div>\n" for name, value in sample["scores"])
    return f"""{head}<h4>Raw output</h4>
{_block(sample["output"], "predictions.jsonl")}{prediction}{detail}{judge}{error}<dl class="facts">
{scores}<div><dt>Latency</dt><dd>{duration(sample["latency_ms"])}</dd></div>
<div><dt>First token</dt><dd>{duration(sample["ttft_ms"])}</dd></div>
<div><dt>Attempts</dt><dd>{count(sample["attempts"])}</dd></div>
<div><dt>Finish reason</dt><dd>{_html(sample["finish_reason"] or DASH)}</dd></div>
<div><dt>Tokens in</dt><dd>{count(sample["tokens_in"])}</dd></div>
<div><dt>Tokens out</dt><dd>{count(sample["tokens_out"])}</dd></div>
</dl>
"""


def _block(block: Record, whole: str = "") -> str:
    """A text in full, or as much as is shown; `whole` is the file that holds the rest."""
    if not block["text"]:
        return '<p class="none">empty</p>\n'
    # A parser drops the first newline within <pre>, so one is put there for it.
    shown = f'<pre dir="auto">\n{_html(block["text"])}</pre>\n'
    if not block["left_out"]:
        return shown
    where = f"; {whole} holds the whole text" if whole else ""
    return f'{shown}<p class="note">{count(block["left_out"])} more characters are not shown here{where}.</p>\n'


def _html(text: str) -> str:
    return str(escape(visible(text)))
