"""What KV `pacing` says of models, for those who read MongoDB and those who listen: status and limit into `models`, and events.

Predictors write the bucket and have no database. Several orchestrators may do this at once: an event's id follows from what it
tells, so the broker swallows repeats, and a document takes only what is newer than it has.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pymongo.errors import PyMongoError

from services.orchestrator.broker import publish_event
from services.orchestrator.state import SOURCE, now
from shared import subjects
from shared.contracts import ENGINE_DOWN, Event, ModelEndpoint, ModelStatus, PacingState, ProbeAnswer
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

MIRROR_S = 1.0
"""A model's document and events follow its state at most so often."""


class Pacing:
    """The states of all models, and the orchestrator's own writes to them."""

    def __init__(self, database: Database, js: JetStreamContext) -> None:
        self._models = database["models"]
        self._js = js
        self._states: dict[str, PacingState] = {}
        self._changed: dict[str, PacingState] = {}
        self._telling = asyncio.Lock()

    def limit(self, model_id: str) -> int | None:
        """Calls at once that the model may have at present; None where that is not known yet."""
        state = self._states.get(model_id)
        return state.limit if state else None

    async def changed(self, key: str, value: bytes | None) -> None:
        """KV `pacing`."""
        if value is None:
            self._states.pop(key, None)
            return
        before, state = self._states.get(key), PacingState.model_validate_json(value)
        self._states[key] = state
        # That a model was asked and answers as before is no news: of thousands, some are asked each second.
        if before is None or before.model_copy(update={"at": state.at, "asks": state.asks}) != state:
            self._changed[key] = state

    async def mirror(self) -> None:
        """All the time: bring documents up to date and announce what has changed."""
        while True:
            await asyncio.sleep(MIRROR_S)
            changed, self._changed = self._changed, {}
            for model_id, state in changed.items():
                try:
                    await self._bring_up_to_date(model_id, state)
                except (PyMongoError, NatsError, TimeoutError) as error:
                    logger.warning("cannot store the state of model %s: %s", model_id, type(error).__name__)
                    self._changed.setdefault(model_id, state)

    async def _bring_up_to_date(self, model_id: str, state: PacingState) -> None:
        """First the document, then the event: who hears of it and looks finds it so."""
        newer = {"_id": model_id, "$or": [{"pacing.at": {"$exists": False}}, {"pacing.at": {"$lt": state.at}}]}
        await self._models.update_one(newer, {"$set": mirrored(state)})
        await self.tell(model_id)

    async def tell(self, model_id: str) -> None:
        """Announce what a model's document says, unless that was the last thing told."""
        async with self._telling:
            document = await self._models.find_one({"_id": model_id})
            if document is None:
                return
            telling = {"status": document["status"], "limit": document["pacing"]["limit"]}
            if document.get("announced") != telling:
                await _announce(self._js, document)
                await self._models.update_one({"_id": model_id}, {"$set": {"announced": telling}})

    async def ensure(self, endpoint: ModelEndpoint, state: PacingState) -> None:
        """A state for a model that has none yet."""
        store = await self._js.key_value(subjects.KV_PACING)
        with suppress(KeyWrongLastSequenceError):
            await store.create(endpoint.id, state.model_dump_json().encode())

    async def found(self, endpoint: ModelEndpoint, answer: ProbeAnswer) -> PacingState:
        """A probe that was asked for found this; the state then. It does not count against calls that are being answered, nor where the
        engine is down by now."""
        first = first_state(endpoint, answer)
        await self.ensure(endpoint, first)

        def change(state: PacingState) -> Document | None:
            if state.at == first.at:
                return None  # it is this very one
            down = answer.status is ModelStatus.UNREACHABLE
            if state.status in ENGINE_DOWN or (down and state.status is ModelStatus.RUNNING and state.in_flight):
                return None
            since = state.since if answer.status is state.status else time.time()
            return {**_learned(answer), "since": since, "asks": 0, "hold_until": None}

        return await self._change(endpoint.id, change) or first

    async def follow_engine(self, endpoint: ModelEndpoint, status: ModelStatus, detail: str) -> None:
        """A launcher says this of a model's engine. Once it runs, how its calls go decides on from there."""
        first = first_state(endpoint, ProbeAnswer(status=status, detail=detail))
        await self.ensure(endpoint, first)

        def change(state: PacingState) -> Document | None:
            if status is ModelStatus.RUNNING and state.status in (ModelStatus.RUNNING, ModelStatus.PAUSED):
                return None
            if (state.status, state.detail) == (status, detail):
                return None
            since = state.since if status is state.status else time.time()
            return {"status": status, "detail": detail, "since": since, "asks": 0, "hold_until": None}

        await self._bring_up_to_date(endpoint.id, await self._change(endpoint.id, change) or first)

    async def ask_soon(self, model_id: str) -> None:
        """Somebody waits for the model: where it is unreachable, it is asked again in a second and as often as at first."""

        def change(state: PacingState) -> Document | None:
            return {"asks": 0} if state.status is ModelStatus.UNREACHABLE and state.asks else None

        await self._change(model_id, change)

    async def _change(self, model_id: str, change: Callable[[PacingState], Document | None]) -> PacingState | None:
        """Change the state by compare-and-set, unless `change` makes nothing of it; the state then, None where there is none."""
        store = await self._js.key_value(subjects.KV_PACING)
        while True:
            try:
                entry = await store.get(model_id)
            except KeyNotFoundError:
                return None
            state = PacingState.model_validate_json(entry.value or b"")
            changes = change(state)
            if changes is None:
                return state
            state = state.model_copy(update={**changes, "at": max(time.time(), state.at + 0.001)})
            with suppress(KeyWrongLastSequenceError):
                await store.update(model_id, state.model_dump_json().encode(), last=entry.revision)
                return state

    async def forget(self, model_id: str) -> None:
        store = await self._js.key_value(subjects.KV_PACING)
        await store.delete(model_id)


