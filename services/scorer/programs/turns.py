"""When a scoring program runs: some at once in a process, each by one replica alone, and no longer than its evaluation wants it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from services.scorer.programs.scores import ProgramFailed
from services.scorer.sandbox import NoSandbox
from shared import subjects
from shared.contracts import FINAL, Step
from shared.lease import RENEW_S, TAKE_OVER_S, Lease
from shared.service import Service, end
from shared.steps import AWAY, TRIES, Refuse
from shared.storage.mongo import OUTAGES, Database

logger = logging.getLogger("assay.scorer")

LOOK_S = 1.0
"""How often a running program's evaluation is looked at: one that was cancelled wants no scores."""

LOST_S = 30.0
"""A lease that could not be renewed for so long is another's: until then the broker may just be away."""

Work = Callable[[], Awaitable[None]]


class Turns:
    def __init__(self, service: Service, database: Database, at_once: int) -> None:
        self._service = service
        self._database = database
        self._slots = asyncio.Semaphore(at_once)
        self._begun: set[tuple[str, int]] = set()
        self._tries: Counter[tuple[str, int]] = Counter()

    def begin(self, step: Step, work: Work, refuse: Refuse) -> None:
        """Do `work` in the background, once its turn has come; nothing where that is under way here. Its failure is `refuse`d."""
        key = (step.evaluation, step.round)
        if key not in self._begun:
            self._begun.add(key)
            self._service.spawn(self._take_turn(step, work, refuse), f"the program of {step.evaluation}")

    async def _take_turn(self, step: Step, work: Work, refuse: Refuse) -> None:
        key = (step.evaluation, step.round)
        try:
            async with self._slots:
                if await self._alone(step, work):
                    self._tries.pop(key, None)
        except (ProgramFailed, NoSandbox) as error:
            await self._refuse(step, str(error), refuse)
        except AWAY as error:
            logger.warning("the program of %s waits: %s", step.evaluation, error or type(error).__name__)
        except Exception as error:
            self._tries[key] += 1
            logger.exception("the program of %s failed (try %d)", step.evaluation, self._tries[key])
            if self._tries[key] >= TRIES:
                reason = f"the scorer cannot run the scoring program: {type(error).__name__}; its log says more"
                await self._refuse(step, reason, refuse)
        finally:
            # Asked for again it is begun again: its owner asks until there are scores, or a reason why there are none.
            self._begun.discard(key)

    async def _refuse(self, step: Step, reason: str, refuse: Refuse) -> None:
        await refuse(step, reason)
        await self._service.nc.publish(subjects.lifecycle(step.evaluation, "refused"), step.model_dump_json().encode())

    async def _alone(self, step: Step, work: Work) -> bool:
        """Whether it was done; not where another replica is at it, or where nobody wants it any more."""
        lease = Lease(
            await self._service.js.key_value(subjects.KV_LEASES), f"program-{step.evaluation}", self._service.instance
        )
        if not await _taken(lease):
            return False
        doing = asyncio.ensure_future(work())
        watching = [asyncio.create_task(_until_lost(lease)), asyncio.create_task(self._until_over(step))]
        try:
            await asyncio.wait([doing, *watching], return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                return False
            await doing
            return True
        finally:
            await end([task for task in (doing, *watching) if not task.done()])
            await lease.release()

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
