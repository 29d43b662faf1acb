"""Scorers of single answers: a module a family, pure functions, one small registry.

Called once an item, so each is fast, and safe against any text a model may write: what is looked at is bounded, or the work is
linear in it, or runs under a time limit.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from services.scorer.scorers import choice, numeric, pattern, text
from services.scorer.scorers.score import Score
from shared.manifest import (
    ChoiceScoring,
    ContainsScoring,
    ExactMatchScoring,
    F1Scoring,
    NumericScoring,
    RegexScoring,
    Scoring,
)

__all__ = ["Score", "check_target", "main_metric", "needed_hints", "score"]


class _Scorer(NamedTuple):
    score: Callable[[str, str, Any, Mapping[str, Any]], Score]
    check_target: Callable[[str, Any, Mapping[str, Any]], str | None]
    main_metric: str = "accuracy"


_SCORERS: dict[type, _Scorer] = {
    NumericScoring: _Scorer(numeric.score, numeric.check_target),
    ExactMatchScoring: _Scorer(text.exact_match, text.check_exact_match),
    ContainsScoring: _Scorer(text.contains, text.check_contains),
    ChoiceScoring: _Scorer(choice.score, choice.check_target),
    RegexScoring: _Scorer(pattern.score, pattern.check_target),
    F1Scoring: _Scorer(text.f1, text.check_f1, main_metric="f1"),
}


def score(output: str, target: str, scoring: Scoring, hints: Mapping[str, Any]) -> Score:
    """Score a model's `output` against an item's `target`. `hints` are the item's columns that `needed_hints` names.

    Never raises on any text; a target that `check_target` refuses is never matched.
    """
    return _SCORERS[type(scoring)].score(output, target, scoring, hints)


def check_target(target: str, scoring: Scoring, hints: Mapping[str, Any]) -> str | None:
    """Why this target cannot be used with this scorer, in one sentence; None where it can."""
    return _SCORERS[type(scoring)].check_target(target, scoring, hints)


def needed_hints(scoring: Scoring) -> tuple[str, ...]:
    """The item's columns that the scorer needs beside the target."""
    return scoring.item_columns


def main_metric(scoring: Scoring) -> str:
    """What `overall_score` is by default: `accuracy`, or the name of a per-item score."""
    return _SCORERS[type(scoring)].main_metric
