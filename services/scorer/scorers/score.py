"""What a scorer says about one answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.scoring import WithReferences

MAX_PREDICTION = 10_000
"""Characters of a wrong prediction that are kept: the raw output is stored beside it, a second megabyte helps nobody."""


class Score(NamedTuple):
    """The comparison of one answer with its target.

    `prediction` and `target` are the texts that were compared, as extracted and normalised; `prediction` is None where nothing
    could be taken from the answer. `correct` is None where nothing is claimed: a program scores, and the item has no target. `scores`
    holds what is more than right or wrong (`f1`), each in 0..1, and is empty otherwise.
    `detail` says, where that is not plain to see, how the score came about. `statistics` are whole numbers whose sums over all answers give a
    score that is no mean of scores (corpus BLEU).
    """

    prediction: str | None
    target: str
    correct: bool | None
    scores: dict[str, float]
    detail: str | None = None
    statistics: list[int] | None = None


def wrong(target: str, detail: str | None = None) -> Score:
    """Nothing could be taken from the answer, or it was not even looked at."""
    return Score(None, target, False, {}, detail)


def compared(prediction: str | None, target: str, correct: bool) -> Score:
    """A plain right-or-wrong score; a wrong prediction beyond `MAX_PREDICTION` characters is cut and ends in an ellipsis."""
    return Score(prediction if correct else clip(prediction), target, correct, {})


def clip(prediction: str | None) -> str | None:
    if prediction is not None and len(prediction) > MAX_PREDICTION:
        return prediction[:MAX_PREDICTION] + "…"
    return prediction


def golds(target: str, scoring: WithReferences, hints: Mapping[str, Any]) -> list[str]:
    """All gold answers of an item: its target first, then its references."""
    references = None if scoring.references is None else hints.get(scoring.references)
    return [target, *(one for one in references or () if isinstance(one, str))]
