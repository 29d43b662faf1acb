"""What the Evaluate page estimates from: how long the items are, and what earlier evaluations of the environment took.

The numbers go to the page, which estimates anew with each choice (`static/estimate.js`).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from shared.api import EnvironmentDetail
from shared.contracts import Status
from shared.storage.mongo import Database, Document

MEASURED_ITEMS = 200
"""The first ones of a phase, whose length stands for the others'."""

EARLIER_EVALUATIONS = 200

_FIELDS = (
    "number", "model", "model_name", "judge", "phase",
    "metrics.called", "metrics.tokens", "metrics.latency_ms.mean", "metrics.judge.asked", "metrics.judge.tokens",
)  # fmt: skip


async def basis(database: Database, environment: EnvironmentDetail) -> dict[str, Any]:
    """`phases` (`items`, `characters` of a prompt on average), `questions` to a judge, its name (`judge`), `max_tokens` and `earlier`, as
    `estimate.js` takes them."""
    version = f"{environment.slug}@{environment.version}"
    lengths = await asyncio.gather(*(prompt_length(database, version, phase.name) for phase in environment.phases))
    found = database["evaluations"].find(
        {"slug": environment.slug, "status": Status.COMPLETED}, dict.fromkeys(_FIELDS, 1)
    )
    rows = await found.sort("number", -1).limit(EARLIER_EVALUATIONS).to_list(EARLIER_EVALUATIONS)
    return {
        "phases": {
            phase.name: {"items": phase.items, "characters": length}
            for phase, length in zip(environment.phases, lengths, strict=True)
        },
        "measured": MEASURED_ITEMS,
        "questions": questions(environment.scoring),
        "judge": environment.scoring.get("model"),
        "max_tokens": environment.generation.get("max_tokens"),
        "earlier": earlier(rows),
    }


def questions(scoring: dict[str, Any]) -> int:
    """How often a judge is asked about an answer, at most."""
    if scoring["scorer"] != "judge":
        return 0
    return 2 if (scoring.get("pairwise") or {}).get("swap") else 1


async def prompt_length(database: Database, version: str, phase: str) -> float | None:
    """Characters of an item's messages, on average over the phase's first items; None where it has none."""
    contents = {"$map": {"input": "$messages", "in": {"$strLenCP": "$$this.content"}}}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"environment": version, "phase": phase, "index": {"$lt": MEASURED_ITEMS}}},
        {"$group": {"_id": None, "characters": {"$avg": {"$sum": contents}}}},
    ]
    rows = await database["items"].aggregate(pipeline).to_list(1)
    return rows[0]["characters"] if rows else None


def earlier(rows: Iterable[Document]) -> list[dict[str, Any]]:
    """The newest measured evaluation of each model and phase, out of evaluations newest first.

    Tokens are means of the calls whose endpoint counted them, `judge` those of the questions to it; `latency_ms` is the mean of all. None where
    nothing was measured.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        metrics = row.get("metrics") or {}
        if not metrics.get("called") or (row["model"], row["phase"]) in found:
            continue
        judged = metrics.get("judge")
        found[row["model"], row["phase"]] = {
            "number": row["number"],
            "model": row["model"],
            "name": row["model_name"],
            "phase": row["phase"],
            "tokens": _tokens_of_a_call(metrics.get("tokens") or {}, metrics["called"]),
            "judge": row["judge"] if judged else None,
            "judge_tokens": _tokens_of_a_call(judged["tokens"], judged["asked"]) if judged else None,
            "latency_ms": (metrics.get("latency_ms") or {}).get("mean"),
        }
    return list(found.values())


def _tokens_of_a_call(tokens: Document, calls: int) -> dict[str, float] | None:
    """None where nothing was counted; every prompt has tokens, so without any an endpoint gave totals alone."""
    counted = calls - tokens.get("unreported", 0)
    if counted <= 0 or not tokens.get("prompt"):
        return None
    return {part: tokens[part] / counted for part in ("prompt", "completion")}
