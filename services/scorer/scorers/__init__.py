"""Scorers of single answers: a module a family, pure functions, one small registry.

Each is safe against any text a model may write. Those that score at once are called on the event loop, so that what they look at is
bounded, or the work is linear in it, or runs under a time limit. Those that run in worker processes (`services/scorer/workers.py`) are
imported there alone, since their libraries are slow to load, and have their limits from outside.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from services.scorer.scorers import choice, installed, numeric, pattern, text
from services.scorer.scorers.score import Score, wrong
from shared.scoring import (
    BleuScoring,
    ChoiceScoring,
    CodeScoring,
    ContainsScoring,
    ExactMatchScoring,
    F1Scoring,
    InstalledScoring,
    JsonScoring,
    JudgeScoring,
    MathScoring,
    NumericScoring,
    ProgramScoring,
    RegexScoring,
    RougeScoring,
    Scored,
    Scoring,
)

__all__ = [
    "Score",
    "check_target",
    "has_corpus_score",
    "main_metric",
    "score",
    "time_limit_s",
    "worker_scorer",
    "wrong",
]


class _Inline(NamedTuple):
    score: Callable[[str, str, Any, Mapping[str, Any]], Score]
    check_target: Callable[[str, Any, Mapping[str, Any]], str | None]


_INLINE: dict[type, _Inline] = {
    NumericScoring: _Inline(numeric.score, numeric.check_target),
    ExactMatchScoring: _Inline(text.exact_match, text.check_exact_match),
    ContainsScoring: _Inline(text.contains, text.check_contains),
    ChoiceScoring: _Inline(choice.score, choice.check_target),
    RegexScoring: _Inline(pattern.score, pattern.check_target),
    F1Scoring: _Inline(text.f1, text.check_f1),
    ProgramScoring: _Inline(text.as_target, text.check_as_target),
}

_IN_WORKERS: dict[type, str] = {
    RougeScoring: "services.scorer.scorers.rouge",
    BleuScoring: "services.scorer.scorers.bleu",
    MathScoring: "services.scorer.scorers.math",
    JsonScoring: "services.scorer.scorers.json",
    JudgeScoring: "services.scorer.judging",
    CodeScoring: "services.scorer.scorers.code",
}
"""Modules with `score(output, target, scoring, hints)`, `check_target(target, scoring, hints)`, and `corpus(sums, scoring)` where `Score` has
`statistics`. That of `code` only checks targets there: its answers are run in the sandbox. A judge's
has `step(scoring, prediction)`."""

_CORPUS: frozenset[type] = frozenset({BleuScoring})

WORKER_TIME_LIMIT_S = 5.0
"""CPU time for one answer, where the scoring has no limit of its own."""


def score(output: str, target: str, scoring: Scoring, hints: Mapping[str, Any]) -> Score:
    """Score a model's `output` against an item's `target`, at once. `hints` are the item's columns that `scoring.item_columns` names.

    Never raises on any text; a target that `check_target` refuses is never matched.
    """
    return _INLINE[type(scoring)].score(output, target, scoring, hints)


def check_target(target: str, scoring: Scored, hints: Mapping[str, Any]) -> str | None:
    """Why this target cannot be used with this scorer, in one sentence; None where it can."""
    if isinstance(scoring, JudgeScoring):
        return None  # artifacts tries the rubric with every item
    return _INLINE[type(scoring)].check_target(target, scoring, hints)


def worker_scorer(scoring: Scored) -> Any:
    """What a worker process scores with; see `_IN_WORKERS`. Raises ImportError."""
    if isinstance(scoring, InstalledScoring):
        return installed
    return import_module(_IN_WORKERS[type(scoring)])


def time_limit_s(scoring: Scored) -> float:
    """CPU seconds that a worker may take for one answer or target."""
    limit: float = getattr(scoring, "time_limit_s", WORKER_TIME_LIMIT_S)
    return limit


def has_corpus_score(scoring: Scored) -> bool:
    """Whether the main score is computed over all answers together, so that those without text count in it as well."""
    return type(scoring) in _CORPUS


def main_metric(scoring: Scored) -> str:
    """What `overall_score` is by default: `accuracy`, or the name of a score."""
    match scoring:
        case F1Scoring():
            return "f1"
        case RougeScoring(variant=variant):
            return variant
        case BleuScoring():
            return "bleu"
        case JsonScoring():
            return "score"
        case JudgeScoring():
            return scoring.score_name
        case InstalledScoring():
            return scoring.main_metric
    return "accuracy"
