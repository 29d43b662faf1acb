"""The regex scorer. Patterns run under a time limit, since a pattern that backtracks without end is easily written by mistake."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import regex

from services.scorer.scorers.score import Score, compared, golds
from services.scorer.scorers.text import PUNCTUATION
from shared.scoring import RegexScoring

TIMEOUT_S = 0.2
MAX_PATTERN = 10_000
"""Characters: far above any pattern that a person writes."""
_FAILED = (TimeoutError, MemoryError, ValueError)


def score(output: str, target: str, scoring: RegexScoring, hints: Mapping[str, Any]) -> Score:
    """The pattern's match is the prediction and must equal a gold answer; without a pattern the target itself must match.

    Of a pattern with groups the first group that took part counts. With `ignore_case` both sides are shown and compared folded, and without
    what `ignore` and `ignore_punctuation` leave out. A pattern that exceeds `TIMEOUT_S` has found nothing.
    """
    if scoring.pattern is None:
        return _matched(output, target, scoring)
    try:
        wanted = [_normalised(gold, scoring) for gold in golds(target, scoring, hints)]
    except _FAILED:
        return compared(None, target.strip(), False)
    try:
        found = _taken(_match(_compiled(scoring.pattern, scoring.ignore_case), output, scoring.which))
        prediction = None if found is None else _normalised(found, scoring) or None
    except _FAILED:
        prediction = None
    correct = prediction is not None and prediction in wanted
    return compared(prediction, prediction if correct and prediction is not None else wanted[0], correct)


def check_target(target: str, scoring: RegexScoring, hints: Mapping[str, Any]) -> str | None:
    pattern, name = (target, "the target") if scoring.pattern is None else (scoring.pattern, "scoring.pattern")
    try:
        _compiled(pattern, scoring.ignore_case)
        for at, ignored in enumerate(scoring.ignore):
            name = f"scoring.ignore[{at}]"
            _compiled(ignored, False)
    except ValueError as error:
        return f"{name} is not a valid regular expression: {error}"
    if not target.strip():
        return "the target is empty; give the text that the pattern must find"
    try:
        empty = scoring.pattern is not None and not any(
            _normalised(gold, scoring) for gold in golds(target, scoring, hints)
        )
    except TimeoutError:
        return f"scoring.ignore takes more than {TIMEOUT_S:g} s on the target; write patterns that do not backtrack without end"
    if empty:
        return "scoring.ignore and ignore_punctuation leave nothing of the target"
    return None


def _matched(output: str, target: str, scoring: RegexScoring) -> Score:
    wanted = target.strip()
    try:
        match = _match(_compiled(target, scoring.ignore_case), output, "first")
    except _FAILED:
        match = None
    return compared((match[0] or None) if match else None, wanted, bool(wanted) and match is not None)


def _normalised(text: str, scoring: RegexScoring) -> str:
    """What is compared of a text. Raises `TimeoutError` where a pattern takes too long."""
    for ignored in scoring.ignore:
        text = _compiled(ignored, False).sub("", text, timeout=TIMEOUT_S)
    if scoring.ignore_punctuation:
        text = PUNCTUATION.sub("", text)
    return (text.casefold() if scoring.ignore_case else text).strip()


def found(pattern: str, text: str) -> str | None:
    """What the last match of a valid pattern takes: its first group that took part. Raises TimeoutError after `TIMEOUT_S`."""
    return _taken(_match(_compiled(pattern, False), text, "last"))


@lru_cache(maxsize=1024)
def _compiled(pattern: str, ignore_case: bool) -> regex.Pattern[str]:
    """Compile; raises ValueError with the reason where that cannot be done."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it has {len(pattern)} characters, more than {MAX_PATTERN}")
    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except (regex.error, OverflowError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _match(compiled: regex.Pattern[str], output: str, which: str) -> regex.Match[str] | None:
    if which == "first":
        return compiled.search(output, timeout=TIMEOUT_S)
    match = None
    for match in compiled.finditer(output, timeout=TIMEOUT_S):  # noqa: B007 - the last one is what is wanted
        pass
    return match


def _taken(match: regex.Match[str] | None) -> str | None:
    if match is None:
        return None
    text = next((group for group in match.groups() if group is not None), None) if match.re.groups else match[0]
    return (text or "").strip() or None
