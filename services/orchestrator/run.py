"""One owned evaluation, from `queued` to its end.

A run is driven by one task that does everything for it in turn, so that its log has one writer and an order. Whatever it
waits for is a fact in MongoDB; messages only wake it earlier. So it can be dropped at any point and taken up by another
process from the document alone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from services.orchestrator import broker, recovery, samples
from services.orchestrator.dispatch import AtJudge, Rate
from services.orchestrator.ending import Ending
from services.orchestrator.engines import Engines
from services.orchestrator.needs import Needs
from services.orchestrator.patience import Patience
from services.orchestrator.saying import Log
from services.orchestrator.state import (
    is_final,
    log_event,
    now,
    over_time,
    progress_event,
    scored_event,
    started_events,
    status_event,
)
from services.orchestrator.steps import Steps
from services.orchestrator.store import LEASE_MS, Store
from shared import subjects
from shared.contracts import Event, Landed, Note, Outcome, Status
from shared.errors import LostOwnership, Unavailable
from shared.faults import kill_point
from shared.large import LargeMessages
from shared.publisher import NotTaken, Publisher
from shared.storage.mongo import OUTAGES, Document
from shared.storage.objects import ObjectStoreError

logger = logging.getLogger("assay.orchestrator")

PROGRESS_EVERY_S = 0.2
SAVE_EVERY_S = 1.0
QUIET_S = 2.0
"""Nothing has landed for this long: the hints may have been lost, so count."""
QUIET_CAP_S = 30.0
SLEPT_S = LEASE_MS / 2000
"""Between two steps it never takes so long, unless the process was stopped or starved: then the lease may have run out."""
RESEND_LIMIT = 10_000
PARKED_LIMIT = 2
"""A sample whose messages were parked so often in a round is not sent again: it ends with the reason."""
LOOK_S = 1.0
"""Nothing has landed for this long: see whether the model is there at all."""


@dataclass(frozen=True)
class Tools:
    """What every run works with beside the store. `unreachable_wait_s` is the deployment's default."""

    nc: Client
    js: JetStreamContext
    publisher: Publisher
    large: LargeMessages
    engines: Engines
    unreachable_wait_s: float


