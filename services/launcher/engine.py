"""One engine, from the order to its end: claimed, found, started, watched, started again where it died, stopped."""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from services.launcher.backend import Backend, CannotStart, Ended, Launch, Port, Process
from services.launcher.checkpoints import CheckpointError, resolve
from services.launcher.deciding import HEARTBEAT_S
from services.launcher.downloads import Downloads
from services.launcher.environment import engine_environment
from services.launcher.output import Output
from services.launcher.states import OUTAGES, Slot, publish_lines, put_lines
from services.launcher.templates import Template
from shared.contracts import EngineOrder, EngineState, ModelStatus
from shared.errors import AssayError
from shared.explain import near
from shared.service import end

logger = logging.getLogger("assay.launcher")

Result = TypeVar("Result")

MOST_RESTARTS = 3
RESTART_PAUSE_S = 1.0
"""Before the first, and twice as long before each one after it."""
STEADY_S = 300.0
"""An engine that has served for so long has shown that it can: what kills it then counts from one again."""
MOST_PORTS = 5
READY_POLL_S = 0.2
READY_TIMEOUT_S = 5.0
TOLD_S = 0.5
"""Between two tellings of what it prints while it starts, and of its state."""
TOLD_RUNNING_S = 5.0
TOGETHER_S = 0.1
"""What is printed within this is told together."""
TOLD_LINES = 10
LAST_LINES = 8
"""Of an engine that failed, in its state."""
FINAL_WRITE_S = 3.0
"""For the last state, while the launcher stops and the broker may be away."""


class Failed(AssayError):
    """The engine cannot be used; the message says why."""


class _PortTaken(AssayError):
    pass


@dataclass(frozen=True)
class Tools:
    """What every engine of a launcher needs."""

    backend: Backend
    templates: dict[str, Template]
    downloads: Downloads
    store: KeyValue
    js: JetStreamContext
    http: httpx.AsyncClient
    environment: Mapping[str, str]
    hf_token: str | None


