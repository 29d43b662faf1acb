"""One owned evaluation, from `queued` to its end.

A run is driven by one task that does everything for it in turn, so that its log has one writer and an order. Whatever it
waits for is a fact in MongoDB; messages only wake it earlier. So it can be dropped at any point and taken up by another
process from the document alone.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from services.orchestrator import broker, recovery, samples
from services.orchestrator.dispatch import Rate
from services.orchestrator.state import is_final, log_event, now, progress_event, scored_event, status_event
from services.orchestrator.store import LEASE_MS, Store
from shared import subjects
from shared.contracts import Event, Landed, ModelStatus, Note, Outcome, Status, Step
from shared.errors import LostOwnership, Unavailable
from shared.faults import kill_point
from shared.publisher import NotTaken, Publisher
from shared.storage.mongo import OUTAGES, Document

logger = logging.getLogger("assay.orchestrator")

PROGRESS_EVERY_S = 0.2
SAVE_EVERY_S = 1.0
QUIET_S = 2.0
"""Nothing has landed for this long: the hints may have been lost, so count."""
QUIET_CAP_S = 30.0
SLEPT_S = LEASE_MS / 2000
"""Between two steps it never takes so long, unless the process was stopped or starved: then the lease may have run out."""
STEP_AGAIN_S = 20.0
"""A step asked for and not done after this is asked for again."""
RESEND_LIMIT = 10_000


class Run:
    """Drives one evaluation. `document` is its document in MongoDB, kept equal by this run's own writes."""

    def __init__(
        self,
        store: Store,
        nc: Client,
        js: JetStreamContext,
        publisher: Publisher,
        document: Document,
        dispatch: Callable[[], None],
    ) -> None:
        self._dispatch = dispatch  # to be called when there is something new to send
        self.store = store
        self.nc = nc
        self.js = js
        self._publisher = publisher
        self.document = document
        self.id: str = document["_id"]
        self.progress: dict[str, int] = dict(document["progress"])
        self.source: samples.Source | None = None
        self.sent = 0  # samples that are out or have landed, of this round
        self.rate = Rate()
        self.resends = 0
        self.wake = asyncio.Event()
        self._urgent = asyncio.Event()  # not to wait for the next progress event
        self._sending = False
        self.cancel_requested = bool(document.get("cancel_requested"))
        self.taken_over = document["epoch"] > 1
        self._unsure = self.taken_over  # whether what the outbox holds may have been announced already
        self._notes: deque[Note] = deque(maxlen=100)
        self._said_progress = (-1, 0.0)
        self._saved_at = 0.0
        self._landed_at = time.monotonic()
        self._quiet_s = QUIET_S
        self._count_now = False
        self._awake_at = time.monotonic()
        self._asked: tuple[str, float] = ("", 0.0)
        self._asked_times = 0
        self._waiting_said = ""

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
        self.progress["correct"] += hint.correct
        self._landed_at = time.monotonic()
        self._quiet_s = QUIET_S
        self.rate.add(count, self._landed_at)
        self.wake.set()
        if self.progress["done"] >= self.progress["total"]:
            self._urgent.set()

    def note(self, note: Note) -> None:
        self._notes.append(note)
        self.wake.set()

    def cancel(self) -> None:
        self.cancel_requested = True
        self.wake.set()
        self._urgent.set()

    # What the dispatcher asks

    @property
    def outstanding(self) -> int:
        return max(0, self.sent - self.progress["done"])

    @property
    def remaining(self) -> int:
        if self.source is None or self.cancel_requested or self.document["status"] != Status.RUNNING:
            return 0
        return self.source.remaining

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
        while jobs and not self.cancel_requested:
            try:
                await broker.publish_jobs(self._publisher, subject, jobs)
            except NotTaken as error:
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
            except (*OUTAGES, NatsError, Unavailable, TimeoutError, OSError) as error:
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
        await self._announce()
        if is_final(self.document["status"]):
            await self._close()
            return True
        if self.cancel_requested:
            await self._end(Status.CANCELLED)
            return False
        await self._say_notes()
        match self.document["status"]:
            case Status.QUEUED:
                await self._queued()
            case Status.RUNNING:
                await self._running()
            case Status.SCORING:
                await self._scoring()
        # What this step decided is said at once.
        await self._announce()
        return False

    async def _queued(self) -> None:
        stored = await self.store.files(self.document, "submission")
        if stored is None:
            await self._ask("created")
            return
        if stored.get("error"):
            await self._end(Status.FAILED, stored["error"])
            return
        model = await self.store.database["models"].find_one({"_id": self.document["model"]})
        if model and model["status"] == ModelStatus.UNREACHABLE:
            await self._say_waiting(f"Waiting for model {model['name']}: {model['status_detail']}")
            return
        document = self.document
        items = document["items"]
        await self.store.transition(
            document,
            Status.RUNNING,
            {"started_at": now(), "files": stored["files"]},
            [
                status_event(document, Status.RUNNING, {"total": self.progress["total"]}),
                log_event(
                    document,
                    f"Benchmark data loaded: {document['environment_title']}, phase {document['phase']}, {items} items,"
                    f" version {document['version'][:12]}",
                    key="data",
                ),
                log_event(document, f"Submission generated: {stored['files'][0]['size']} bytes", key="submission"),
            ],
        )

    async def _running(self) -> None:
        if self.source is None:
            await self._take_up()
        await self._say_progress()
        quiet = time.monotonic() - self._landed_at
        if self.progress["done"] >= self.progress["total"] or quiet > self._quiet_s or self._count_now:
            await self._count()
        if self.progress["done"] < self.progress["total"]:
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

    async def _scoring(self) -> None:
        scores = await self.store.scores(self.document)
        if scores is None:
            await self._ask("landed")
            return
        if scores.get("error"):
            await self._end(Status.FAILED, scores["error"])
            return
        if not self.document.get("scored_announced"):
            document = self.document
            await self.store.write(
                document,
                {"scored_announced": True},
                [log_event(document, "Score computed", key="scored"), scored_event(document, scores["metrics"])],
            )
            await self._announce()
        stored = await self.store.files(self.document, "files")
        if stored is None:
            await self._ask("scored")
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

    async def _end(self, status: Status, error: str | None = None) -> None:
        """Cancel or fail: predictors drop what is left of its jobs."""
        # After a take-over `progress` is what was saved last, which is less than what was said.
        self.progress = await samples.count(self.store.database, self.document)
        cancelled = await self.js.key_value(subjects.KV_CANCELLED)
        await cancelled.put(self.id, status.encode())
        await self._say_progress(last=True)
        data = {"error": error, "message": error} if error else {}
        await self.store.transition(
            self.document,
            status,
            {"error": error, "finished_at": now(), "progress": self.progress},
            [status_event(self.document, status, data)],
        )
        await self._announce()

    async def _close(self) -> None:
        """Archive the log; nothing is left to do."""
        entries: list[tuple[int, Event]] = []
        last = self.document["archived_to"] or 0
        async for position, event in broker.read_events(self.nc, self.js, self.id, last):
            entries.append((position, event))
            last = position
            if len(entries) == 500:
                await self.store.archive(self.id, entries)
                entries = []
        await self.store.archive(self.id, entries)
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
        if self.progress["done"] >= self.progress["total"] or self._sending:
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
        self.resends += 1
        dispatch = self.document["epoch"] * 1000 + self.resends
        self.source = samples.Listed(self.store.database, self.document, absent, dispatch)
        self.sent = self.progress["done"]
        self._dispatch()
        logger.info("%s: %d samples are sent again", self.id, len(absent))

    # Saying

    async def _announce(self) -> None:
        """Publish the outbox in order. After a take-over or a failure in here, what was announced already is not said twice."""
        outbox = self.document["outbox"]
        if not outbox:
            return
        known: set[str] = set()
        if self._unsure:
            after = self.document["archived_to"] or 0
            known = {event.id async for _, event in broker.read_events(self.nc, self.js, self.id, after)}
        self._unsure = True
        for entry in outbox:
            event = Event.model_validate(entry)
            if event.id not in known:
                await broker.publish_event(self.js, event, self.id)
                kill_point("orchestrator.announced")
        await self.store.announced(self.document, len(outbox))
        self._unsure = False

    async def _say(self, event: Event) -> None:
        await broker.publish_event(self.js, event, self.id)

    async def _say_notes(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            await self._say(log_event(self.document, note.message, level=note.level))

    async def _say_waiting(self, message: str) -> None:
        if message != self._waiting_said:
            self._waiting_said = message
            await self._say(log_event(self.document, message, level="warning"))

    async def _say_progress(self, *, last: bool = False) -> None:
        done, at = self.progress["done"], time.monotonic()
        said, said_at = self._said_progress
        # A hint that arrives behind a count is counted twice until the next one: so no step back, and the end only as counted.
        due = at - said_at >= PROGRESS_EVERY_S and done < self.progress["total"]
        if done > said and (last or due):
            self._said_progress = (done, at)
            await self._say(progress_event(self.document, self.progress, self.rate.per_s))
        if not last and self.progress != self.document["progress"] and at - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = at
            await self.store.write(self.document, {"progress": dict(self.progress)})

    async def _ask(self, verb: str) -> None:
        """Ask another service for a step, and again where it is not done in time."""
        asked, asked_at = self._asked
        if asked == verb and time.monotonic() - asked_at < STEP_AGAIN_S:
            return
        self._asked_times = self._asked_times + 1 if asked == verb else 0
        step = Step(evaluation=self.id, round=self.document["round"])
        await self.js.publish(
            subjects.lifecycle(self.id, verb),
            step.model_dump_json().encode(),
            timeout=broker.PUBLISH_TIMEOUT_S,
            headers={"Nats-Msg-Id": f"{self.id}:{step.round}:{verb}:{self.document['epoch']}:{self._asked_times}"},
        )
        self._asked = (verb, time.monotonic())


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
