"""One model's controller: in every predictor, and at work in the one that holds the model's lease.

It hears what all replicas' calls came to, sets the limit (`max_ack_pending` of the model's consumer), counts out grants where
`requests_per_minute` bounds the calls, pauses the model, and says when it is unreachable; the prober says when it is back. What it
knows is in KV `pacing`, from where the next one goes on. `docs/pacing.md` tells it at length.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.errors import NotFoundError as ConsumerNotFound
from nats.js.kv import KeyValue

from services.predictor.grants import Bucket
from services.predictor.pacing import Interval, Law, Window, decide, law_for
from services.predictor.reachability import Evidence
from services.predictor.recent import Recent
from services.predictor.worker import ModelWorker
from shared import subjects
from shared.contracts import ModelStatus, PacingGrant, PacingReport, PacingState
from shared.lease import Lease
from shared.provision import ensure_consumer, model_consumer

logger = logging.getLogger("assay.predictor")

TICK_S = 0.25
IDLE_S = 5.0
"""A model without a call for so long needs no controller."""
LOOK_S = 5.0
"""How often an idle model's replica looks anyway; it is woken by a job, or by a new state or setting."""
SHOWN_S = 1.0
PAUSED_S = 5.0
"""A `Retry-After` that holds for longer is shown as a pause of the model; below, replicas just wait."""
USED_SHARE = 0.7


