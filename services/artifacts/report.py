"""`detailed_results.html`: an evaluation on one page that stands alone.

The page has no script and asks for nothing, so that it works from a disk and under `Content-Security-Policy: sandbox`. What
a model or the data wrote is hostile text: the template, and `report_case` for the test cases, escape every value, and `visible`
runs over each of them before.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.environment import TemplateModule
from markupsafe import Markup, escape

from services.artifacts.report_case import case_html, case_view
from shared.contracts import Outcome
from shared.texts import clip, count, dollars, duration, percent, plain, visible

Record = Mapping[str, Any]

MAX_CASES = 2_000
# Cases with long texts are fewer: a browser is slow with more than this.
MAX_BYTES = 48 * 1024 * 1024

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
            self._size += self._out.write(case_html(case_view(item, results)).encode())
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
    marked = [
        ("correct", "Correct", counts["correct"]),
        ("wrong", "Wrong", max(counts["scored"] - counts["correct"], 0)),
    ]
    if "columns" in metrics and metrics["exact_match"] is None:
        # A scoring program alone knows what is right.
        marked = [("correct", "Answered", counts["scored"])]
    segments = [
        *marked,
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
        "cost": metrics.get("cost"),
        "judge": metrics.get("judge"),
        "judge_cost": metrics.get("judge_cost"),
        "ttft": metrics.get("ttft_ms") or {},
        "attempts": metrics.get("attempts"),
        "retries": metrics.get("retries"),
        "scores": scores,
    }


# What is known to be harmless is marked as such: it need not be looked through.
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
    environment.filters.update(
        {number.__name__: _harmless(number) for number in (percent, dollars, duration, count, plain)}
    )
    return environment.get_template("report.html.j2").module
