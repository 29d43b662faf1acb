"""Whether targets can be used with a scorer: asked before a bundle is registered."""

from typing import Any

from pydantic import TypeAdapter

from services.scorer.scorers import check_target
from shared.manifest import Scoring

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)


async def check_targets(body: dict[str, Any]) -> list[str | None]:
    """Command `scorer.targets.check` {scoring, items: [{target, hints}]}: why each cannot be used, or null."""
    scoring: Scoring = _SCORING.validate_python(body["scoring"])
    return [check_target(item["target"], scoring, item["hints"]) for item in body["items"]]
