"""How evaluations come to be, and go on by a redrive."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError

from services.orchestrator import quotas
from services.orchestrator.idempotency import derived_id
from services.orchestrator.models import settings_of
from services.orchestrator.state import empty_progress, now, status_event
from services.orchestrator.store import LONG_AGO
from shared.api import EvaluationCreate
from shared.contracts import Status
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.faults import kill_point
from shared.manifest import Manifest, Phase
from shared.phases import in_utc
from shared.scoring import JudgeScoring, ProgramScoring, Scoring
from shared.storage.mongo import DUPLICATE_KEY, Database, Document


async def create_evaluations(database: Database, request: EvaluationCreate, key: str | None) -> list[Document]:
    """One queued evaluation a model, all checked before the first is written. With the same `key` they are the same ones."""
    environment = await find_environment(database, request.environment)
    manifest = Manifest.model_validate(environment["manifest"])
    phase = _phase(manifest, request.phase)
    models = await _models(database, request.models)
    judge = await _judge(database, manifest.scoring, request.judge)
    seed = key or uuid4().hex
    group = derived_id("g", seed)
    present = [row async for row in database["evaluations"].find({"group": group}).sort("number", 1)]
    if len(present) == len(models):
        return present
    created_at = now()
    ids = [derived_id("e", seed, position) for position in range(len(models))]
    await _reserve(database, environment["slug"], phase, models, ids, created_at)
    items = next(entry["items"] for entry in environment["phases"] if entry["name"] == phase.name)
    count = min(items, request.limit) if request.limit else items
    params = {
        **manifest.generation.model_dump(mode="json", exclude_none=True),
        **request.params.model_dump(mode="json", exclude_none=True),
    }
    claims = await _claims(database, environment["_id"], phase.name, manifest.scoring)
    first = await _numbers(database, len(models))
    documents: list[Document] = []
    for position, model in enumerate(models):
        document: Document = {
            "_id": ids[position],
            "number": first + position,
            "group": group,
            "status": Status.QUEUED.value,
            "error": None,
            "model": model["_id"],
            "model_name": model["name"],
            "model_settings": settings_of(model),
            "model_settings_version": model.get("settings_version", 1),
            "judge": judge["_id"] if judge else None,
            "judge_name": judge["name"] if judge else None,
            "judge_settings": settings_of(judge) if judge else None,
            "judge_settings_version": judge.get("settings_version", 1) if judge else None,
            "environment": environment["_id"],
            "slug": environment["slug"],
            "version": environment["version"],
            "environment_title": environment["title"],
            "phase": phase.name,
            "execution_time_limit_s": phase.execution_time_limit_s,
            "hide_targets": phase.hide_targets,
            "items": count,
            "params": params,
            "limit": request.limit,
            "samples_per_item": request.samples_per_item,
            "priority": request.priority,
            "unreachable_wait_s": request.unreachable_wait_s,
            "scoring": manifest.scoring.model_dump(mode="json"),
            "round": 0,
            "created_at": created_at,
            "started_at": None,
            "finished_at": None,
            "progress": empty_progress(count * request.samples_per_item, claims=claims),
            "metrics": None,
            "files": [],
            "listed_at": None,
            "cancel_requested": False,
            "open": True,
            "owner": None,
            "lease_until": LONG_AGO,
            "epoch": 0,
            "archived_to": None,
        }
        total = count * request.samples_per_item
        queued = status_event(document, Status.QUEUED, {"phase": phase.name, "total": total})
        documents.append({**document, "outbox": [queued.model_dump(mode="json")]})
    try:
        await database["evaluations"].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        # A repeat after a crash in the middle: those that were there keep their numbers.
        if any(entry["code"] != DUPLICATE_KEY for entry in error.details["writeErrors"]):
            raise
    kill_point("orchestrator.created")
    return [row async for row in database["evaluations"].find({"group": group}).sort("number", 1)]


async def redrive(database: Database, evaluation_id: str) -> Document:
    """Open the next round for what ended in `infra_error`; what is served stays until the new results are verified."""
    document = await find_evaluation(database, evaluation_id)
    if document["status"] == Status.COMPLETED and document["open"]:
        raise Conflict(f"evaluation #{document['number']} is still being closed; ask again in a moment")
    if document["status"] != Status.COMPLETED:
        raise Conflict(
            f"evaluation #{document['number']} is {document['status']}; only a completed one can be redriven"
        )
    if not document["progress"]["infra_error"]:
        raise Conflict(f"evaluation #{document['number']} has no infra_error to call again")
    await _refuse_other_engine(database, document)
    following = {**document, "round": document["round"] + 1}
    event = status_event(following, Status.RUNNING, {"total": document["progress"]["total"]})
    progress = {**document["progress"], "infra_error": 0}
    progress["done"] -= document["progress"]["infra_error"]
    changed = await database["evaluations"].find_one_and_update(
        {"_id": document["_id"], "status": Status.COMPLETED, "round": document["round"], "open": False},
        {
            "$set": {
                "status": Status.RUNNING,
                "round": following["round"],
                "open": True,
                "lease_until": LONG_AGO,
                "redriven_at": now(),
                "remaining": None,
                "finished_at": None,
                "cancel_requested": False,
                "scored_announced": False,
                "progress": progress,
                "outbox": [event.model_dump(mode="json")],
            }
        },
        return_document=ReturnDocument.AFTER,
    )
    if changed is None:
        raise Conflict(f"evaluation #{document['number']} was just redriven")
    kill_point("orchestrator.redriven")
    return changed


async def _refuse_other_engine(database: Database, evaluation: Document) -> None:
    """What is called again must be what was called: an engine that would load something else now answers for another model."""
    for who in ("model", "judge"):
        kept = evaluation.get(f"{who}_settings") or {}
        model = await database["models"].find_one({"_id": evaluation.get(who)}) if kept.get("engine") else None
        if model and (model["engine"], model["model"]) != (kept["engine"], kept["model"]):
            raise Conflict(
                f"the engine of {who} {model['name']} has other settings than when evaluation "
                f"#{evaluation['number']} was started; start a new evaluation"
            )


async def request_cancel(database: Database, evaluation_id: str) -> Document:
    """Ask its owner to cancel; a final one is a conflict, a cancelled one is not."""
    document = await database["evaluations"].find_one_and_update(
        {"_id": evaluation_id, "status": {"$in": [Status.QUEUED, Status.RUNNING, Status.SCORING]}},
        {"$set": {"cancel_requested": True}},
        return_document=ReturnDocument.AFTER,
    )
    if document is None:
        document = await find_evaluation(database, evaluation_id)
        if document["status"] != Status.CANCELLED:
            raise Conflict(f"evaluation #{document['number']} is {document['status']} already")
    return document


async def find_evaluation(database: Database, evaluation_id: str) -> Document:
    document = await database["evaluations"].find_one({"_id": evaluation_id})
    if document is None:
        raise NotFound(f"there is no evaluation {evaluation_id}")
    return document


async def find_environment(database: Database, reference: str) -> Document:
    """By slug (the latest version) or `slug@version`."""
    slug, _, version = reference.partition("@")
    query: dict[str, Any] = {"slug": slug, "version": version} if version else {"slug": slug}
    document = await database["environments"].find_one(query, sort=[("created_at", -1)])
    if document is None:
        raise _unknown(["environment"], f"there is no environment {reference}; push one first")
    return document


def _phase(manifest: Manifest, name: str | None) -> Phase:
    """The phase asked for, by default the first; refused while it is not open."""
    names = [phase.name for phase in manifest.phases]
    phase = manifest.phase(name if name is not None else names[0])
    if phase is None:
        raise _unknown(["phase"], f"there is no phase {name}; there are {', '.join(names)}")
    if phase.start and now() < phase.start:
        raise Conflict(f"phase {phase.name} opens at {in_utc(phase.start)}")
    if phase.end and now() >= phase.end:
        raise Conflict(f"phase {phase.name} closed at {in_utc(phase.end)}")
    return phase


async def _models(database: Database, ids: list[str]) -> list[Document]:
    known = {row["_id"]: row async for row in database["models"].find({"_id": {"$in": ids}})}
    unknown: list[FieldError] = [
        {"loc": ["models", position], "msg": f"there is no model {model_id}"}
        for position, model_id in enumerate(ids)
        if model_id not in known
    ]
    if unknown:
        raise NotFound("; ".join(error["msg"] for error in unknown), unknown)
    withdrawn: list[FieldError] = [
        {"loc": ["models", position], "msg": _not_offered(known[model_id])}
        for position, model_id in enumerate(ids)
        if known[model_id].get("withdrawn_at")
    ]
    if withdrawn:
        raise Conflict("; ".join(error["msg"] for error in withdrawn), withdrawn)
    twice: list[FieldError] = [
        {"loc": ["models", position], "msg": f"{model_id} is there twice"}
        for position, model_id in enumerate(ids)
        if ids.index(model_id) < position
    ]
    if twice:
        raise Invalid("; ".join(error["msg"] for error in twice), twice)
    return [known[model_id] for model_id in ids]


async def _judge(database: Database, scoring: Scoring, model_id: str | None) -> Document | None:
    """The model that judges: the one asked for, else the one whose name the manifest gives; None where the scoring asks no judge."""
    if not isinstance(scoring, JudgeScoring):
        if model_id is not None:
            message = f"the environment's scorer is {scoring.scorer}, which asks no judge; leave judge out"
            raise Invalid(message, [{"loc": ["judge"], "msg": message}])
        return None
    if model_id is not None:
        if judge := await database["models"].find_one({"_id": model_id}):
            if judge.get("withdrawn_at"):
                raise Conflict(_not_offered(judge), [{"loc": ["judge"], "msg": _not_offered(judge)}])
            return judge
        raise _unknown(["judge"], f"there is no model {model_id} to judge")
    if scoring.model is None:
        message = "the environment's answers are judged by another model: choose one as judge, by its id"
        raise Invalid(message, [{"loc": ["judge"], "msg": message}])
    named = {"name": scoring.model, "withdrawn_at": None}
    if judge := await database["models"].find_one(named, sort=[("created_at", -1)]):
        return judge
    advice = "register one of that name, or give the id of another as judge"
    raise _unknown(
        ["judge"], f"there is no model named {scoring.model}, which the environment wants as its judge; {advice}"
    )


async def _claims(database: Database, environment: str, phase: str, scoring: Scoring) -> bool:
    """Whether an answer is correct or wrong by itself. Where a program alone scores, only what has a target is; the first item stands for all."""
    if not isinstance(scoring, ProgramScoring) or scoring.item_scorer is not None:
        return True
    item = await database["items"].find_one({"environment": environment, "phase": phase, "index": 0}, {"target": 1})
    return bool(item and item["target"])


def _not_offered(model: Document) -> str:
    return f"model {model['name']} was withdrawn from the platform; choose another, or have an admin publish it again"


async def _reserve(
    database: Database, slug: str, phase: Phase, models: list[Document], ids: list[str], created_at: datetime
) -> None:
    """A place in the phase's quota for each model, or for none."""
    for position, (model, evaluation_id) in enumerate(zip(models, ids, strict=True)):
        try:
            await quotas.reserve(database, slug, phase, model, evaluation_id, created_at)
        except Conflict:
            for earlier, its_id in zip(models[:position], ids, strict=False):
                await quotas.release(database, slug, phase, earlier, its_id)
            raise


async def _numbers(database: Database, count: int) -> int:
    """The first of `count` numbers in a row."""
    counter = await database["counters"].find_one_and_update(
        {"_id": "evaluations"}, {"$inc": {"last": count}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    assert counter is not None
    return int(counter["last"]) - count + 1


def _unknown(loc: list[str | int], message: str) -> NotFound:
    return NotFound(message, [{"loc": loc, "msg": message}])
