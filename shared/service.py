"""What every service is made of: a broker connection, health that names the failing part, commands, logging.

`python -m shared.service NAME` asks the service `NAME` for its health over NATS and exits with 0 or 1 (container health checks).
"""

import asyncio
import gc
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import nats
import uvloop
from faststream import FastStream
from faststream.nats import NatsBroker, NatsToken
from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError, NoRespondersError
from nats.js import JetStreamContext

from shared import subjects
from shared.errors import Problem, TooLarge, Unavailable, raise_problem
from shared.large import HEADROOM
from shared.provision import provision
from shared.settings import Settings
from shared.storage.mongo import OUTAGES
from shared.storage.objects import ObjectStoreError

logger = logging.getLogger("assay")

GC_THRESHOLD = 20_000
"""Objects more than were freed before the collector looks for cycles. At the default of 700 a batch of documents sets it off many times, and
what start-up made, which never goes, is looked through each time."""

SERVICES = ("orchestrator", "predictor", "scorer", "artifacts", "launcher")
CHECK_TIMEOUT_S = 3.0

Check = Callable[[], Awaitable[Any]]
Hook = Callable[[], Awaitable[None]]


def set_up_logging(settings: Settings, name: str) -> None:
    """One line an entry on stdout. Libraries speak from WARNING on: httpx at INFO would write a line per call."""
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stdout,
        format=f"%(asctime)s %(levelname)-7s {name} %(message)s",
        force=True,
    )
    logging.getLogger("assay").setLevel(settings.log_level.upper())


