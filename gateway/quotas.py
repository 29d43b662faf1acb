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
    query = {"slug": slug, "phase": {"$in": [phase.name for phase in limited]}}
    asked_at: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    cursor = database["evaluations"].find(query, {**COUNTED_BY, "phase": 1, "model": 1})
    for row in await cursor.to_list(None) if limited else ():
        if counts(row):
            asked_at[row["phase"], row["model"]].append(row["created_at"])
    found: dict[str, dict[str, str]] = {}
    for phase in limited:
        times = ((model, asked_at.get((phase.name, model.id), ())) for model in models)
        told = {model.id: refusal(phase, standing(phase, asked, now), model.name) for model, asked in times}
        found[phase.name] = {model_id: reason for model_id, reason in told.items() if reason}
    return found
