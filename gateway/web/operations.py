"""`/operations`: what is under way and what is wrong, as it stands; `static/operations.js` keeps it so from the feed of all events."""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import orjson
from fastapi import APIRouter, Request
from pymongo.errors import PyMongoError
from starlette.responses import Response

from gateway.api.evaluations import list_evaluations
from gateway.api.health import part_states
from gateway.api.models import list_models
from gateway.api.parked import list_parked
from gateway.auth import Role, current_role
from gateway.entry import Entry
from gateway.parts import PartsOf
from gateway.problems import from_exception
from gateway.web.render import page, seconds
from shared.api import Evaluation, Model, Page, Parked
from shared.contracts import ACTIVE, ModelStatus, Status
from shared.errors import Problem
from shared.storage.objects import ObjectStoreError

router = APIRouter(include_in_schema=False)

T = TypeVar("T")

ACTIVE_ROWS = 25
"""Evaluations under way that are listed; all of them are counted."""

MODELS = 200
MODEL_ROWS = 20
"""Of the newest models, those that are listed: those with calls in flight first."""

RECENT = 50
"""The newest evaluations, among which failures are looked for."""

EVENTS = 40
HISTORY_S = 120
HISTORY_EVENTS = 2000
"""The script begins with the events of the last two minutes, but no more than so many, for its curve and its list."""

SERVICES_S = 1.5
"""How long the page waits for the parts to answer; the script asks again at its leisure."""


@dataclass(frozen=True)
class Read(Generic[T]):
    """What was read, or why it could not be: the page about what is wrong must stand when something is."""

    value: T | None = None
    problem: str = ""


async def tried(reading: Awaitable[T]) -> Read[T]:
    try:
        return Read(await reading)
    except TimeoutError:
        return Read(problem="no answer yet")
    except (Problem, ObjectStoreError, PyMongoError) as error:
        return Read(problem=from_exception(error).detail)


@router.get("/operations")
async def show_operations(request: Request, parts: PartsOf) -> Response:
    sees_parked = current_role(request) >= Role.RUNNER
    active, recent, models, states, parked = await asyncio.gather(
        tried(list_evaluations(parts, status=list(ACTIVE), limit=1000)),
        tried(list_evaluations(parts, limit=RECENT)),
        tried(list_models(parts, limit=MODELS)),
        tried(asyncio.wait_for(part_states(parts), SERVICES_S)),
        tried(list_parked(parts)) if sees_parked else nothing(),
    )
    newest = parts.feed.recent.newest(HISTORY_EVENTS)
    return page(
        request,
        "operations.html",
        now=datetime.now(UTC),
        active=Read(in_order(active.value.items) if active.value else None, active.problem),
        waiting=waiting_in(active.value.items) if active.value else None,
        active_rows=ACTIVE_ROWS,
        failures=Read(failures_in(recent.value.items) if recent.value else None, recent.problem),
        recent=RECENT,
        models=Read(busy_first(models.value.items) if models.value else None, models.problem),
        model_rows=MODEL_ROWS,
        in_flight=in_flight(models.value.items) if models.value else None,
        engines=engines_up(models.value.items) if models.value else [],
        engines_at_once=parts.settings.engines_at_once,
        states=states,
        parked=parked,
        sees_parked=sees_parked,
        said=said,
        events=[orjson.loads(entry.text) for entry in reversed(newest[-EVENTS:])],
        given={
            "after": cursor_before(newest, datetime.now(UTC) - timedelta(seconds=HISTORY_S), parts.feed.last),
            "now": datetime.now(UTC).timestamp() * 1000,
            "history_s": HISTORY_S,
            "active_rows": ACTIVE_ROWS,
            "models": MODELS,
            "model_rows": MODEL_ROWS,
            "recent": RECENT,
            "events": EVENTS,
            "sees_parked": sees_parked,
        },
    )


async def nothing() -> Read[Page[Parked]]:
    return Read()


def said(event: dict[str, Any]) -> str:
    """What an event says to a person."""
    data = event["data"]
    if event["type"].endswith(".completed") and data.get("duration_s") is not None:
        return f"in {seconds(data['duration_s'])}"
    return str(data.get("message") or data.get("error") or "")


def in_order(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those that run first, then those that wait, the oldest first."""
    return sorted(evaluations, key=lambda one: (one.status == Status.QUEUED, one.number))


def waiting_in(evaluations: Sequence[Evaluation]) -> int:
    """Samples that have no result yet."""
    return sum(one.progress.total - one.progress.done for one in evaluations)


def failures_in(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those that failed, or have samples that could not be called."""
    return [one for one in evaluations if one.status == Status.FAILED or one.progress.infra_error]


def busy_first(models: Sequence[Model]) -> list[Model]:
    """Those with calls in flight first; otherwise by name, so that rows keep their places."""
    return sorted(
        models, key=lambda model: (not (model.pacing and model.pacing.in_flight >= 0.5), model.name, model.id)
    )


def in_flight(models: Sequence[Model]) -> float:
    """Calls in flight over all of them."""
    return sum(model.pacing.in_flight for model in models if model.pacing)


def engines_up(models: Sequence[Model]) -> list[Model]:
    """Those whose engine runs or starts, by name."""
    up = [model for model in models if model.engine and model.status not in (ModelStatus.STOPPED, ModelStatus.FAILED)]
    return sorted(up, key=lambda model: (model.name, model.id))


def cursor_before(entries: Sequence[Entry], since: datetime, last: int) -> str | None:
    """The cursor after which the events since a moment come; None, for from now on, where no event was ever seen."""
    first = bisect_left(entries, since, key=time_of)
    if first < len(entries):
        return str(entries[first].position - 1)
    return str(last) if last else None


def time_of(entry: Entry) -> datetime:
    event: dict[str, Any] = orjson.loads(entry.text)
    return datetime.fromisoformat(event["time"])
