"""One model's jobs in this replica: pull, call, publish, acknowledge. In that order, so that a death at any point loses nothing.

This stands on nats-py under FastStream's connection: FastStream's subscribers are fixed at start and cost 0.1 to 0.25 ms a
message, while here consumers come and go with models and every item passes.
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from pydantic import ValidationError

from services.predictor.answers import Answer, CallFailed, Trouble
from services.predictor.endpoint import Endpoint
from services.predictor.gate import EVIDENCE, Gate
from services.predictor.notes import Notes
from services.predictor.retries import RETRY_AFTER_CAP_S, pause_before_retry
from services.predictor.tally import Tally
from shared import subjects
from shared.contracts import Job, ModelStatus, Outcome, PacingHold, PacingState, Prediction
from shared.faults import kill_point
from shared.large import LargeMessages
from shared.parking import in_short, park
from shared.provision import MODEL_ACK_WAIT_S
from shared.publisher import NotTaken, Publisher
from shared.pull import IN_PROGRESS, Puller
from shared.storage.objects import ObjectMissing, ObjectStoreError

logger = logging.getLogger("assay.predictor")

MOST_TOLD = 1000
"""Remembered at once; what is forgotten is said again."""

TRIES = 5
"""A job that makes the predictor fail in itself so often is parked: the evidence is against the job."""


class ModelWorker:
    """Works off one model's consumer. The server's `max_ack_pending` bounds the calls over all replicas, so none is bound here."""

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        publisher: Publisher,
        endpoint: Endpoint,
        void: Mapping[str, float],
        notes: Notes,
        large: LargeMessages,
    ) -> None:
        self._nc = nc
        self._js = js
        self._publisher = publisher
        self._large = large
        self.endpoint = endpoint
        self._void = void
        self._notes = notes
        self._rng = random.Random()
        self._complained_at = -math.inf
        self.tally = Tally()
        self.gate = Gate(lambda: self.tally.in_flight)
        self.stirred = asyncio.Event()
        """Set where a job was taken, or the state or the endpoint is another."""
        self.state: PacingState | None = None
        """What KV `pacing` says of the model; None: nothing yet."""
        self._held: Counter[tuple[str, str]] = Counter()  # evaluation, `_judge` -> its calls that wait at the gate
        self._pulls = False
        self._stopping = False
        self._applying = asyncio.Lock()
        self._under_way: dict[str, float] = {}  # acknowledgement subject -> when the server was last told
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, str]] = set()  # evaluation, and how its requests differ
        self.puller = Puller(nc, subjects.JOBS, subjects.model_consumer(endpoint.model.id), self._take)

    async def start(self, state: PacingState | None) -> None:
        self.gate.pace(self.endpoint.model.requests_per_minute is not None)
        await self.apply(state)

    def replace_endpoint(self, endpoint: Endpoint) -> None:
        """New settings count from the next call on; calls under way end with the old ones."""
        self.endpoint.close()
        self.endpoint = endpoint
        self.stirred.set()
        self.gate.pace(endpoint.model.requests_per_minute is not None)

    async def apply(self, state: PacingState | None) -> None:
        """Pull while the model is running; else take nothing more, so that the server delivers nothing, and hold what is here."""
        async with self._applying:
            if state and self.state and state.at < self.state.at:
                return
            self.state = state
            self.stirred.set()
            status = state.status if state else ModelStatus.RUNNING
            runs = status is ModelStatus.RUNNING
            if runs != self._pulls:
                self._held = +self._held
            self.gate.set_status(status, state.detail if state else "")
            if runs != self._pulls and self._held:
                text = "the model answers again: going on" if runs else f"{self.gate.why}: waiting"
                for (evaluation, who), count in self._held.items():
                    self._notes.add(evaluation, f"{who}{text}", count)
            if runs != self._pulls and not self._stopping:
                self._pulls = runs
                await (self.puller.start() if runs else self.puller.stop())

    def given_up(self) -> None:
        """Evaluations were given up: jobs of theirs that wait here are acknowledged at once."""
        self.gate.wake()

    async def stop(self, drain_s: float) -> None:
        """Stop pulling, let calls under way end for `drain_s` seconds, hand the rest back."""
        self._stopping = True
        await self.puller.stop()
        self.gate.abandon()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.endpoint.close()

    @property
    def under_way(self) -> int:
        """Jobs that were taken and are not acknowledged."""
        return len(self._under_way)

    async def keep_alive(self) -> None:
        """Tell the server that long calls are under way; to be called twice a second."""
        now = time.monotonic()
        for reply, told in list(self._under_way.items()):
            if now - told > MODEL_ACK_WAIT_S / 3:
                self._under_way[reply] = now
                await self._nc.publish(reply, IN_PROGRESS)

    def _take(self, message: Msg) -> None:
        self._under_way[message.reply] = time.monotonic()
        self.stirred.set()
        task = asyncio.create_task(self._handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, message: Msg) -> None:
        handed_back = False
        try:
            try:
                job = Job.model_validate_json(message.data or await self._large.body(message))
            except ObjectMissing:
                # Worked off before: see `shared.large`.
                await self.puller.acknowledge(message)
                return
            except ValidationError as error:
                # Evidence that the message itself is bad; nothing that a later delivery could mend.
                await self._park(message, f"the job cannot be read: {in_short(error)}")
                return
            if self._dropped(job):
                await self.puller.acknowledge(message)
                return
            prediction = await self._predict(job)
            if prediction is None:  # cancelled while it waited to call again
                await self.puller.acknowledge(message)
                return
            kill_point("predictor.called")
            await self._publish(prediction)
            kill_point("predictor.published")
            await self.puller.acknowledge(message)
            await self._large.discard(message)
        except asyncio.CancelledError:
            handed_back = True
            raise
        except (ObjectStoreError, NatsError) as error:
            handed_back = True
            logger.warning("a job waits: %s", error)
        except Exception as error:
            handed_back = not await self._give_up_on(message, error)
        finally:
            told = self._under_way.pop(message.reply)
            # A nak after `ack_wait` would start a second call beside a redelivered one.
            if handed_back and time.monotonic() - told < MODEL_ACK_WAIT_S / 2 and self._nc.is_connected:
                await self._nc.publish(message.reply, b'-NAK {"delay": 1000000000}')

    def _dropped(self, job: Job) -> bool:
        """Whether the job is void: its evaluation is cancelled, or was given up in this round."""
        return job.round <= self._void.get(job.evaluation, -1)

    async def _give_up_on(self, message: Msg, error: Exception) -> bool:
        """A job that made the predictor fail in itself: whether it is parked, after some tries, or to be handed back."""
        logger.exception("a job on %s failed in the predictor itself", message.subject)
        if self._nc.is_connected and message.metadata.num_delivered >= TRIES:
            try:
                await self._park(message, f"the predictor itself failed {TRIES} times: {type(error).__name__}: {error}")
            except Exception as failure:
                logger.warning("cannot park a job: %s; it is handed back", type(failure).__name__)
            else:
                return True
        return False

    async def _park(self, message: Msg, reason: str) -> None:
        logger.error("a job on %s is parked: %s", message.subject, reason)
        await park(self._js, message, reason, "predictor", self._nc.max_payload)
        await self.puller.acknowledge(message)

    async def _predict(self, job: Job) -> Prediction | None:
        """Call until an answer, a last word, or the end of the attempts; None where the evaluation was cancelled meanwhile."""
        started_at = time.time()
        attempt = spared = 0
        while True:
            if self.gate.shut and not await self._enter(job):
                return None
            attempt += 1
            began = time.monotonic()
            self.tally.begin(began)
            try:
                answer, failure = await self.endpoint.call(job), None
            except CallFailed as error:
                answer, failure = None, error
            finally:
                ended = time.monotonic()
                self.tally.end(ended)
                if self.gate.shut:
                    self.gate.ended()
            latency_ms = (ended - began) * 1000
            if answer:
                self.tally.answer(ended - began)
                self.gate.answered()
                self._tell(job.evaluation, answer.adapted)
                outcome = Outcome.SCORED if answer.output.strip() else Outcome.NO_ANSWER
                return _prediction(job, outcome, attempt, started_at, latency_ms, answer=answer)
            assert failure
            # One that fails again and again is no evidence against the endpoint.
            spared += await self._failed(failure, first=attempt - spared == 1)
            pause = pause_before_retry(failure, attempt - spared, self.endpoint.model.max_attempts, self._rng)
            if pause is None:
                outcome = Outcome.INFRA_ERROR if failure.retryable else Outcome.MODEL_ERROR
                return _prediction(job, outcome, attempt, started_at, latency_ms, error=failure.message)
            self._notes.add(job.evaluation, f"{_judge(job)}{failure.kind}: calling again")
            await asyncio.sleep(pause)
            if self._dropped(job):
                return None

    def _tell(self, evaluation: str, adapted: Sequence[str]) -> None:
        """How requests differ from what was asked for: once an evaluation."""
        for text in adapted:
            if (evaluation, text) not in self._told:
                if len(self._told) >= MOST_TOLD:
                    self._told.clear()
                self._told.add((evaluation, text))
                self._notes.add(evaluation, text)

    async def _enter(self, job: Job) -> bool:
        if why := self.gate.why:
            self._notes.add(job.evaluation, f"{_judge(job)}{why}: waiting")
        self._held[job.evaluation, _judge(job)] += 1
        try:
            return await self.gate.enter(lambda: self._dropped(job))
        finally:
            self._held[job.evaluation, _judge(job)] -= 1

    async def _failed(self, failure: CallFailed, *, first: bool) -> bool:
        """Tell the others what a failure means for them; whether it is the endpoint's own and costs the sample no attempt."""
        trouble = failure.trouble
        self.tally.failed(trouble, failure.message, first=first)
        if failure.retry_after:
            seconds = min(failure.retry_after, RETRY_AFTER_CAP_S)
            if self.gate.hold(seconds):
                hold = PacingHold(seconds=seconds)
                await self._nc.publish(subjects.pacing_hold(self.endpoint.model.id), hold.model_dump_json().encode())
        if trouble is Trouble.TIMEOUT:
            return False
        if trouble is None or trouble not in EVIDENCE:
            self.gate.answered()
            return False
        self.gate.failed(trouble, first=first)
        return self.gate.down or (trouble is Trouble.UNREACHABLE and self.endpoint.model.has_engine)

    async def _publish(self, prediction: Prediction) -> None:
        """Publish until the server has acknowledged; a repeat within the duplicate window is swallowed there."""
        payload = prediction.model_dump_json(exclude_defaults=True).encode()
        headers = None
        if self._large.too_large(payload):
            headers = await self._put(prediction, payload)
            payload = b""
        subject = subjects.prediction(prediction.evaluation, prediction.scoring.lane)
        while True:
            try:
                await self._publisher.publish(subject, payload, prediction.message_id(), headers)
            except NotTaken as error:  # the broker away, restarting or full: what was predicted must not be lost
                self._complain(f"cannot publish a prediction: {error}; trying again")
                await asyncio.sleep(0.25 + self._rng.random() * 0.5)
            else:
                return

    def _complain(self, message: str) -> None:
        """Once a second: in an outage every call under way has the same to say."""
        if time.monotonic() - self._complained_at > 1:
            self._complained_at = time.monotonic()
            logger.warning(message)

    async def _put(self, prediction: Prediction, body: bytes) -> dict[str, str]:
        """Until the object store has it."""
        while True:
            try:
                return await self._large.put(subjects.PREDICTIONS, prediction.evaluation, prediction.message_id(), body)
            except ObjectStoreError as error:
                self._complain(f"cannot store a large prediction: {error}; trying again")
                await asyncio.sleep(0.25 + self._rng.random() * 0.5)


def _judge(job: Job) -> str:
    """What a note about a call begins with."""
    return "the judge: " if job.judging else ""


def _prediction(
    job: Job,
    outcome: Outcome,
    attempts: int,
    started_at: float,
    latency_ms: float,
    *,
    answer: Answer | None = None,
    error: str | None = None,
) -> Prediction:
    return Prediction(
        evaluation=job.evaluation,
        model=job.model,
        index=job.index,
        sample=job.sample,
        round=job.round,
        dispatch=job.dispatch,
        item_id=job.item_id,
        target=job.target,
        hints=job.hints,
        scoring=job.scoring,
        judge=job.judge,
        judging=job.judging,
        outcome=outcome,
        output=answer.output if answer else "",
        error=error,
        reasoning=answer.reasoning if answer else "",
        finish_reason=answer.finish_reason if answer else None,
        usage=answer.usage if answer else None,
        attempts=attempts,
        started_at=started_at,
        latency_ms=round(latency_ms, 3),
        ttft_ms=round(answer.ttft_s * 1000, 3) if answer and answer.ttft_s is not None else None,
    )
