"""Putting evaluations on a leaderboard by hand, and taking them off, where its `submission_rule` asks for that.

On it stands of each model the one with the newest `listed_at`, so that one write puts an evaluation there whatever happens next.
"""

from typing import Any

from pymongo import DESCENDING, ReturnDocument

from services.orchestrator.creation import find_evaluation
from services.orchestrator.state import now
from shared.contracts import Status
from shared.errors import Conflict
from shared.manifest import BY_HAND, Manifest
from shared.storage.mongo import Database, Document


async def put_on(database: Database, evaluation_id: str) -> Document:
    """Raises `NotFound`, or `Conflict` that says why it cannot stand there."""
    evaluation, rule, items = await _find(database, evaluation_id)
    number, where = evaluation["number"], f"the leaderboard of {evaluation['slug']}"
    if rule not in BY_HAND:
        raise Conflict(f"nothing is put on {where} by hand: its submission_rule is {rule}")
    if evaluation["limit"] is not None and evaluation["limit"] < items:
        raise Conflict(
            f"evaluation #{number} ran on {evaluation['limit']} of the {items} items of phase {evaluation['phase']}; "
            f"only one of the whole phase can stand on {where}"
        )
    changed = await database["evaluations"].find_one_and_update(
        {"_id": evaluation_id, "status": Status.COMPLETED},
        {"$set": {"listed_at": now()}},
        return_document=ReturnDocument.AFTER,
    )
    if changed is None:
        raise Conflict(f"evaluation #{number} is {evaluation['status']}; only a completed one can stand on {where}")
    # Of several at once it need not be the newest that comes last, but whoever comes last sees which is.
    listed = {**_of_model(evaluation), "listed_at": {"$ne": None}}
    newest = await database["evaluations"].find_one(listed, {"listed_at": 1}, sort=[("listed_at", DESCENDING)])
    if newest is not None:
        older = {**_of_model(evaluation), "listed_at": {"$lt": newest["listed_at"]}}
        await database["evaluations"].update_many(older, {"$set": {"listed_at": None}})
    return changed


async def take_off(database: Database, evaluation_id: str) -> Document:
    """Raises `NotFound`, or `Conflict` where it does not stand there or has to stay."""
    evaluation, rule, _ = await _find(database, evaluation_id)
    number, where = evaluation["number"], f"the leaderboard of {evaluation['slug']}"
    if rule != "add_and_delete":
        raise Conflict(f"nothing is taken off {where}: its submission_rule is {rule}")
    if evaluation.get("listed_at") is None:
        raise Conflict(f"evaluation #{number} is not on {where}")
    # Of two that were put there in the same moment the other one must not come to light.
    await database["evaluations"].update_many(_of_model(evaluation), {"$set": {"listed_at": None}})
    return {**evaluation, "listed_at": None}


async def _find(database: Database, evaluation_id: str) -> tuple[Document, str, int]:
    """The evaluation, the rule of its environment's leaderboard, and how many items its phase has."""
    evaluation = await find_evaluation(database, evaluation_id)
    environment = await database["environments"].find_one(
        {"_id": evaluation["environment"]}, {"manifest": 1, "phases": 1}
    )
    assert environment is not None
    items = next(phase["items"] for phase in environment["phases"] if phase["name"] == evaluation["phase"])
    return evaluation, Manifest.model_validate(environment["manifest"]).leaderboard.submission_rule, items


def _of_model(evaluation: Document) -> dict[str, Any]:
    return {"slug": evaluation["slug"], "phase": evaluation["phase"], "model": evaluation["model"]}
