"""The regex scorer. Patterns run under a time limit, since a pattern that backtracks without end is easily written by mistake."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import regex

from services.scorer.scorers.score import Score, compared
from shared.manifest import RegexScoring

TIMEOUT_S = 0.2
MAX_PATTERN = 10_000
"""Characters: far above any pattern that a person writes."""


def score(output: str, target: str, scoring: RegexScoring, hints: Mapping[str, Any]) -> Score:
    """The pattern's match is the prediction and must equal the target; without a pattern the target itself must match.

    Of a pattern with groups the first group that took part counts. With `ignore_case` both sides are shown and compared folded.
    A pattern that exceeds `TIMEOUT_S` has found nothing.
    """
    wanted = target.strip()
    try:
        compiled = _compiled(scoring.pattern if scoring.pattern is not None else target, scoring.ignore_case)
        match = _match(compiled, output, scoring.which if scoring.pattern is not None else "first")
    except (TimeoutError, MemoryError, ValueError):
        match = None
    if scoring.pattern is None:
        matched = bool(wanted) and match is not None
        return compared((match[0] or None) if match else None, wanted, matched)
    found = _taken(match)
    if scoring.ignore_case:
        found, wanted = found and found.casefold(), wanted.casefold()
    return compared(found, wanted, found is not None and found == wanted)


def check_target(target: str, scoring: RegexScoring, hints: Mapping[str, Any]) -> str | None:
    pattern, name = (target, "the target") if scoring.pattern is None else (scoring.pattern, "scoring.pattern")
    try:
        _compiled(pattern, scoring.ignore_case)
    except ValueError as error:
        return f"{name} is not a valid regular expression: {error}"
    if not target.strip():
        return "the target is empty; give the text that the pattern must find"
    return None


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
