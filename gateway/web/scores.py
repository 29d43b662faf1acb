"""The score breakdown of an evaluation: the panel that takes the log's place once there are metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import PyMongoError

from gateway.distributions import Distributions
from gateway.parts import Parts
from gateway.ranking import interval
from gateway.web.charts import Segment, draw_parts
from gateway.web.plots import Plot, figures
from gateway.web.render import seconds
from shared import texts
from shared.api import Evaluation

COUNTING_S = 1.5
"""How long a page waits for the plots of an evaluation that nobody has looked at yet."""

Bounds = Sequence[float] | None


@dataclass(frozen=True)
class Rate:
    """A rate 0..1 with what it means; `bounds` are the worst and the best it could be where something was not called."""

    title: str
    value: float | None
    meaning: str
    interval: Bounds = None
    bounds: Bounds = None


async def breakdown(parts: Parts, evaluation: Evaluation) -> dict[str, Any]:
    """What `evaluation_scores.html` draws, as `breakdown`; `evaluation.metrics` are there.

    `plots` is None while they are being counted, and empty where they cannot be.
    """
    metrics = evaluation.metrics or {}
    plots: list[Plot] | None = []
    found: Distributions | None = None
    try:
        found = await parts.counting.of(evaluation, COUNTING_S)
        plots = None if found is None else figures(found, metrics)
    except PyMongoError:
        plots = []
    return {
        "overall": overall(metrics),
        "rates": rates(metrics),
        "facts": facts(metrics),
        "segments": segments(metrics),
        "outcomes": draw_parts(segments(metrics)),
        "plots": plots,
        "tags": found.tags if found else [],
        "misses": 0 if makes_no_claims(metrics) else number(metrics, "called") - number(metrics, "correct"),
    }


def overall(metrics: Mapping[str, Any]) -> Rate:
    """The overall score, with the interval of what it is."""
    value = metrics.get("overall_score")
    is_accuracy = value is not None and value == metrics.get("accuracy")
    if by_program(metrics):
        meaning = "What this environment ranks by, as its scoring program has it."
    else:
        meaning = f"What this environment ranks by{'; here the same as the accuracy' if is_accuracy else ''}."
    return Rate(
        "Overall Score",
        value,
        meaning,
        interval(metrics, "overall_score"),
        bounds(metrics).get("overall_score"),
    )


def rates(metrics: Mapping[str, Any]) -> list[Rate]:
    known = bounds(metrics)
    called, correct = number(metrics, "called"), number(metrics, "correct")
    if by_program(metrics) and "accuracy" in metrics["scores"]:
        meaning = "As the scoring program has it."
    elif makes_no_claims(metrics):
        meaning = "No answer is compared with a target by itself."
    else:
        meaning = f"{texts.count(correct)} correct of {texts.count(called)} that were called."
    return [
        Rate(
            "Accuracy",
            metrics.get("accuracy"),
            meaning,
            interval(metrics, "accuracy"),
            known.get("accuracy"),
        ),
        Rate(
            "Exact match",
            metrics.get("exact_match"),
            "The prediction is the target to the letter.",
            interval(metrics, "exact_match"),
            known.get("exact_match"),
        ),
        Rate(
            "Answer rate",
            metrics.get("answer_rate"),
            "The answer had any text in it, right or wrong.",
            interval(metrics, "answer_rate"),
            known.get("answer_rate"),
        ),
        Rate(
            "Coverage",
            metrics.get("coverage"),
            f"{texts.count(called)} of {texts.count(number(metrics, 'total'))} samples could be called.",
        ),
    ]


def facts(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Figures that are no rates, as (term, value, what it means)."""
    latency, first = metrics.get("latency_ms") or {}, metrics.get("ttft_ms") or {}
    tokens = metrics.get("tokens") or {}
    per_second = metrics.get("items_per_s")
    found = [
        ("Duration", seconds(metrics.get("duration_s")), "from the start to the stored files"),
        (
            "Throughput",
            "\u2014" if per_second is None else f"{per_second:,.2f}/s",
            "results a second while it was called",
        ),
        ("Latency, median", texts.duration(latency.get("p50")), f"mean {texts.duration(latency.get('mean'))}"),
        (
            "Latency, 95th percentile",
            texts.duration(latency.get("p95")),
            f"slowest {texts.duration(latency.get('max'))}",
        ),
    ]
    if first:
        ninety = texts.duration(first.get("p95"))
        found.append(("First token, median", texts.duration(first.get("p50")), f"95th percentile {ninety}"))
    missing = f", {texts.count(tokens['unreported'])} calls not reported" if tokens.get("unreported") else ""
    counted = f"{texts.count(tokens.get('prompt'))} in, {texts.count(tokens.get('completion'))} out{missing}"
    found.append(("Tokens", texts.count(tokens.get("total")), counted))
    if metrics.get("cost") is not None:
        found.append(("Cost", texts.dollars(metrics["cost"]), "at the model's price when it was started"))
    if judge := metrics.get("judge"):
        found.append(
            (
                "Judge's tokens",
                texts.count(judge["tokens"]["total"]),
                f"of {texts.count(judge['asked'])} questions to it",
            )
        )
        if metrics.get("judge_cost") is not None:
            found.append(
                ("Judge's cost", texts.dollars(metrics["judge_cost"]), "at the judge's price when it was started")
            )
        if judge["unread"]:
            found.append(
                ("Not judged", texts.count(judge["unread"]), "answers of which no verdict could be read; they count 0")
            )
    retries = number(metrics, "retries")
    found.append(("Calls", texts.count(metrics.get("attempts")), f"{texts.count(retries)} of them retries"))
    limits = bounds(metrics).get("scores") or {}
    for name, value in sorted((metrics.get("scores") or {}).items()):
        if name not in ("accuracy", "exact_match", "answer_rate", "coverage", "overall_score"):
            meaning = "by the scoring program" if by_program(metrics) else own_meaning(limits.get(name))
            if name in metrics.get("corpus", ()):
                meaning = "over all answers together"
            if name.startswith("pass@"):
                meaning = (
                    f"at least one of {name.removeprefix('pass@')} samples of an item is right, on average over items"
                )
            found.append((name.replace("_", " "), texts.plain(value), meaning))
    return found