def raise_file_limit(wanted: int = 65536) -> None:
    """Connection pools are as wide as the models' concurrency: lift the soft limit of descriptors towards the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    if target < 4096:
        logger.warning(
            "only %d file descriptors are allowed; a model's concurrency above about half of that fails", target
        )


@dataclass
class Service:
    """A process's identity and its broker connection. `hooks` run after every reconnect: watches and pulls start over."""

    name: str
    settings: Settings
    broker: NatsBroker = field(init=False)
    instance: str = field(default_factory=lambda: uuid4().hex[:12])
    checks: dict[str, Check] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    nc: Client = field(init=False)
    js: JetStreamContext = field(init=False)
    _background: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        token = self.settings.nats_token
        self.broker = NatsBroker(
            self.settings.nats_url,
            security=NatsToken(token.get_secret_value()) if token else None,
            name=f"assay-{self.name}-{self.instance}",
            allow_reconnect=True,
            max_reconnect_attempts=-1,  # when they run out, FastStream's pull loop spins and freezes the process
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # passed on to asyncio.sleep, so a fraction works
            pending_size=64 * 1024 * 1024,
            reconnected_cb=self._reconnected,
            error_cb=self._error,
            logger=None,
        )

    async def connect(self) -> None:
        """Connect, waiting for a server that is not there yet, and provision the broker."""
        raise_file_limit()
        self.nc = await self.broker.connect()
        self.js = self.nc.jetstream(timeout=5, publish_async_max_pending=16384)
        await until_up(lambda: provision(self.js, self.settings), "NATS")
        # Health and leases name the instance; here one sees which process it is.
        logger.info("%s %s is connected", self.name, self.instance)
        self._answer_health()

    def command(self, verb: str) -> Callable[[Callable[[dict[str, Any]], Awaitable[Any]]], None]:
        """Register a command `<service>.<verb>`: one replica handles each request; a `Problem` becomes the caller's."""

        def register(handler: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
            @self.broker.subscriber(subjects.command(self.name, verb), queue=self.name, max_workers=32)
            async def handle(body: dict[str, Any]) -> dict[str, Any]:
                try:
                    answer = {"ok": await handler(body)}
                    if (size := len(json.dumps(answer))) + HEADROOM > self.nc.max_payload:
                        raise TooLarge(
                            f"it is done, and its answer of {size:,} bytes is larger than the broker carries"
                        )
                    return answer
                except Problem as problem:
                    return {"problem": problem.as_dict()}
                except ObjectStoreError as error:
                    return {"problem": Unavailable(str(error)).as_dict()}
                except OUTAGES:
                    return {"problem": Unavailable("MongoDB does not answer").as_dict()}
                except Error:
                    return {"problem": Unavailable("NATS does not answer").as_dict()}
                except Exception:
                    logger.exception("command %s failed", verb)
                    return {"problem": Problem(f"{self.name} failed at {verb}; its log says why").as_dict()}

        return register

    def spawn(self, work: Awaitable[Any], what: str) -> asyncio.Task[Any]:
        """Run in the background; a failure is logged instead of vanishing with the task."""

        async def run() -> Any:
            try:
                return await work
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("%s failed", what)

        task = asyncio.ensure_future(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def nats_answers(self) -> None:
        """A round trip to JetStream, which may have stopped while the server goes on: 2.9.10 does so for good on a full disk.

        Never nats-py's `flush` with a time-out: a pong that comes after it ends the client's reading for good (2.16.0).
        """
        if not self.nc.is_connected:
            raise Unavailable("no connection to NATS")
        await self.js.account_info()

    async def stop_background(self) -> None:
        """Cancel what `spawn` has started, and wait for it."""
        await end(self._background)

    async def health(self) -> dict[str, Any]:
        """A round trip to each part: `{service, instance, parts: {name: "ok" or what is wrong}}`."""

        async def one(check: Check) -> str:
            try:
                await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
            except TimeoutError:
                return f"no answer within {CHECK_TIMEOUT_S:g} s"
            except Exception as error:
                return f"does not answer: {type(error).__name__}"
            return "ok"

        names = list(self.checks)
        states = await asyncio.gather(*(one(self.checks[name]) for name in names))
        return {"service": self.name, "instance": self.instance, "parts": dict(zip(names, states, strict=True))}

    def _answer_health(self) -> None:
        # Every replica answers, so that one that hangs does not hide those that work.
        @self.broker.subscriber(subjects.health(self.name))
        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            return await self.health()

    async def _reconnected(self) -> None:
        logger.info("connected to NATS again")
        for hook in self.hooks:
            self.spawn(hook(), "start over after a reconnect")

    async def _error(self, error: Exception) -> None:
        logger.warning("NATS: %s", type(error).__name__ if isinstance(error, OSError) else error)


def collect_less() -> None:
    """Once a process is built: leave what it is made of to the end, and look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel and wait. More than once where it must be: `asyncio.wait_for` loses a cancellation that comes in the moment in which
    what it waits for ends (CPython issue 86296), and nats-py connects through it, again and again while the server is away.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)


async def until_up(action: Callable[[], Awaitable[Any]], part: str, pause_s: float = 0.5) -> Any:
    """Try until it works: parts start in any order. Says once a while what is waited for."""
    last_said = -60.0
    while True:
        try:
            return await action()
        except Exception as error:
            if time.monotonic() - last_said > 10:
                last_said = time.monotonic()
                logger.warning("waiting for %s: %s: %.200s", part, type(error).__name__, error)
            await asyncio.sleep(pause_s)


def run(build: Callable[[], Awaitable[FastStream]]) -> None:
    """Run a service until SIGTERM or SIGINT."""

    async def main() -> None:
        app = await build()
        collect_less()
        await app.run(log_level=logging.WARNING)

    uvloop.run(main())


async def call(broker: NatsBroker, subject: str, body: dict[str, Any], *, timeout: float = 10.0) -> Any:
    """Send a command and return its answer; raises the `Problem` it answered, or `Unavailable` naming the service."""
    part = subject.split(".", 1)[0]
    try:
        answer = await broker.request(body, subject, timeout=timeout)
    except NoRespondersError as error:
        raise Unavailable(f"no {part} is running") from error
    except MaxPayloadError as error:
        raise TooLarge(f"the request to the {part} is larger than the broker carries") from error
    except (TimeoutError, Error) as error:
        raise Unavailable(f"the {part} does not answer") from error
    reply = json.loads(answer.body)
    if problem := reply.get("problem"):
        raise_problem(problem)
    return reply["ok"]


async def check_over_nats(name: str, settings: Settings) -> bool:
    """Whether a replica of a service answers and finds all its parts."""
    token = settings.nats_token
    nc = await nats.connect(
        settings.nats_url,
        token=token.get_secret_value() if token else None,
        allow_reconnect=False,
        connect_timeout=3,
    )
    try:
        answer = await nc.request(subjects.health(name), b"{}", timeout=5)
        return all(state == "ok" for state in json.loads(answer.data)["parts"].values())
    except Error:
        return False
    finally:
        await nc.close()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(check_over_nats(sys.argv[1], Settings())) else 1)
