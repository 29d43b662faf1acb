"""The score breakdown of an evaluation: the panel that takes the log's place once there are metrics."""

from typing import Any

from gateway.parts import Parts
from shared.api import Evaluation


async def breakdown(parts: Parts, evaluation: Evaluation) -> dict[str, Any]:
    """What `evaluation_scores.html` draws, as `breakdown`; `evaluation.metrics` are there."""
    return {}