def by_program(metrics: Mapping[str, Any]) -> bool:
    """Whether a scoring program made the scores: only then is it known which of them have a column."""
    return "columns" in metrics


def makes_no_claims(metrics: Mapping[str, Any]) -> bool:
    """Whether a program alone knows what is right: items have no target, and no answer is correct or wrong by itself."""
    return by_program(metrics) and metrics.get("exact_match") is None and number(metrics, "called") > 0


def own_meaning(limits: Bounds) -> str:
    """What to say under a score of the environment's own."""
    mean = "mean over what was called"
    return f"{mean}; between {texts.plain(limits[0])} and {texts.plain(limits[1])} over all" if limits else mean


def segments(metrics: Mapping[str, Any]) -> list[Segment]:
    """How the samples ended."""
    correct, scored = number(metrics, "correct"), number(metrics, "scored")
    if makes_no_claims(metrics):
        marked = [Segment("scored", "Answered", scored)]
    else:
        marked = [Segment("correct", "Correct", correct), Segment("wrong", "Wrong", max(scored - correct, 0))]
    return [
        *marked,
        Segment("no-answer", "No answer", number(metrics, "no_answer")),
        Segment("model-error", "Model error", number(metrics, "model_error")),
        Segment("infra-error", "Not called", number(metrics, "infra_error")),
    ]


def bounds(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return metrics.get("bounds") or {}


def number(metrics: Mapping[str, Any], name: str) -> int:
    return int(metrics.get(name) or 0)
