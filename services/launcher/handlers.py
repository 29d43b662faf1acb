"""A launcher: follows what is wanted and how things are in KV `engines`, and has engines in hand, one task each."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from services.launcher import states
from services.launcher.deciding import AT_WORK, HEARTBEAT_S, World, decide
from services.launcher.engine import Engine, Tools
from services.launcher.environment import engine_environment
from services.launcher.states import OUTAGES, Slot
from shared.contracts import EngineOrder, EngineState, ModelStatus
from shared.service import Service

logger = logging.getLogger("assay.launcher")


class Launcher:
    """`dead` are launchers of this machine that are known to be gone, so that nobody waits until their states are old."""

    def __init__(self, service: Service, tools: Tools, room: int, dead: set[str]) -> None:
        self._service = service
        self._tools = tools
        self._room = room
        self._dead = dead
        self._orders: dict[str, EngineOrder] = {}
        self._states: dict[str, EngineState] = {}
        self._at_hand: dict[str, Engine] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._closing = False

    async def changed(self, key: str, value: bytes | None) -> None:
        """KV `engines`: an order or a state was written, by whomever."""
        kind, _, model = key.partition(".")
        if kind == "wanted":
            if value is None:
                self._orders.pop(model, None)
            else:
                self._orders[model] = order = EngineOrder.model_validate_json(value)
                if engine := self._at_hand.get(model):
                    engine.ordered(order)
        elif kind == "state":
            if value is None:
                self._states.pop(model, None)
            else:
                self._states[model] = EngineState.model_validate_json(value)
        else:
            return
        self._changed.set()

    async def run(self) -> None:
        """Do what has to be done, and sleep until something changes or the time has come for something."""
        while True:
            self._changed.clear()
            try:
                look_again_at = await self._look()
            except Exception as error:
                if isinstance(error, OUTAGES):
                    logger.warning("cannot look after engines: %s", type(error).__name__)
                else:
                    logger.exception("cannot look after engines")
                look_again_at = time.time() + HEARTBEAT_S
            with suppress(TimeoutError):
                async with asyncio.timeout(None if look_again_at is None else max(0.05, look_again_at - time.time())):
                    await self._changed.wait()

    async def engines(self, body: dict[str, Any]) -> dict[str, Any]:
        """Command `launcher.engines` {}: the templates by name, and what each of them lacks on this machine."""
        path = engine_environment(self._tools.environment, {}, None).get("PATH")
        offered = await asyncio.gather(
            *(asyncio.to_thread(one.offered, name, path) for name, one in sorted(self._tools.templates.items()))
        )
        return {"engines": [one.model_dump(mode="json") for one in offered]}

    async def stop(self) -> None:
        """Stop all engines; others may have them."""
        self._closing = True
        for engine in self._at_hand.values():
            engine.stop("its launcher was stopped")
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _look(self) -> float | None:
        if self._closing:
            return None
        stopping = {model for model, engine in self._at_hand.items() if engine.stopping}
        decision = decide(
            World(self._orders, self._states, set(self._at_hand), self._room, time.time(), stopping, self._dead)
        )
        for model in decision.stop:
            self._at_hand[model].stop("nobody needs it any more" if model in self._orders else "its model was deleted")
        for model in decision.make_room:
            self._at_hand[model].stop("stopped to make room: nobody needed it, and others wait")
        for model in decision.take:
            await self._take(self._orders[model])
        for model in decision.waits:
            await self._wait(self._orders[model])
        for model in decision.settle:
            await self._settle(self._states[model])
        for model in decision.forget:
            await states.forget(self._tools.store, model)
        return decision.look_again_at

    async def _take(self, order: EngineOrder) -> None:
        seen = self._states.get(order.model)
        slot = Slot(self._tools.store, order.model, self._service.instance)
        state = states.first_state(order, self._service.instance, "taken by a launcher", seen)
        if not await slot.claim(seen, state):
            return  # its state as it is by now comes by the watch
        logger.info("%s: starting its engine (%s)", order.model_name, order.settings.name)
        self._at_hand[order.model] = engine = Engine(order, slot, state, self._tools)
        self._running[order.model] = self._service.spawn(self._run(engine), f"the engine of {order.model_name}")

    async def _run(self, engine: Engine) -> None:
        model = engine.order.model
        try:
            await engine.run()
        finally:
            del self._at_hand[model], self._running[model]
            self._changed.set()

    async def _wait(self, order: EngineOrder) -> None:
        """Say that it waits, and for what: the launchers that have no room, whichever comes first."""
        seen = self._states.get(order.model)
        running = sorted(engine.name for engine in self._at_hand.values())
        detail = f"waits for room: {len(running)} of {self._room} engines run: {', '.join(running)}"
        state = states.first_state(order, None, detail, seen)
        if seen and seen.detail == detail and seen.since == state.since and seen.at > state.at - HEARTBEAT_S:
            return
        await Slot(self._tools.store, order.model, self._service.instance).claim(seen, state)

    async def _settle(self, seen: EngineState) -> None:
        assert seen.status in AT_WORK
        now = time.time()
        gone = {"status": ModelStatus.STOPPED, "detail": "its launcher is gone", "since": now, "at": now}
        state = seen.model_copy(update={**gone, "launcher": None, "base_url": None, "served_name": None})
        await Slot(self._tools.store, seen.model, self._service.instance).claim(seen, state)
