"""Asks the endpoints of models that nobody calls: those that answer once a while, those that are down after pauses that grow.

Every replica sees from KV `pacing` when a model's turn has come, and whoever first writes that it takes the turn, by compare-and-set,
asks: so a model costs one question and one or two writes, over any number of replicas, and no lease.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from services.predictor.probe import probe
from services.predictor.reachability import ask_at
from services.predictor.worker import ModelWorker
from shared.contracts import ModelStatus, PacingState, ProbeAnswer

logger = logging.getLogger("assay.predictor")

TICK_S = 0.4
AT_ONCE = 16
"""Of a replica. What is more waits its turn: thousands of models that hang are asked more seldom, and hold nothing up."""
PATIENCE_S = 10.0
TAKEN_S = 5.0
"""For so long a turn that was tried for is left alone, until the bucket tells what became of it."""


class Prober:
    """`seen` is to be told each state of KV `pacing`; `workers` are the models that can be asked."""

    def __init__(self, states: KeyValue, workers: Mapping[str, ModelWorker], every_s: float) -> None:
        self._states = states
        self._workers = workers
        self._every_s = every_s
        self._rng = random.Random()
        self._due: dict[str, float] = {}  # model id -> Unix time
        self._asking: dict[str, asyncio.Task[None]] = {}

    def seen(self, model_id: str, state: PacingState | None) -> None:
        due = ask_at(state, self._every_s, self._rng.uniform(-1, 1)) if state else None
        if due is None:
            self._due.pop(model_id, None)
        else:
            self._due[model_id] = due

    async def run(self) -> None:
        """All the time; each replica at moments of its own, so that they do not always try for the same turns at once."""
        while True:
            await asyncio.sleep(TICK_S * self._rng.uniform(0.5, 1.5))
            now = time.time()
            late = sorted((due, model_id) for model_id, due in self._due.items() if due <= now)
            for _, model_id in late:
                if len(self._asking) >= AT_ONCE:
                    break
                if model_id in self._workers and model_id not in self._asking:
                    self._due[model_id] = now + TAKEN_S
                    self._asking[model_id] = asyncio.create_task(self._turn(model_id))

    async def stop(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _turn(self, model_id: str) -> None:
        try:
            await self._ask(model_id)
        except (KeyNotFoundError, KeyWrongLastSequenceError):
            return  # the model is gone; or another replica, its controller or a person was quicker
        except (NatsError, TimeoutError) as error:
            logger.warning("cannot ask model %s: %s", model_id, type(error).__name__)
        except Exception:
            logger.exception("asking model %s failed", model_id)
        finally:
            self._asking.pop(model_id, None)

    async def _ask(self, model_id: str) -> None:
        entry = await self._states.get(model_id)
        state = PacingState.model_validate_json(entry.value or b"")
        due = ask_at(state, self._every_s, -1.0)
        if due is None or due > time.time():
            return
        down = state.status is ModelStatus.UNREACHABLE
        taken = _with(state, asks=state.asks + 1 if down else 0)
        revision = await self._write(model_id, taken, entry.revision)
        endpoint = self._workers[model_id].endpoint
        answer = await probe(endpoint, PATIENCE_S, complete=down)
        if not down and answer.listed is False and not state.unlisted:
            answer = await probe(endpoint, PATIENCE_S, complete=True)  # it was listed before: is it gone?
        found = learned(taken, answer)
        if found != taken:
            await self._write(model_id, found, revision)
            if found.status is not taken.status:
                logger.info("model %s is %s: %s", model_id, found.status, found.detail)

    async def _write(self, model_id: str, state: PacingState, revision: int | None) -> int:
        return await self._states.update(model_id, state.model_dump_json().encode(), last=revision)


def learned(state: PacingState, answer: ProbeAnswer) -> PacingState:
    """The state after an endpoint was asked; the same where it says nothing new. What an answer without a completion says of a model
    that runs is no news."""
    changes: dict[str, Any] = {}
    if answer.status is not state.status:
        changes = {
            "status": answer.status,
            "since": time.time(),
            "detail": answer.detail,
            "asks": 0,
            "hold_until": None,
        }
    elif answer.status is ModelStatus.UNREACHABLE or answer.latency_ms is not None:
        changes = {"detail": answer.detail}
    if answer.latency_ms is not None:
        changes["answer_ms"] = answer.latency_ms
    if answer.listed is not None:
        changes["unlisted"] = not answer.listed
    if all(getattr(state, name) == value for name, value in changes.items()):
        return state
    return _with(state, **changes)


def _with(state: PacingState, **changes: Any) -> PacingState:
    return state.model_copy(update={**changes, "at": max(time.time(), state.at + 0.001)})
