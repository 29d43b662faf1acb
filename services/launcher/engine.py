"""One engine, from the order to its end: claimed, found, started, watched, started again where it died, stopped."""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from services.launcher.backend import Backend, CannotStart, Ended, Launch, Port, Process
from services.launcher.checkpoints import CheckpointError, resolve
from services.launcher.downloads import Downloads
from services.launcher.environment import engine_environment
from services.launcher.output import Output
from services.launcher.states import Slot
from services.launcher.telling import Telling
from services.launcher.templates import Template
from shared.contracts import EngineOrder, EngineState, ModelStatus
from shared.errors import AssayError
from shared.explain import near

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
        self._tools = tools
        self._output = Output([tools.hf_token or ""])
        self._telling = Telling(order, slot, state, self._output, tools.store, tools.js)
        self._stop = asyncio.Event()
        self._reason = ""

    @property
    def name(self) -> str:
        return self.order.model_name

    def ordered(self, order: EngineOrder) -> None:
        """The order was written again: a newer request is answered by the engine that is there."""
        if order.request > self._telling.state.request:
            self._telling.change(request=order.request, restarts=0)
        self.order = order

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self, reason: str) -> None:
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()

    async def run(self) -> None:
        self._telling.start(lambda: self.stop("another launcher has taken it over"))
        try:
            await self._serve()
            status, detail = ModelStatus.STOPPED, self._reason
        except (Failed, CheckpointError, CannotStart) as error:
            status, detail = ModelStatus.FAILED, str(error)
        except Exception as error:
            logger.exception("%s: the launcher failed at its engine", self.name)
            status = ModelStatus.FAILED
            detail = f"the launcher failed in itself ({type(error).__name__}); its log says why"
        await self._telling.end(status, detail)

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
            if not was_ready and self._telling.state.restarts == 0:
                raise Failed(
                    self._telling.with_last_lines(f"the engine {ended.words} after {lasted:.0f} s, before it answered")
                )
            if was_ready and lasted > STEADY_S:
                self._telling.change(restarts=0)
                pause_s = RESTART_PAUSE_S
            if self._telling.state.restarts == MOST_RESTARTS:
                raise Failed(
                    self._telling.with_last_lines(
                        f"the engine {ended.words} after it had been started again {MOST_RESTARTS} times"
                    )
                )
            restarts = self._telling.state.restarts + 1
            said = f"the engine {ended.words} after {lasted:.0f} s; it is started again ({restarts} of {MOST_RESTARTS})"
            self._telling.change(restarts=restarts)
            self._telling.step(said)
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
            return await self._tools.downloads.fetch(bucket, prefix, self._telling.step)

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
                self._telling.say(
                    "answers", ModelStatus.RUNNING, base_url=process.url + template.api, served_name=self._called
                )
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
                    self._telling.with_last_lines(
                        f"the engine did not answer within {limit:g} s (start_timeout_s), and was stopped"
                    )
                )
            last = self._output.lines[-1] if self._output.lines else ""
            self._telling.say(f"loading, {passed:.0f} s" + (f": {last}" if last else ""))
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
