"""What a launcher says of an engine that it has in hand: its state, its lines, its last word."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from services.launcher.deciding import HEARTBEAT_S
from services.launcher.output import Output
from services.launcher.states import OUTAGES, Slot, publish_lines, put_lines
from shared.contracts import EngineOrder, EngineState, ModelStatus
from shared.service import end

logger = logging.getLogger("assay.launcher")

TOLD_S = 0.5
"""Between two tellings of what it prints while it starts, and of its state."""
TOLD_RUNNING_S = 5.0
TOGETHER_S = 0.1
"""What is printed within this is told together."""
TOLD_LINES = 10
LAST_LINES = 8
"""Of an engine that failed, in its state."""
LAST_WORD_S = 3.0
"""For the last state, while the launcher stops and the broker may be away."""
_AT_REST: dict[str, Any] = {"base_url": None, "served_name": None}


class Telling:
    """`start`, then `say` and `step` as things change, then `end`."""

    def __init__(
        self,
        order: EngineOrder,
        slot: Slot,
        state: EngineState,
        output: Output,
        store: KeyValue,
        js: JetStreamContext,
    ) -> None:
        self.state = state
        self._order = order
        self._slot = slot
        self._output = output
        self._store = store
        self._js = js
        self._changed = asyncio.Event()
        self._lost = False
        self._events = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, taken_over: Callable[[], None]) -> None:
        """`taken_over` is called when the engine turns out to be another launcher's by now."""
        self._tasks = [asyncio.create_task(self._tell_states(taken_over)), asyncio.create_task(self._tell_lines())]

    def say(self, detail: str, status: ModelStatus = ModelStatus.STARTING, **changes: Any) -> None:
        """How it is by now, and other fields of its state."""
        since = self.state.since if status is self.state.status else time.time()
        at_rest = {} if status is ModelStatus.RUNNING else _AT_REST
        self.change(status=status, detail=detail, since=since, **{**at_rest, **changes})

    def step(self, step: str) -> None:
        """Where the launcher does the work itself: into the state and the log."""
        self.say(step)
        self._output.say(f"[launcher] {step}")

    def change(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        self._changed.set()

    def with_last_lines(self, said: str) -> str:
        """It failed: with what it said last."""
        self._output.end()
        lines = list(self._output.lines)[-LAST_LINES:]
        return "\n".join([f"{said}; its last lines:", *lines]) if lines else f"{said}; it printed nothing"

    async def end(self, status: ModelStatus, detail: str) -> None:
        """What is left of its lines, and its last state, unless it is another launcher's."""
        await end(self._tasks)
        self._output.end()
        with suppress(*OUTAGES):
            await self._tell_new_lines()
        if self._lost:
            return
        now = time.time()
        last = {"status": status, "detail": detail, "since": now, "at": now, "launcher": None, **_AT_REST}
        while time.time() < now + LAST_WORD_S:
            try:
                await self._slot.write(self.state.model_copy(update=last))
                return
            except OUTAGES:
                await asyncio.sleep(0.2)
        logger.warning("%s: cannot tell NATS that the engine is %s", self._order.model_name, status)

    async def _tell_states(self, taken_over: Callable[[], None]) -> None:
        """What changed, at most twice a second, and a sign of life where nothing did."""
        while True:
            with suppress(TimeoutError):
                # Not `wait_for`, which may lose a cancellation.
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
            self._changed.clear()
            try:
                if not await self._slot.write(self.state.model_copy(update={"at": time.time()})):
                    self._lost = True
                    taken_over()
                    return
            except OUTAGES:
                # The engine serves on; it is told as soon as the broker is back.
                self._changed.set()
            await asyncio.sleep(TOLD_S)

    async def _tell_lines(self) -> None:
        """What comes after a pause is told at once, what goes on coming now and then."""
        while True:
            await self._output.came.wait()
            await asyncio.sleep(TOGETHER_S)
            self._output.came.clear()
            try:
                await self._tell_new_lines()
            except OUTAGES:
                self._output.came.set()
            await asyncio.sleep(TOLD_RUNNING_S if self.state.status is ModelStatus.RUNNING else TOLD_S)

    async def _tell_new_lines(self) -> None:
        await put_lines(self._store, self._order.model, list(self._output.lines))
        if lines := self._output.take(TOLD_LINES):
            self._events += 1
            number = f"{self.state.request}-{self.state.since:.3f}-{self._events}"
            await publish_lines(self._js, self._order, number, lines)
