"""When a scoring program runs: some at once in a process, each by one replica alone, and no longer than its evaluation wants it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared import subjects
from shared.contracts import FINAL, Step
from shared.lease import RENEW_S, TAKE_OVER_S, Lease
from shared.service import Service, end
from shared.storage.mongo import OUTAGES, Database

LOOK_S = 1.0
"""How often a running program's evaluation is looked at: one that was cancelled wants no scores."""

LOST_S = 30.0
"""A lease that could not be renewed for so long is another's: until then the broker may just be away."""


class Turns:
    def __init__(self, service: Service, database: Database, at_once: int) -> None:
        self._service = service
        self._database = database
        self._slots = asyncio.Semaphore(at_once)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """What is under way is given up, to be done elsewhere."""
        self._stopping.set()

    async def take(self, step: Step, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` when its turn has come: not where another replica is at it, nor longer than the evaluation wants it.

        Raises `TimeoutError` where this process stops first, and what `work` raises.
        """
        stopping = asyncio.create_task(self._stopping.wait())
        doing = asyncio.create_task(self._in_turn(step, work))
        try:
            await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise TimeoutError("this scorer stops")
            await doing
        finally:
            await end([task for task in (doing, stopping) if not task.done()])

    async def _in_turn(self, step: Step, work: Callable[[], Awaitable[None]]) -> None:
        async with self._slots:
            leases = await self._service.js.key_value(subjects.KV_LEASES)
            lease = Lease(leases, f"program-{step.evaluation}", self._service.instance)
            if await _taken(lease):
                try:
                    await self._while_wanted(step, lease, work)
                finally:
                    await lease.release()

    async def _while_wanted(self, step: Step, lease: Lease, work: Callable[[], Awaitable[None]]) -> None:
        doing = asyncio.ensure_future(work())
        watching = [asyncio.create_task(_until_lost(lease)), asyncio.create_task(self._until_over(step))]
        try:
            await asyncio.wait([doing, *watching], return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                await doing
        finally:
            await end([task for task in (doing, *watching) if not task.done()])

    async def _until_over(self, step: Step) -> None:
        query = {"_id": step.evaluation, "round": step.round, "status": {"$nin": list(FINAL)}}
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await self._database["evaluations"].find_one(query, {"_id": 1}) is None:
                    return
            except OUTAGES:
                continue


async def _taken(lease: Lease) -> bool:
    """Whether nobody else holds it. One that a killed process has left must grow old first."""
    until = time.monotonic() + TAKE_OVER_S + 2 * RENEW_S
    while not await lease.tick():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(RENEW_S)
    return True


async def _until_lost(lease: Lease) -> None:
    held_at = time.monotonic()
    while time.monotonic() - held_at < LOST_S:
        await asyncio.sleep(RENEW_S)
        if await lease.tick():
            held_at = time.monotonic()
