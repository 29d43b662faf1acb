"""What a judge's answer says: a number of the rubric's scale, or which of two answers is better."""

import math
from collections.abc import Sequence

from services.scorer.scorers.pattern import found
from shared.contracts import Verdict
from shared.errors import AssayError
from shared.scoring import JudgeScoring

_SIDES = {"a": 1.0, "b": 0.0, "tie": 0.5}

SHOWN = 30
"""Characters of a wrong verdict that are quoted."""


class Unread(AssayError):
    """No verdict can be taken from what the judge said; the message says why."""


def read(output: str, scoring: JudgeScoring, *, swapped: bool) -> float:
    """The verdict in 0..1, 1 being the best for the evaluated model; `swapped` where its answer was put second. Raises `Unread`."""
    if not output.strip():
        raise Unread("the judge gave an empty answer")
    try:
        text = found(scoring.pattern, output)
    except TimeoutError:
        raise Unread("the search for the judge's verdict took too long") from None
    if text is None:
        raise Unread("the judge's answer has no verdict that scoring.pattern finds")
    if scoring.pairwise is not None:
        side = _SIDES.get(text.casefold())
        if side is None:
            raise Unread(f"the judge's verdict is {_quoted(text)}, which is not A, B or tie")
        return 1 - side if swapped else side
    return _scaled(text, scoring.scale)


def _scaled(text: str, scale: tuple[float, float]) -> float:
    low, high = scale
    try:
        number = float(text)
    except ValueError:
        raise Unread(f"the judge's verdict is {_quoted(text)}, which is not a number") from None
    if not (math.isfinite(number) and low <= number <= high):
        raise Unread(f"the judge's verdict is {_quoted(text)}, which is not in the scale from {low:g} to {high:g}")
    return (number - low) / (high - low)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def agreed(verdicts: Sequence[Verdict]) -> float:
    """One score out of the verdicts on an answer, all of them read.

    In both orders a win is one that the judge gives in both, a loss too, and everything else is a tie: so a judge that prefers whatever
    stands first decides nothing (Zheng et al. 2023, 'Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena', arXiv:2306.05685, section 3.4).
    """
    scores = {verdict.score or 0.0 for verdict in verdicts}
    return scores.pop() if len(scores) == 1 else 0.5