def first_state(endpoint: ModelEndpoint, answer: ProbeAnswer) -> PacingState:
    """The state of a model that nobody has called yet, of which a probe found this."""
    at = time.time()
    return PacingState(
        **_learned(answer),
        since=at,
        at=at,
        mode="auto" if endpoint.max_concurrency == "auto" else "fixed",
        limit=endpoint.first_limit,
    )


def _learned(answer: ProbeAnswer) -> Document:
    """The fields of a state that follow from a probe."""
    measured = {} if answer.latency_ms is None else {"answer_ms": answer.latency_ms}
    return {"status": answer.status, "detail": answer.detail, "unlisted": answer.listed is False, **measured}


def mirrored(state: PacingState) -> Document:
    """The fields of a model's document that follow its state; its last error stays when it answers again."""
    at = datetime.fromtimestamp(state.at, UTC)
    return {
        "status": state.status.value,
        "status_detail": state.detail,
        "status_since": datetime.fromtimestamp(state.since, UTC),
        "latency_ms": state.answer_ms,
        **({"last_error": state.detail, "last_error_at": at} if state.status is ModelStatus.UNREACHABLE else {}),
        "pacing": {
            **state.model_dump(
                include={"mode", "limit", "in_flight", "calls_per_s", "latency_ms", "calls", "refused", "at"}
            ),
            "updated_at": at,
        },
    }


async def _announce(js: JetStreamContext, document: Document) -> None:
    """`assay.model.status`: what a document says by now, beside what was last announced of it."""
    status, detail, limit = document["status"], document["status_detail"], document["pacing"]["limit"]
    if (document.get("announced") or {}).get("status") == status:
        message = f"{document['name']}: {limit} calls at once"
    else:
        message = f"{document['name']}: {status} ({detail})"
    event = Event(
        id=f"{document['_id']}:{status}:{document['pacing']['at']:.3f}",
        source=SOURCE,
        type="assay.model.status",
        subject=f"models/{document['_id']}",
        time=now(),
        data={
            "model": document["_id"],
            "name": document["name"],
            "status": status,
            "detail": detail,
            "limit": limit,
            "message": message,
        },
    )
    await publish_event(js, event, "_")
