"""Which models have used up their quota in a phase, out of MongoDB."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from shared.api import Model, PhaseInfo
from shared.phases import COUNTED_BY, counts, refusal, standing
from shared.storage.mongo import Database


async def used_up(
    database: Database, slug: str, phases: Sequence[PhaseInfo], models: Sequence[Model], now: datetime
) -> dict[str, dict[str, str]]:
    """By phase and model id, why no further evaluation can be started; those that have some left are not in it."""
    limited = [phase for phase in phases if phase.max_submissions or phase.max_submissions_per_day]
    found: dict[str, dict[str, str]] = {}
    for phase in limited:
        asked_at: dict[str, list[datetime]] = defaultdict(list)
        query = {"slug": slug, "phase": phase.name}
        async for row in database["evaluations"].find(query, {**COUNTED_BY, "model": 1}):
            if counts(row):
                asked_at[row["model"]].append(row["created_at"])
        told = {model.id: refusal(phase, standing(phase, asked_at[model.id], now), model.name) for model in models}
        found[phase.name] = {model_id: reason for model_id, reason in told.items() if reason}
    return found