class Controller:
    """Reports for its replica always; controls while it holds the lease."""

    def __init__(
        self, nc: Client, js: JetStreamContext, leases: KeyValue, states: KeyValue, worker: ModelWorker, replica: str
    ) -> None:
        self._nc = nc
        self._js = js
        self._states = states
        self._worker = worker
        self._replica = replica
        self._model_id = worker.endpoint.model.id
        self._lease = Lease(leases, self._model_id, replica)
        self._active_at = -IDLE_S
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        # Of the leader
        self._leads = False
        self._revision: int | None = None
        self._law = law_for(worker.endpoint.model)
        self._state = self._unknown()
        self._window = Window()
        self._used: list[bool] = []
        self._evidence = Evidence()
        self._bucket = Bucket(60.0)
        self._recent = Recent()
        self._shown_at = 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def abandon(self) -> None:
        """Do nothing more, as a process that dies: the lease has to grow old."""
        if self._task:
            self._task.cancel()

    async def stop(self) -> None:
        self.abandon()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._step_down()

    @property
    def leads(self) -> bool:
        """Whether this replica controls the model now."""
        return self._leads and self._lease.held

    async def _run(self) -> None:
        wanted = True
        while True:
            if not wanted and not self._worker.under_way:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._worker.stirred.wait()
            self._worker.stirred.clear()
            await asyncio.sleep(TICK_S)
            wanted = True
            try:
                wanted = await self._tick()
            except Exception as error:
                logger.warning("pacing of model %s: %s: %.200s", self._model_id, type(error).__name__, error)

    async def _tick(self) -> bool:
        """Whether the model needs a controller."""
        now = time.monotonic()
        report = self._worker.tally.report(self._replica, self._worker.gate)
        if report:
            self._active_at = now
        if not self._wanted(now):
            await self._step_down()
            return False
        held = await self._lease.tick()
        if held and not self._leads:
            await self._take_over()
        elif not held and self._leads:
            await self._step_down()
        # After taking over, or the first report, which may hold the reason for all, would be heard by nobody.
        if report:
            await self._nc.publish(subjects.pacing_report(self._model_id), report.model_dump_json().encode())
        if self.leads:
            await self._control(time.monotonic())
        return True

    def _wanted(self, now: float) -> bool:
        """Whether the model needs a controller: calls are made or wait, it is paused, or its settings are new."""
        if now - self._active_at < IDLE_S or self._worker.state is None:
            return True
        law, model = self._worker.state.law, self._worker.endpoint.model
        settled = law.get("ceiling") == model.most_at_once and (law.get("mode") == "auto") == (
            model.max_concurrency == "auto"
        )
        return self._worker.state.status is ModelStatus.PAUSED or not settled

    # The leader's coming and going

    async def _take_over(self) -> None:
        now = time.monotonic()
        await self._load()
        model = self._worker.endpoint.model
        self._law = law_for(model, self._state.law)
        await self._set_limit(self._law)
        self._window = Window()
        self._window.restart(now, lowered=False)
        self._used = []
        self._evidence = Evidence()
        self._recent = Recent()
        self._bucket = Bucket(model.requests_per_minute or 60.0)
        # What may have been granted since the last one wrote cannot be told; so at most one call gathers.
        self._bucket.tokens = min(1.0, max(0.0, time.time() - self._state.at) * self._bucket.per_minute / 60)
        self._subscription = await self._nc.subscribe(subjects.pacing_report(self._model_id), cb=self._reported)
        self._leads = True
        logger.info("controlling model %s: limit %d, %s", self._model_id, self._law.limit, self._state.status)
        await self._write()

    async def _step_down(self) -> None:
        if self._subscription:
            subscription, self._subscription = self._subscription, None
            if not self._nc.is_closed:
                await subscription.unsubscribe()
        if self._leads:
            self._leads = False
            if self._lease.held:
                await self._write(**(self._recent.take(self._state) | self._recent.nothing()))
        await self._lease.release()

    async def _load(self) -> None:
        try:
            entry = await self._states.get(self._model_id)
        except KeyNotFoundError:
            self._revision, self._state = None, self._unknown()
            return
        self._revision = entry.revision
        self._state = PacingState.model_validate_json(entry.value or b"")

    async def _write(self, **changes: Any) -> bool:
        """Write the state, unless somebody else has since it was read; then what he wrote is taken over."""
        if "status" in changes and changes["status"] is not self._state.status:
            changes |= {"since": time.time(), "asks": 0}
        state = self._state.model_copy(
            update={
                **changes,
                "at": max(time.time(), self._state.at + 0.001),
                "mode": self._law.mode,
                "limit": self._law.limit,
                "law": self._law.model_dump(mode="json"),
            }
        )
        try:
            self._revision = await self._states.update(
                self._model_id, state.model_dump_json().encode(), last=self._revision
            )
        except KeyWrongLastSequenceError:
            await self._load()
            await self._worker.apply(self._state)
            return False
        self._state = state
        self._shown_at = time.monotonic()
        await self._worker.apply(state)
        return True

    # Control

    async def _reported(self, message: Msg) -> None:
        report = PacingReport.model_validate_json(message.data)
        now = time.monotonic()
        self._evidence.add(report, now)
        self._window.add(report, now)
        self._bucket.report(report, now)
        self._recent.add(report)

    async def _control(self, now: float) -> None:
        await self._follow(now)
        model = self._worker.endpoint.model
        law = law_for(model, self._law.model_dump(mode="json"))
        if law != self._law:
            await self._change(law)
        match self._state.status:
            case ModelStatus.RUNNING:
                await self._pace(now)
            case ModelStatus.PAUSED:
                if time.time() >= (self._state.hold_until or 0.0):
                    self._window.restart(now, lowered=False)
                    await self._write(status=ModelStatus.RUNNING, detail="the pause is over", hold_until=None)

    async def _follow(self, now: float) -> None:
        """What others have written of the model meanwhile: that it answers again, or was found down."""
        seen = self._worker.state
        if seen is None or seen.at <= self._state.at:
            return
        before = self._state.status
        await self._load()
        if self._state.status is not before:
            self._evidence = Evidence()
            self._window.restart(now, lowered=False)

    async def _pace(self, now: float) -> None:
        if verdict := self._evidence.verdict(now):
            self._evidence = Evidence()
            logger.warning("model %s is unreachable: %s", self._model_id, verdict)
            await self._write(status=ModelStatus.UNREACHABLE, detail=verdict)
            return
        await self._grant(now)
        if self._law.mode == "auto" and self._recent.busy:
            self._used.append(await self._limit_binds())
        if self._window.ready(self._law, time.time()):
            used = sum(self._used) >= USED_SHARE * len(self._used)
            self._used = []
            interval = self._window.interval()
            law = decide(self._law, interval, time.time(), used=used)
            await self._change(law, interval)
        held_s = self._worker.gate.held_s
        if held_s > PAUSED_S:
            detail = f"the endpoint asked for a pause of {held_s:.0f} s (Retry-After)"
            await self._write(status=ModelStatus.PAUSED, detail=detail, hold_until=time.time() + held_s)
        elif now - self._shown_at >= SHOWN_S and (self._recent.busy or self._state.in_flight):
            await self._write(**self._recent.take(self._state))

    async def _change(self, law: Law, interval: Interval | None = None) -> None:
        """Go on with `law`, and set its limit where that is another; `interval` is why."""
        before, self._law = self._law, law
        if law.limit == before.limit:
            self._window.begin()
            return
        await self._set_limit(law)
        self._window.restart(time.monotonic(), lowered=law.limit < before.limit, hold_s=self._worker.gate.held_s)
        why = interval.told if interval else "its settings are new"
        await self._write()  # the next controller, should this one die now, must know what was refused
        logger.info("model %s: limit %d -> %d (%s; %s)", self._model_id, before.limit, law.limit, law.phase, why)

    async def _set_limit(self, law: Law) -> None:
        try:
            await ensure_consumer(self._js, subjects.JOBS, model_consumer(self._model_id, law.limit), create=False)
        except ConsumerNotFound:
            logger.debug("model %s has no consumer", self._model_id)

    async def _limit_binds(self) -> bool:
        """Whether the limit, rather than a lack of work, bounds the calls at this moment."""
        try:
            info = await self._js.consumer_info(subjects.JOBS, subjects.model_consumer(self._model_id))
        except ConsumerNotFound:
            return False
        return bool(info.num_pending) or (info.num_ack_pending or 0) >= 0.9 * self._law.limit

    async def _grant(self, now: float) -> None:
        per_minute = self._worker.endpoint.model.requests_per_minute
        if per_minute is None:
            return
        self._bucket.per_minute = per_minute
        if tokens := self._bucket.grant(now):
            grant = PacingGrant(tokens=tokens)
            await self._nc.publish(subjects.pacing_grant(self._model_id), grant.model_dump_json().encode())

    def _unknown(self) -> PacingState:
        return PacingState(status=ModelStatus.RUNNING, since=time.time(), at=0.0, limit=self._law.limit)
