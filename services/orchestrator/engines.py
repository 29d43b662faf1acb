"""Engines of models that have no endpoint of their own: orders to launchers, and what these say of them.

KV `engines` holds both. What a launcher says goes into KV `pacing`, where predictors read whether they may call, and from there
into the model's document like any status; where the engine answers goes into KV `models`. Several orchestrators may do this at
once: they write the same.
"""

import asyncio
import logging
import time
from contextlib import suppress

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pymongo.errors import PyMongoError

from services.orchestrator.engine_states import Known, Seen, order_due, seen, settled
from services.orchestrator.models import Models
from shared import subjects
from shared.contracts import EngineOrder, EngineState, ModelStatus
from shared.errors import Conflict
from shared.storage.mongo import Document

logger = logging.getLogger("assay.orchestrator")

LOOK_S = 1.0


class Engines:
    """The orders and states of all engines, mirrored from KV `engines`."""

    def __init__(self, js: JetStreamContext, models: Models) -> None:
        self._js = js
        self._models = models
        self._orders: dict[str, EngineOrder] = {}
        self._states: dict[str, EngineState] = {}
        self._heard_at: dict[str, float] = {}
        self._told: dict[str, Seen] = {}
        self._wake = asyncio.Event()

    async def changed(self, key: str, value: bytes | None) -> None:
        """KV `engines`."""
        kind, _, model_id = key.partition(".")
        if kind == "wanted":
            if value is None:
                self._orders.pop(model_id, None)
            else:
                self._orders[model_id] = EngineOrder.model_validate_json(value)
        elif kind == "state":
            self._heard_at[model_id] = time.monotonic()
            if value is None:
                self._states.pop(model_id, None)
            else:
                self._states[model_id] = EngineState.model_validate_json(value)
        else:
            return
        self._wake.set()

    def known(self, model_id: str) -> Known:
        silent_s = time.monotonic() - self._heard_at.get(model_id, 0.0)
        return Known(self._orders.get(model_id), self._states.get(model_id), silent_s)

    def seen(self, model_id: str) -> Seen:
        return seen(self.known(model_id), time.time())

    # Orders

    async def ask(self, model: Document, asked: int | None) -> int:
        """That a model's engine be up from now on, or go on being up; the number of the request that is in force.

        `asked` is the one that the asker was given before: what has failed is not tried again for it.
        """
        while True:
            known, at = self.known(model["_id"]), time.time()
            until = at + model["engine"]["idle_stop_s"]
            order = order_due(known, model, at, until, again=asked is None)
            if order is None or await self._write(known, order):
                in_force = self._orders.get(model["_id"])
                return in_force.request if in_force else asked or 0

    async def start(self, model_id: str) -> Document:
        """A person wants it up; it has its time to start, and then as long as an engine may be idle."""
        model = await self._with_engine(model_id)
        while True:
            known, at = self.known(model_id), time.time()
            until = at + model["engine"]["idle_stop_s"]
            if not known.at_work or known.state is None or known.state.status is not ModelStatus.RUNNING:
                until += model["engine"]["start_timeout_s"]
            order = order_due(known, model, at, until, again=True)
            if order is None or await self._write(known, order):
                return await self._looked_at(model_id)

    async def stop(self, model_id: str) -> Document:
        """Refused while an evaluation needs it."""
        model = await self._with_engine(model_id)
        if need := await self._models.needed_by(model_id):
            raise Conflict(f"{need} needs the engine of model {model['name']}; cancel it first")
        while True:
            known = self.known(model_id)
            if not known.wanted(time.time()) or known.order is None:
                return await self._looked_at(model_id)
            if await self._write(known, known.order.model_copy(update={"until": 0.0})):
                return await self._looked_at(model_id)

    async def forget(self, model_id: str) -> None:
        """The model is gone: nobody wants its engine. What its launcher still says of it is cleared away when that is at rest."""
        store = await self._store()
        await store.delete(subjects.engine_wanted(model_id))
        self._orders.pop(model_id, None)
        self._told.pop(model_id, None)
        self._wake.set()

    async def _with_engine(self, model_id: str) -> Document:
        model = await self._models.get(model_id)
        if not model.get("engine"):
            raise Conflict(f"model {model['name']} has no engine to start or stop: it is called at {model['base_url']}")
        return model

    async def _write(self, known: Known, order: EngineOrder) -> bool:
        """Write an order in place of the one that is known; False where another was written meanwhile, which is known by now."""
        store, key = await self._store(), subjects.engine_wanted(order.model)
        payload = order.model_dump_json().encode()
        try:
            try:
                entry = await store.get(key)
            except KeyNotFoundError:
                self._orders.pop(order.model, None)
                if known.order is not None:
                    return False
                await store.create(key, payload)
            else:
                self._orders[order.model] = present = EngineOrder.model_validate_json(entry.value or b"")
                if present != known.order:
                    return False
                await store.update(key, payload, last=entry.revision)
        except KeyWrongLastSequenceError:
            return False
        self._orders[order.model] = order
        self._wake.set()
        return True

    async def _store(self) -> KeyValue:
        return await self._js.key_value(subjects.KV_ENGINES)

    # States

    async def follow(self) -> None:
        """All the time: models follow what launchers say of their engines, and what they do not say any more."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            for model_id in self._orders.keys() | self._states.keys():
                try:
                    await self._see_to(model_id)
                except (PyMongoError, NatsError, TimeoutError) as error:
                    logger.warning("cannot follow the engine of model %s: %s", model_id, type(error).__name__)

    async def _looked_at(self, model_id: str) -> Document:
        """The model, with what its engine is by now."""
        await self._see_to(model_id)
        return await self._models.get(model_id)

    async def _see_to(self, model_id: str) -> None:
        known = self.known(model_id)
        present = seen(known, time.time())
        if present == self._told.get(model_id):
            return
        if not await self._models.follow_engine(model_id, present):
            await self._clear(model_id, known)
            return
        self._told[model_id] = present
        if order := settled(known, time.time()):
            await self._write(known, order)

    async def _clear(self, model_id: str, known: Known) -> None:
        """There is no such model any more."""
        store = await self._store()
        if known.order:
            await store.delete(subjects.engine_wanted(model_id))
        if known.state and not known.at_work:
            for key in (subjects.engine_log(model_id), subjects.engine_state(model_id)):
                await store.delete(key)
