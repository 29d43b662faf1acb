"""A judge's rubric as templates and what they see: rendered with a stand-in for the answer at upload, and with the answer when it is there."""

from collections.abc import Mapping
from typing import Any

from shared.rendering import Source, Templates
from shared.scoring import JudgeScoring

RENDER_S = 2.0
"""CPU time for one question."""
MAX_BYTES = 8 * 1024**2
"""UTF-8 bytes of one question: an answer has at most 4 MiB."""


def templates(scoring: JudgeScoring) -> Templates:
    """The judge's messages. Raises `TemplateError` on a syntax error."""
    system = [Source(["scoring", "system"], "system", scoring.system)] if scoring.system else []
    rubric = Source(["scoring", "rubric"], "user", scoring.rubric)
    return Templates([*system, rubric], time_limit_s=RENDER_S, max_bytes=MAX_BYTES)


def seen(
    scoring: JudgeScoring, hints: Mapping[str, Any], target: str, output: str, *, swapped: bool = False
) -> dict[str, Any]:
    """What a rubric sees, by name. `hints` are the item's columns that the scoring names, and its `input`.

    Pairwise the answer is `output_a` and the one that the item has `output_b`; `swapped`, the other way round.
    """
    named = {"target": target, **hints}
    if scoring.pairwise is None:
        return {**named, "output": output}
    pair = [output, hints[scoring.pairwise.against]]
    first, second = reversed(pair) if swapped else pair
    return {**named, "output_a": first, "output_b": second}
