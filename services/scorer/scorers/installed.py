"""Scorers that other packages bring: methods of their options, see docs/scorers.md. For worker processes."""

from collections.abc import Mapping
from typing import Any, Protocol

from services.scorer.scorers.score import Score


class Installed(Protocol):
    """An `InstalledScoring`, as the scorer uses it; `check_target` may be missing."""

    def score(self, output: str, target: str, hints: Mapping[str, Any]) -> Score: ...

    def check_target(self, target: str, hints: Mapping[str, Any]) -> str | None: ...


def score(output: str, target: str, scoring: Installed, hints: Mapping[str, Any]) -> Score:
    return scoring.score(output, target, hints)


def check_target(target: str, scoring: Installed, hints: Mapping[str, Any]) -> str | None:
    return scoring.check_target(target, hints) if hasattr(scoring, "check_target") else None
