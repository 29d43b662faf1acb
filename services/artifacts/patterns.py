"""Regular expressions in a manifest, compiled once at upload, so that a wrong one is named where it stands."""

import regex

from services.artifacts.manifests import MANIFEST
from services.artifacts.problems import Problems
from shared.manifest import Manifest
from shared.scoring import JudgeScoring, ProgramScoring, RegexScoring, Scored


def check_patterns(manifest: Manifest, problems: Problems) -> None:
    """What is wrong is added to `problems`."""
    scoring: Scored | None = manifest.scoring
    loc: list[str | int] = [MANIFEST, "scoring"]
    if isinstance(scoring, ProgramScoring):
        scoring, loc = scoring.item_scorer, [*loc, "item_scorer"]
    match scoring:
        case RegexScoring(pattern=pattern, ignore=ignored):
            if pattern is not None:
                _check(pattern, [*loc, "pattern"], problems)
            for place, text in enumerate(ignored):
                _check(text, [*loc, "ignore", place], problems)
        case JudgeScoring(pattern=pattern):
            found = _check(pattern, [*loc, "pattern"], problems)
            if found is not None and not found.groups:
                problems.add([*loc, "pattern"], "has no group; put what matches the verdict in parentheses")


def _check(text: str, loc: list[str | int], problems: Problems) -> "regex.Pattern[str] | None":
    try:
        return regex.compile(text)
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        problems.add(loc, f"is not a valid regular expression: {error}")
        return None
