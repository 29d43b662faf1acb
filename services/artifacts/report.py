"""`detailed_results.html`: an evaluation on one page that stands alone.

The page has no script and asks for nothing, so that it works from a disk and under `Content-Security-Policy: sandbox`. What
a model or the data wrote is hostile text: the template escapes every value, and `visible` runs over each of them before.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.environment import TemplateModule
from markupsafe import Markup, escape

from shared.contracts import Outcome
from shared.texts import clip, count, duration, percent, plain, visible

Record = Mapping[str, Any]

MAX_CASES = 2_000
# Cases with long texts are fewer: a browser is slow with more than this.
MAX_BYTES = 48 * 1024 * 1024
MAX_SAMPLES = 20
CELL_CHARS = 300
SHORT_CHARS = 120
TEXT_CHARS = 20_000

_BLANKS = re.compile(r"\s+")
# What is known to be harmless is marked as such, here and in what the number filters give: it need not be looked through.
_STATES = {
    state: tuple(map(Markup, shown))
    for state, shown in {
        "correct": ("hit", "\u2713", "Correct"),
        "wrong": ("miss", "\u2715", "Wrong"),
        Outcome.NO_ANSWER: ("miss", "\u2715", "No answer"),
        Outcome.MODEL_ERROR: ("miss", "\u2715", "Model error"),
        Outcome.INFRA_ERROR: ("open", "\u2013", "Not answered"),
    }.items()
}
_NAMED = {
    "overall_score": "Overall Score",
    "accuracy": "Accuracy",
    "exact_match": "Exact match",
    "answer_rate": "Answer rate",
    "coverage": "Coverage",
}
_COUNTS = ("total", "called", "correct", *Outcome)


class ReportWriter:
    """Writes the page into a stream that its opener closes, a case after the other.

    After `max_cases` cases, or once the page has `max_bytes`, it only counts and says at its end what it left out.
    """

    def __init__(
        self,
        out: BinaryIO,
        evaluation: Record,
        metrics: Record,
        *,
        max_cases: int = MAX_CASES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._out = out
        self._max_cases = max_cases
        self._max_bytes = max_bytes
        self._template = _template()
        self._cases = self._shown = self._size = 0
        cases = (metrics.get("total") or 0) // evaluation["samples_per_item"]
        params = [
            (name, clip(f"{value}", 80)) for name, value in sorted(evaluation["params"].items()) if value is not None
        ]
        summary = summarize(metrics)
        self._write("head", evaluation=evaluation, params=params, summary=summary, cases=cases, max_cases=max_cases)

    def add(self, item: Record, results: Sequence[Record]) -> None:
        """One item with its results in the order of samples."""
        self._cases += 1
        # Once one is left out all that follow are, so that the page has the first cases and not the short ones.
        if self._shown == self._cases - 1 and self._shown < self._max_cases and self._size < self._max_bytes:
            self._write("case", case=case_view(item, results))
            self._shown += 1

    def close(self) -> None:
        """Write the end of the page."""
        self._write("tail", cases=self._cases, shown=self._shown)

    def _write(self, macro: str, **values: Any) -> None:
        data = getattr(self._template, macro)(**values).encode()
        self._size += self._out.write(data)


def summarize(metrics: Record) -> dict[str, Any]:
    """What the page's upper part shows. A metric that is absent or cannot be computed is None."""
    bounds = metrics.get("bounds") or {}
    rates = [
        {"name": name, "title": title, "value": metrics.get(name), "bounds": bounds.get(name)}
        for name, title in _NAMED.items()
    ]
    counts = {str(name): metrics.get(name) or 0 for name in _COUNTS}
    segments = [
        ("correct", "Correct", counts["correct"]),
        ("wrong", "Wrong", max(counts["scored"] - counts["correct"], 0)),
        ("no-answer", "No answer", counts["no_answer"]),
        ("model-error", "Model error", counts["model_error"]),
        ("infra-error", "Not answered", counts["infra_error"]),
    ]
    score_bounds = bounds.get("scores") or {}
    scores = [
        (name.replace("_", " "), value, score_bounds.get(name))
        for name, value in sorted((metrics.get("scores") or {}).items())
        if name not in _NAMED
    ]
    return {
        "overall": rates[0],
        "rates": {rate["name"]: rate for rate in rates[1:]},
        "interval": metrics.get("accuracy_ci95"),
        "counts": counts,
        "segments": segments,
        "throughput": metrics.get("items_per_s"),
        "latency": metrics.get("latency_ms") or {},
        "tokens": metrics.get("tokens") or {},
        "ttft": metrics.get("ttft_ms") or {},
        "attempts": metrics.get("attempts"),
        "retries": metrics.get("retries"),
        "scores": scores,
    }


def case_view(item: Record, results: Sequence[Record]) -> dict[str, Any]:
    """What the page shows of one case: a row from sample 0, and below it the prompt and each sample in full."""
    samples = [_sample_view(result) for result in results[:MAX_SAMPLES]]
    first = results[0]
    kind: str
    glyph: str
    label: str
    kind, glyph, label = _STATES[_state(first)]
    if len(results) > 1:
        called = [result for result in results if result["outcome"] != Outcome.INFRA_ERROR]
        hits = sum(1 for result in called if result["correct"])
        kind = "open" if not called else "hit" if hits == len(called) else "miss"
        glyph = {"open": "\u2013", "hit": "\u2713"}.get(kind, "\u25d0" if hits else "\u2715")
        label = f"{hits} of {len(called)} correct" if called else "Not answered"
    tokens = [(result["usage"] or {}).get("total_tokens") for result in results]
    latencies = [result["latency_ms"] for result in results if result["latency_ms"] is not None]
    return {
        "kind": kind,
        "glyph": glyph,
        "label": label,
        "item_id": _cell(item["item_id"], SHORT_CHARS),
        "input": _cell(item["input"], CELL_CHARS),
        "target": _cell(first["target"], SHORT_CHARS),
        "prediction": None if first["prediction"] is None else _cell(first["prediction"], SHORT_CHARS),
        "missing": "nothing extracted" if first["outcome"] == Outcome.SCORED else _STATES[first["outcome"]][2].lower(),
        "prompt": [{"role": each["role"], "content": _text(each["content"])} for each in item["messages"]],
        "gold": _text(item["target"]),
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
    }


def _state(result: Record) -> str:
    if result["outcome"] != Outcome.SCORED:
        return str(result["outcome"])
    return "correct" if result["correct"] else "wrong"


def _cell(text: str, limit: int) -> str:
    """A text on one line, clipped. Only its beginning is looked at: the rest may be megabytes."""
    line = _BLANKS.sub(" ", text[: limit * 4]).strip()
    return clip(line if len(text) <= limit * 4 else line + "\u2026", limit)


def _text(text: str) -> dict[str, Any]:
    return {"text": text[:TEXT_CHARS], "left_out": max(len(text) - TEXT_CHARS, 0)}


def _harmless(number: Callable[[float | None], str]) -> Callable[[float | None], Markup]:
    """A filter whose text is digits and signs alone."""
    return lambda value: escape(number(value))


@cache
def _template() -> TemplateModule:
    """The template's macros. A name that a macro misses is an error, and not an empty place on the page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({number.__name__: _harmless(number) for number in (percent, duration, count, plain)})
    return environment.get_template("report.html.j2").module