class Run:
    """Drives one evaluation. `document` is its document in MongoDB, kept equal by this run's own writes."""

    def __init__(self, store: Store, tools: Tools, document: Document, dispatch: Callable[[], None]) -> None:
        self._dispatch = dispatch  # to be called when there is something new to send
        self.store = store
        self.nc, self.js = tools.nc, tools.js
        self._tools = tools
        self.document = document
        self.log = Log(store, tools.nc, tools.js, document)
        self._steps = Steps(tools.js, document)
        self._needs = Needs(store, tools.engines, document, tools.unreachable_wait_s)
        self._ending = Ending(store.database, tools.js, tools.publisher, tools.large, document)
        self.id: str = document["_id"]
        self.progress: dict[str, int] = dict(document["progress"])
        self.source: samples.Source | None = None
        self.sent = 0  # samples that are out or have landed, of this round
        self._at_judge = AtJudge()
        self.rate = Rate()
        self.resends = 0
        self.wake = asyncio.Event()
        self._urgent = asyncio.Event()  # not to wait for the next progress event
        self._sending = False
        self.cancel_requested = bool(document.get("cancel_requested"))
        self.taken_over = document["epoch"] > 1
        self._said_progress = (-1, 0.0)
        self._saved_at = 0.0
        self._landed_at = time.monotonic()
        self._quiet_s = QUIET_S
        self._count_now = False
        self._awake_at = time.monotonic()
        self._looked_at = 0.0

    # What others tell this run

    def landed(self, hint: Landed) -> None:
        """A bulk write of the scorer. A hint: lost ones are made good by counting."""
        if hint.round != self.document["round"]:
            return
        if not self.progress["done"] and sum(hint.outcomes.values()) > hint.outcomes.get(Outcome.INFRA_ERROR, 0):
            self.note(Note(evaluation=self.id, message=f"Model {self.document['model_name']} answers"))
        count = 0
        for outcome, added in hint.outcomes.items():
            self.progress[outcome] += added
            count += added
        self.progress["done"] += count
        if "correct" in self.progress:
            self.progress["correct"] += hint.correct
        self._landed_at = time.monotonic()
        self._quiet_s = QUIET_S
        self.rate.add(count, self._landed_at)
        self.wake.set()
        if self.progress["done"] >= self.progress["total"]:
            self._urgent.set()

    def note(self, note: Note) -> None:
        self.log.note(note)
        self.wake.set()

    def cancel(self) -> None:
        self.cancel_requested = True
        self.wake.set()
        self._urgent.set()

    # What the dispatcher asks

    @property
    def outstanding(self) -> int:
        """Samples that are at the model, or on their way to it or from it."""
        done = self.progress["done"]
        return max(0, self.sent - done - self._at_judge.now(done))

    @property
    def remaining(self) -> int:
        if self.source is None or self._is_called_off or self.document["status"] != Status.RUNNING:
            return 0
        return 0 if self._at_judge.is_full(self.progress["done"]) else self.source.remaining

    async def look_at_judge(self, most: int) -> None:
        """To be called once a second: how many answers wait for their verdict, of which there are to be at most about `most`."""
        counted = await recovery.at_judge(self.js, self.document)
        self._at_judge = AtJudge(counted, self.progress["done"], most)

    @property
    def _is_called_off(self) -> bool:
        """Nothing more of this round is called."""
        return self.cancel_requested or self.given_up is not None or self._over_time is not None

    @property
    def _over_time(self) -> str | None:
        return over_time(self.document, self.progress, now())

    @property
    def given_up(self) -> str | None:
        """Why what is missing of this round is not called any more."""
        found: Document = self.document.get("given_up") or {}
        return found["reason"] if found.get("round") == self.document["round"] else None

    async def send(self, count: int) -> None:
        """Publish the next samples; does not return before the broker has them all, for they are taken from the source."""
        if not self.source:
            return
        self._sending = True
        try:
            jobs = await self.source.take(count)
            self.sent += len(jobs)
            await self._publish(jobs)
            kill_point("orchestrator.dispatching")
        finally:
            self._sending = False

    async def _publish(self, jobs: list[samples.Outgoing]) -> None:
        subject = subjects.job(self.document["model"], self.id)
        while jobs and not self._is_called_off:
            try:
                await broker.publish_samples(
                    self._tools.publisher, self._tools.large, subjects.JOBS, subject, self.id, jobs
                )
            except (NotTaken, ObjectStoreError) as error:
                logger.warning("jobs of %s are not taken: %s; trying again", self.id, error)
                await asyncio.sleep(0.5)
            else:
                return

    # The drive

    async def drive(self) -> None:
        """Until the evaluation is at rest, or another process owns it."""
        while True:
            before = self.document["status"]
            try:
                await self._check_ownership()
                if await self._step():
                    return
                if self.document["status"] != before:
                    continue  # the next status has something to do at once
            except LostOwnership:
                logger.warning("%s was taken over by another orchestrator", self.id)
                return
            except (*OUTAGES, NatsError, NotTaken, ObjectStoreError, Unavailable, TimeoutError, OSError) as error:
                logger.warning("%s waits: %s", self.id, type(error).__name__)
                await asyncio.sleep(0.5)
            except Exception:
                logger.exception("a step of %s failed; trying again", self.id)
                await asyncio.sleep(2)
            await self._wait()

    async def _check_ownership(self) -> None:
        """After a sleep, before anything is said: not every event goes with a write that would find the epoch over."""
        slept_s = time.monotonic() - self._awake_at
        if slept_s > SLEPT_S:
            await self.store.check(self.document)
        self._awake_at = time.monotonic()

    async def _wait(self) -> None:
        # A running evaluation speaks at most so often, but its end and a cancel are not kept waiting.
        if self.document["status"] == Status.RUNNING:
            await _within(PROGRESS_EVERY_S, self._urgent)
        await _within(0.5, self.wake)
        self.wake.clear()
        self._urgent.clear()

    async def _step(self) -> bool:
        await self.log.announce()
        if is_final(self.document["status"]):
            await self._close()
            return True
        if self.cancel_requested:
            await self._end(Status.CANCELLED)
            return False
        await self.log.say_notes()
        match self.document["status"]:
            case Status.QUEUED:
                await self._queued()
            case Status.RUNNING:
                await self._running()
            case Status.SCORING:
                await self._scoring()
        # What this step decided is said at once.
        await self.log.announce()
        return False

    async def _queued(self) -> None:
        stored = await self.store.files(self.document, "submission")
        if stored is None:
            await self._steps.ask("created")
            return
        if stored.get("error"):
            await self._end(Status.FAILED, stored["error"])
            return
        found = await self._needs.look()
        if found.failed:
            await self._end(Status.FAILED, found.message)
            return
        if found.waits and not found.over:
            await self.log.say_waiting(found.message, found.level)
            return
        giving_up, said = self._giving_up(found)
        changes = {"started_at": now(), "files": stored["files"], **giving_up}
        started = started_events(self.document, stored["files"][0]["size"])
        await self.store.transition(self.document, Status.RUNNING, changes, [*started, *said])

    async def _running(self) -> None:
        if self.source is None:
            await self._take_up()
        await self._say_progress()
        quiet = time.monotonic() - self._landed_at
        if self.progress["done"] >= self.progress["total"] or quiet > self._quiet_s or self._count_now:
            await self._count()
        if self.progress["done"] < self.progress["total"] and self._over_time and not self.given_up:
            await self._stop_late()
            return
        if self.progress["done"] < self.progress["total"]:
            await self._go_on_or_give_up(quiet)
            return
        await self._say_progress(last=True)
        document = self.document
        await self.store.transition(
            document,
            Status.SCORING,
            {"progress": self.progress},
            [
                log_event(document, f"Predictions generated: {self.progress['done']}", key="predictions"),
                status_event(document, Status.SCORING),
            ],
        )

    async def _stop_late(self) -> None:
        """The phase's time is over. A redrive that takes too long leaves the evaluation what it had."""
        self.progress = await samples.count(self.store.database, self.document)
        reason = self._over_time
        if reason is None or self.progress["done"] >= self.progress["total"]:
            return
        if self.document["round"] == 0:
            await self._end(Status.FAILED, reason)
        else:
            await self.store.write(self.document, *self._giving_up(Patience(over=True, message=reason)))

    async def _go_on_or_give_up(self, quiet: float) -> None:
        """A model that cannot be called is waited for so long and no longer; then what is missing ends as `infra_error`."""
        if reason := self.given_up:
            if not self._sending:
                await self._ending.step(reason)
            return
        await self._needs.keep()
        if quiet < LOOK_S or time.monotonic() - self._looked_at < LOOK_S:
            return
        self._looked_at = time.monotonic()
        found = await self._needs.look()
        await self.log.say_waiting(found.message if not found.over else "", found.level)
        if found.over:
            await self.store.write(self.document, *self._giving_up(found))

    def _giving_up(self, found: Patience) -> tuple[Document, list[Event]]:
        """What is written and said where patience is over."""
        if not found.over:
            return {}, []
        missing = self.progress["total"] - self.progress["done"]
        message = f"Giving up: {found.message}; {missing} samples end as infra_error, which a redrive calls again"
        changes = {"given_up": {"round": self.document["round"], "reason": found.message}}
        return changes, [log_event(self.document, message, level="error", key="given_up")]

    async def _scoring(self) -> None:
        scores = await self.store.scores(self.document)
        if scores is None:
            await self._steps.ask("landed")
            return
        if scores.get("error"):
            await self._end(Status.FAILED, scores["error"], scores.get("files", []))
            return
        if not self.document.get("scored_announced"):
            document = self.document
            await self.store.write(
                document,
                {"scored_announced": True},
                [log_event(document, "Score computed", key="scored"), scored_event(document, scores["metrics"])],
            )
            await self.log.announce()
        stored = await self.store.files(self.document, "files")
        if stored is None:
            await self._steps.ask("scored")
            return
        if stored.get("error"):
            await self._end(Status.FAILED, stored["error"])
            return
        await self._complete(scores["metrics"], stored["files"])

    async def _complete(self, metrics: Document, files: list[Document]) -> None:
        kill_point("orchestrator.completing")
        await recovery.sweep(self.js, self.document)
        document = self.document
        finished_at = now()
        duration_s = (finished_at - document["created_at"]).total_seconds()
        submission = [file for file in document["files"] if file["kind"] == "submission"]
        total_size = sum(file["size"] for file in files)
        await self.store.transition(
            document,
            Status.COMPLETED,
            {
                "metrics": {**metrics, "duration_s": duration_s},
                "files": [*submission, *files],
                "finished_at": finished_at,
            },
            [
                log_event(document, f"Files stored: {len(files)} files, {total_size} bytes", key="files"),
                status_event(document, Status.COMPLETED, {"duration_s": duration_s, "metrics": metrics}),
            ],
        )
        kill_point("orchestrator.completed")

    async def _end(self, status: Status, error: str | None = None, files: Sequence[Document] = ()) -> None:
        """Cancel or fail: predictors drop what is left of its jobs. `files` are there nevertheless, in the place of those of the same name."""
        # After a take-over `progress` is what was saved last, which is less than what was said.
        self.progress = await samples.count(self.store.database, self.document)
        cancelled = await self.js.key_value(subjects.KV_CANCELLED)
        await cancelled.put(self.id, status.encode())
        kill_point("orchestrator.ending")
        await self._say_progress(last=True)
        data = {"error": error, "message": error} if error else {}
        new = {file["name"] for file in files}
        kept = [file for file in self.document["files"] if file["name"] not in new]
        await self.store.transition(
            self.document,
            status,
            {"error": error, "finished_at": now(), "progress": self.progress, "files": [*kept, *files]},
            [status_event(self.document, status, data)],
        )
        await self.log.announce()

    async def _close(self) -> None:
        """Archive the log and clear away what went through the object store; then nothing is left to do."""
        last = await self.log.archive()
        await self._tools.large.sweep(self.id)
        kill_point("orchestrator.closing")
        await self.store.write(self.document, {"archived_to": last, "open": False})

    # Taking up, counting, making good

    async def _take_up(self) -> None:
        """Find out how far dispatch had come, and go on from there."""
        database, document = self.store.database, self.document
        if document["round"] > 0:
            # What a redrive has to call is what `missing` lists; nothing is sent while a job may still be out.
            self.progress = await samples.count(database, document)
            self.source = samples.Listed(database, document, [], 0)
            self.sent = self.progress["done"]
            self._count_now = True
            return
        position = 0
        if self.taken_over:
            position = await recovery.dispatched(database, self.js, document)
            self.progress = await samples.count(database, document)
        self.source = samples.Fresh(database, document, position)
        self.sent = position
        self._landed_at = time.monotonic()
        self._dispatch()

    async def _count(self) -> None:
        """Count what landed; where that stands still with nothing outstanding anywhere, send again what is missing."""
        before = self.progress["done"]
        waiting = await recovery.waiting(self.js, self.document)
        if self._count_now or not recovery.adds_up(self.sent, before, self.progress["total"], waiting):
            self.progress = await samples.count(self.store.database, self.document)
        self._count_now = False
        self._landed_at = time.monotonic()
        if self.progress["done"] != before:
            self._quiet_s = QUIET_S
            return
        self._quiet_s = min(QUIET_CAP_S, self._quiet_s * 1.5)
        if self.progress["done"] >= self.progress["total"] or self._sending or self.given_up:
            return
        if waiting:
            if await recovery.bury_ghosts(self.js, self.document):
                self._quiet_s = QUIET_S
        elif self.source and self.source.remaining:
            # Nothing is out any more, so nothing holds the window: the rest has still to be sent.
            self.sent = self.progress["done"]
            self._dispatch()
        else:
            await self._resend()

    async def _resend(self) -> None:
        absent = await samples.missing(self.store.database, self.document, RESEND_LIMIT)
        if not absent:
            return
        parked = await recovery.parked(self.js, self.document)
        hopeless = {key: parked[key][-1] for key in absent if len(parked.get(key, [])) >= PARKED_LIMIT}
        if hopeless:
            reasons = {key: f"its messages were parked: {reason}" for key, reason in hopeless.items()}
            await self._ending.end(reasons)
            absent = [key for key in absent if key not in hopeless]
        if not absent:
            return
        self.resends += 1
        dispatch = self.document["epoch"] * 1000 + self.resends
        self.source = samples.Listed(self.store.database, self.document, absent, dispatch)
        self.sent = self.progress["done"]
        self._dispatch()
        logger.info("%s: %d samples are sent again", self.id, len(absent))

    # Saying

    async def _say_progress(self, *, last: bool = False) -> None:
        done, at = self.progress["done"], time.monotonic()
        said, said_at = self._said_progress
        # A hint that arrives behind a count is counted twice until the next one: so no step back, and the end only as counted.
        due = at - said_at >= PROGRESS_EVERY_S and done < self.progress["total"]
        if done > said and (last or due):
            self._said_progress = (done, at)
            await self.log.say(progress_event(self.document, self.progress, self.rate.per_s))
        changes = {"progress": dict(self.progress), "remaining": self.remaining}
        changed = any(self.document.get(name) != value for name, value in changes.items())
        if not last and changed and at - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = at
            await self.store.write(self.document, {**changes, "landed_per_s": self.rate.per_s})


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