class Engine:
    """`run` ends when the engine is stopped, has failed, or belongs to another launcher."""

    def __init__(self, order: EngineOrder, slot: Slot, state: EngineState, tools: Tools) -> None:
        self.order = order
        self._slot = slot
        self._state = state
        self._tools = tools
        self._output = Output([tools.hf_token or ""])
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._reason = ""
        self._lost = False
        self._events = 0

    @property
    def name(self) -> str:
        return self.order.model_name

    def ordered(self, order: EngineOrder) -> None:
        """The order was written again: a newer request is answered by the engine that is there."""
        if order.request > self._state.request:
            self._state = self._state.model_copy(update={"request": order.request, "restarts": 0})
            self._changed.set()
        self.order = order

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self, reason: str) -> None:
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()

    async def run(self) -> None:
        telling = [asyncio.create_task(self._tell_states()), asyncio.create_task(self._tell_lines())]
        try:
            await self._serve()
            last = self._now(ModelStatus.STOPPED, self._reason)
        except (Failed, CheckpointError, CannotStart) as error:
            last = self._now(ModelStatus.FAILED, str(error))
        except Exception as error:
            logger.exception("%s: the launcher failed at its engine", self.name)
            last = self._now(
                ModelStatus.FAILED, f"the launcher failed in itself ({type(error).__name__}); its log says why"
            )
        await end(telling)
        self._output.end()
        with suppress(*OUTAGES):
            await self._tell_new_lines(TOLD_LINES)
            await put_lines(self._tools.store, self.order.model, list(self._output.lines))
        await self._write_last(last)

    async def _serve(self) -> None:
        """Returns when it was stopped; raises what made it fail."""
        template, launch = await self._until_stopped(self._prepare()) or (None, None)
        if template is None or launch is None:
            return
        pause_s = RESTART_PAUSE_S
        while not self._stop.is_set():
            began = time.monotonic()
            ended, was_ready = await self._once(template, launch)
            if ended is None:
                return
            lasted = time.monotonic() - began
            if not was_ready and self._state.restarts == 0:
                raise Failed(
                    self._with_last_lines(f"the engine {ended.words} after {lasted:.0f} s, before it answered")
                )
            if was_ready and lasted > STEADY_S:
                self._state, pause_s = self._state.model_copy(update={"restarts": 0}), RESTART_PAUSE_S
            if self._state.restarts == MOST_RESTARTS:
                raise Failed(
                    self._with_last_lines(
                        f"the engine {ended.words} after it had been started again {MOST_RESTARTS} times"
                    )
                )
            restarts = self._state.restarts + 1
            said = f"the engine {ended.words} after {lasted:.0f} s; it is started again ({restarts} of {MOST_RESTARTS})"
            self._say(said, restarts=restarts)
            self._output.say(f"[launcher] {said}")
            await self._until_stopped(asyncio.sleep(pause_s))
            pause_s *= 2

    async def _prepare(self) -> tuple[Template, Launch]:
        settings = self.order.settings
        template = self._tools.templates.get(settings.name)
        if template is None:
            raise Failed(
                f"there is no engine {settings.name!r}; {near(settings.name, self._tools.templates, 'there are')}"
            )
        self._output.leave_out = re.compile(template.leave_out) if template.leave_out else None
        if clash := template.clash(settings.args):
            raise Failed(f"args: {clash} is set by the launcher; leave it out")
        environment = engine_environment(self._tools.environment, template.environment, self._tools.hf_token)
        if missing := await asyncio.to_thread(template.requires.missing, environment.get("PATH")):
            raise Failed(missing)

        async def fetch(bucket: str, prefix: str) -> Path:
            return await self._tools.downloads.fetch(bucket, prefix, self._say_step)

        loaded = await resolve(settings.name, template, settings, fetch)
        given = {
            "checkpoint": loaded.checkpoint,
            "adapter": loaded.adapter,
            "revision": loaded.revision,
            "served_name": self.order.served_name,
            "form": loaded.form,
        }
        self._called = template.called_for(given)

        def command(host: str, port: int) -> list[str]:
            return template.command_for({**given, "host": host, "port": str(port)}, settings.args)

        return template, Launch(self.order.model, command, environment, self._output.feed)

    async def _once(self, template: Template, launch: Launch) -> tuple[Ended | None, bool]:
        """Start it and let it serve: how it ended, None where it was stopped, and whether it ever answered."""
        for _ in range(MOST_PORTS):
            process = await self._tools.backend.start(launch)
            try:
                return await self._watch(template, process)
            except _PortTaken:
                self._output.say("[launcher] another program took the port; trying the next one")
            finally:
                await process.stop()
        raise Failed(f"another program took each of {MOST_PORTS} ports before the engine could listen there")

    async def _watch(self, template: Template, process: Process) -> tuple[Ended | None, bool]:
        ending = asyncio.create_task(process.ended())
        stopping = asyncio.create_task(self._stop.wait())
        getting_ready = asyncio.create_task(self._until_ready(template, process))
        try:
            await asyncio.wait({ending, stopping, getting_ready}, return_when=asyncio.FIRST_COMPLETED)
            if getting_ready.done():
                getting_ready.result()
                self._say("answers", ModelStatus.RUNNING, base_url=process.url + template.api, served_name=self._called)
                await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
                return (None if stopping.done() else ending.result()), True
            if stopping.done():
                return None, False
            if await process.port() is Port.ANOTHER:
                raise _PortTaken
            return ending.result(), False
        finally:
            for task in (ending, stopping, getting_ready):
                task.cancel()

    async def _until_ready(self, template: Template, process: Process) -> None:
        """Returns once it answers; raises `Failed` where it does not in time, `_PortTaken` where another program answers."""
        began = time.monotonic()
        limit = self.order.settings.start_timeout_s
        while True:
            passed = time.monotonic() - began
            if passed > limit:
                raise Failed(
                    self._with_last_lines(
                        f"the engine did not answer within {limit:g} s (start_timeout_s), and was stopped"
                    )
                )
            last = self._output.lines[-1] if self._output.lines else ""
            self._say(f"loading, {passed:.0f} s" + (f": {last}" if last else ""))
            port = await process.port()
            if port is Port.ANOTHER:
                raise _PortTaken
            if port is Port.ENGINE and await self._answers(process.url + template.ready):
                return
            await asyncio.sleep(READY_POLL_S)

    async def _answers(self, url: str) -> bool:
        try:
            async with self._tools.http.stream("GET", url, timeout=READY_TIMEOUT_S) as answer:
                return answer.status_code == 200
        except httpx.HTTPError:
            return False

    async def _until_stopped(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What the work comes to; None where the engine is to be stopped before."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            stopping.cancel()
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    def _say_step(self, step: str) -> None:
        """Where the launcher does the work itself: into the state and the log."""
        self._say(step)
        self._output.say(f"[launcher] {step}")

    def _say(self, detail: str, status: ModelStatus = ModelStatus.STARTING, **changes: Any) -> None:
        since = self._state.since if status is self._state.status else time.time()
        at_rest = {} if status is ModelStatus.RUNNING else {"base_url": None, "served_name": None}
        self._state = self._state.model_copy(
            update={"status": status, "detail": detail, "since": since, **at_rest, **changes}
        )
        self._changed.set()

    def _now(self, status: ModelStatus, detail: str) -> EngineState:
        at_rest = {"launcher": None, "base_url": None, "served_name": None}
        now = time.time()
        return self._state.model_copy(update={"status": status, "detail": detail, "since": now, "at": now, **at_rest})

    def _with_last_lines(self, said: str) -> str:
        self._output.end()
        lines = list(self._output.lines)[-LAST_LINES:]
        return "\n".join([f"{said}; its last lines:", *lines]) if lines else f"{said}; it printed nothing"

    async def _tell_states(self) -> None:
        """What changed, at most twice a second, and a sign of life where nothing did."""
        while True:
            with suppress(TimeoutError):
                # Not `wait_for`, which may lose a cancellation.
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
            self._changed.clear()
            try:
                if not await self._slot.write(self._state.model_copy(update={"at": time.time()})):
                    self._lost = True
                    self.stop("another launcher has taken it over")
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
                await self._tell_new_lines(TOLD_LINES)
                await put_lines(self._tools.store, self.order.model, list(self._output.lines))
            except OUTAGES:
                self._output.came.set()
            await asyncio.sleep(TOLD_RUNNING_S if self._state.status is ModelStatus.RUNNING else TOLD_S)

    async def _tell_new_lines(self, most: int) -> None:
        if lines := self._output.take(most):
            self._events += 1
            number = f"{self.order.request}-{self._state.since:.3f}-{self._events}"
            await publish_lines(self._tools.js, self.order, number, lines)

    async def _write_last(self, state: EngineState) -> None:
        if self._lost:
            return
        deadline = time.monotonic() + FINAL_WRITE_S
        while time.monotonic() < deadline:
            try:
                await self._slot.write(state)
                return
            except OUTAGES:
                await asyncio.sleep(0.2)
        logger.warning("%s: cannot tell NATS that the engine is %s", self.name, state.status)
