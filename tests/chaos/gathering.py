"""What an evaluation left behind, gathered from the API, from MongoDB itself, and from a client that followed its log."""

import asyncio
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import nats
from pymongo import MongoClient

import assay
from assay.errors import AssayError
from assay.live import Feed
from shared import subjects
from shared.api import Evaluation, EventOut
from shared.contracts import Status
from tests.chaos.comparing import Remains, Said
from tests.running import RunningStack

TIMED = frozenset({"items_per_s", "latency_ms", "ttft_ms", "attempts", "retries", "duration_s"})
"""Fields of rows and metrics that say how long something took or how often it was tried."""

OWN = frozenset({"id", "number", "created_at", "round"})
"""Fields that tell an evaluation from another one of the same kind."""


class Follower:
    """Follows an evaluation's log in a thread, as any client of the SDK would, from its beginning to its end."""

    def __init__(self, client: assay.Client, evaluation: str, deadline: float) -> None:
        self.seen: list[EventOut] = []
        self.error: AssayError | None = None
        self._client = client
        self._evaluation = evaluation
        self._deadline = deadline
        self._thread: threading.Thread
        self.follow()

    def follow(self) -> None:
        """Go on after what was seen last: at first, and when a new round has begun."""
        self._thread = threading.Thread(target=self._take, name=f"follower of {self._evaluation}")
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _take(self) -> None:
        after = self.seen[-1].cursor if self.seen else None
        feed = Feed(self._client.address, self._evaluation, after)
        try:
            self.seen.extend(self._client.events.follow(feed, self._deadline))
        except AssayError as error:
            self.error = error


def said(event: EventOut) -> Said:
    kind = event.type.rpartition(".")[2]
    done = event.data["done"] if kind == "progress" else None
    return Said(event.cursor, event.id, kind, event.data["round"], done)


def gather(running: RunningStack, name: str, wanted: Status, evaluation: Evaluation, follower: Follower) -> Remains:
    """Everything of an evaluation; the stack must be in peace."""
    complaints = [f"a client that followed gave up: {follower.error}"] if follower.error else []
    files: dict[str, Any] = {}
    for file in running.client.evaluations.files(evaluation.id):
        content = running.file(evaluation, file.name)
        if (len(content), hashlib.sha256(content).hexdigest()) != (file.size, file.sha256):
            complaints.append(f"file {file.name} is not what its size and sha256 say")
        files[file.name] = comparable(file.name, content, evaluation)
    return Remains(
        name=name,
        wanted=wanted,
        status=evaluation.status,
        round=evaluation.round,
        items=evaluation.progress.total // evaluation.samples_per_item,
        samples=evaluation.samples_per_item,
        stored=stored(running, evaluation.id),
        progress=evaluation.progress.model_dump(),
        rows=running.rows(evaluation),
        metrics=untimed(evaluation.metrics or {}),
        files=files,
        history=[said(event) for event in running.client.events.history(evaluation.id)],
        followed=[said(event) for event in follower.seen],
        complaints=complaints,
    )


def _mongo(running: RunningStack) -> MongoClient[dict[str, Any]]:
    """MongoDB without any service between."""
    return MongoClient(running.embedded.environment["ASSAY_MONGO_URL"])


def stored(running: RunningStack, evaluation: str) -> list[tuple[int, int]]:
    """(index, sample) of each result."""
    with _mongo(running) as mongo:
        found = mongo["assay"]["results"].find({"evaluation": evaluation}, {"index": 1, "sample": 1})
        return [(row["index"], row["sample"]) for row in found]


def evaluations(running: RunningStack) -> int:
    """How many there are."""
    with _mongo(running) as mongo:
        return mongo["assay"]["evaluations"].count_documents({})


def queued(running: RunningStack) -> dict[str, int]:
    """What the work queues hold, by subject: once every evaluation has ended, anything would stay there for ever."""

    async def ask() -> dict[str, int]:
        environment = running.embedded.environment
        nc = await nats.connect(environment["ASSAY_NATS_URL"], token=environment["ASSAY_NATS_TOKEN"])
        try:
            js = nc.jetstream()
            found: dict[str, int] = {}
            for stream in (subjects.JOBS, subjects.PREDICTIONS):
                found |= (await js.stream_info(stream, subjects_filter=">")).state.subjects or {}
            return found
        finally:
            await nc.close()

    return asyncio.run(ask())


def untimed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in TIMED}


def comparable(name: str, content: bytes, evaluation: Evaluation) -> Any:
    """What of a file is the same whenever the same evaluation is run: its bytes where it holds no times.

    Of the HTML report, which has times in every row, only that it is there.
    """
    match name:
        case "dataset.jsonl":
            return content.replace(evaluation.id.encode(), b"EVALUATION")
        case "predictions.jsonl":
            return [untimed(json.loads(line)) for line in content.splitlines()]
        case "detailed_results.json":
            head, items = content.split(b'"items":', 1)
            parsed = json.loads(head.rstrip().removesuffix(b",") + b"}")
            own = {key: value for key, value in parsed["evaluation"].items() if key not in OWN}
            return own, untimed(parsed["metrics"]), items
        case "scoring_output.zip":
            entries = _entries(content)
            return {**entries, "scores.json": untimed(json.loads(entries["scores.json"]))}
        case "detailed_results.html":
            return bool(content)
    return content


def _entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def persist(ask: Callable[[], Any], deadline: float) -> Any:
    """Ask until there is an answer: in a storm a gateway may be away longer than the SDK waits. Raises at the deadline."""
    while True:
        try:
            return ask()
        except (AssayError, httpx.HTTPError) as error:
            if time.monotonic() > deadline or _final(error):
                raise
        time.sleep(0.2)


def _final(error: Exception) -> bool:
    """An answer that will not be another one next time."""
    status = getattr(error, "status", None)
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
    return isinstance(status, int) and status < 500
