r"""The math scorer: `math_verify` (Hugging Face), which takes an expression from an answer and compares it by SymPy.

It looks for LaTeX (between `$`, `\(`, `\[`, or in `\boxed{}`) and plain numbers and sums; what follows 'final answer is' comes first, then
what is boxed, then what follows 'answer', then the last one. Equal are numbers to six digits after the point, and what SymPy shows to
be the same: fractions, roots, sets, intervals, matrices, equations. For worker processes: an expression such as `10^{10^{10}}` never ends.
"""

import re
from collections.abc import Mapping
from typing import Any

from math_verify import parse, verify

from services.scorer.scorers.score import Score
from shared.scoring import MathScoring

MAX_LOOKED = 20_000
"""Characters, from the end of an answer: the patterns that find LaTeX take more than linear time."""

_WORDS = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{4,}")
"""Neither LaTeX's commands nor what stands in braces, such as `\text{even}`."""

_MARKS = ("$", r"\(", r"\[", r"\boxed")


def score(output: str, target: str, scoring: MathScoring, hints: Mapping[str, Any]) -> Score:
    """`prediction` and `target` are the expressions as they were written."""
    wanted, found = _target(target), _parsed(output[-MAX_LOOKED:])
    correct = bool(wanted and found) and verify(wanted, found, timeout_seconds=None)
    return Score(_written(found), _written(wanted) or target.strip(), correct, {})


def check_target(target: str, scoring: MathScoring, hints: Mapping[str, Any]) -> str | None:
    if not any(mark in target for mark in _MARKS) and (words := _WORDS.findall(target)):
        return f"the target reads as words ({', '.join(words[:3])}), which would be taken as products of variables; for texts take exact_match"
    if any(not isinstance(each, str) for each in _target(target)):
        return None
    return (
        r"the target holds no expression that can be read; write one such as 18, 3/4, \frac{3}{4}, $x^2 + 1$ or a worked"
        r" answer that ends in \boxed{18}"
    )


def _target(target: str) -> list[Any]:
    """A target is LaTeX, marked as such or not."""
    if not any(mark in target for mark in _MARKS) and (found := _parsed(f"${target.strip()}$")):
        return found
    return _parsed(target)


def _parsed(text: str) -> list[Any]:
    """SymPy's expression where there is one, and the text that it was made from; nothing where none can be found."""
    found: list[Any] = parse(text, parsing_timeout=None)
    return found


def _written(parsed: list[Any]) -> str | None:
    return next((each.strip() for each in parsed if isinstance(each, str) and each.strip()), None)
