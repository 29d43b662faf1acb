"""A judge's rubric is tried at upload with every item, so that none is judged by one that cannot be rendered."""

from collections.abc import Mapping
from typing import Any

from services.artifacts.manifests import MANIFEST
from services.artifacts.problems import Problems
from shared import rubrics
from shared.rendering import TemplateError, Templates
from shared.scoring import JudgeScoring

STAND_IN = "An answer."


class Rubric:
    """The rubric of a manifest. What is wrong with it is noted once."""

    def __init__(self, scoring: JudgeScoring, problems: Problems) -> None:
        self._scoring = scoring
        self._problems = problems
        self._templates: Templates | None = None
        try:
            self._templates = rubrics.templates(scoring)
        except TemplateError as error:
            problems.add([MANIFEST, *error.loc], error.msg)

    def check(self, hints: Mapping[str, Any], target: str, item: str) -> None:
        """Render it for an item with a stand-in for the answer; `item` says in words which one it is."""
        if self._templates is None:
            return
        for swapped in (False, True) if self._scoring.pairwise and self._scoring.pairwise.swap else (False,):
            values = rubrics.seen(self._scoring, hints, target, STAND_IN, swapped=swapped)
            try:
                self._templates.render(values, sorted(values))
            except TemplateError as error:
                self._templates = None
                more = "; scoring.columns names further ones" if "the columns are" in error.msg else ""
                self._problems.add([MANIFEST, *error.loc], f"{error.msg}{more} (with {item})")
                return
