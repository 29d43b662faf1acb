"""An evaluation of very many items put straight into MongoDB, and a log that grows as fast as one wants."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import nats
from pydantic import TypeAdapter
from pymongo import MongoClient, ReturnDocument

from assay.sample_model import draw
from deploy.embedded.stack import Stack
from services.orchestrator.state import event, log_event, now, progress_event, status_event
from services.scorer.landing import result
from services.scorer.metrics import Metrics
from services.scorer.scorers import main_metric
from shared import subjects
from shared.contracts import Event, Outcome, Prediction, Status, Usage
from shared.scoring import Scoring
from shared.settings import Settings

SLUG = "large"
REFERENCE = f"{SLUG}@0"
BATCH = 5_000

Document = dict[str, Any]


def settings_of(stack: Stack) -> Settings:
    """What the stack's services were told, to reach its stores from here."""
    told = {name.removeprefix("ASSAY_").lower(): value for name, value in stack.environment.items()}
    return Settings.model_validate(told)


@contextmanager
def database_of(settings: Settings) -> Iterator[Any]:
    client: MongoClient[Document] = MongoClient(settings.mongo_url.get_secret_value(), tz_aware=True)
    try:
        yield client[settings.mongo_database]
    finally:
        client.close()


def prediction(evaluation: Document, item: Document) -> Prediction:
    """What a predictor would have said of an item: right in four of five, now and then no answer or a failure."""
    chance = draw("large", item["index"])
    outcome = Outcome.SCORED
    if chance > 0.99:
        outcome = Outcome.NO_ANSWER if chance > 0.995 else Outcome.INFRA_ERROR
    answer = item["target"].rpartition("#### ")[2] if chance < 0.8 else "7"
    called = outcome is not Outcome.INFRA_ERROR
    return Prediction(
        evaluation=evaluation["_id"],
        model=evaluation["model"],
        index=item["index"],
        item_id=item["item_id"],
        target=item["target"],
        hints=item["hints"],
        scoring=evaluation["scoring"],
        outcome=outcome,
        output=f"Let me work through this step by step. So the answer is {answer}."
        if outcome is Outcome.SCORED
        else "",
        error=None if called else "HTTP 503 after 5 attempts: Service Unavailable",
        finish_reason="stop" if called else None,
        usage=Usage(prompt_tokens=90, completion_tokens=40, total_tokens=130) if called else None,
        attempts=1 if called else 5,
        started_at=evaluation["created_at"].timestamp() + item["index"] / 500,
        latency_ms=200 + 800 * draw("latency", item["index"]) if called else None,
    )


def insert_large(settings: Settings, like: str, items: int) -> int:
    """A completed evaluation of so many items, made in the image of the one with the id `like`; its number."""
    with database_of(settings) as database:
        small = database["evaluations"].find_one({"_id": like})
        environment = database["environments"].find_one({"_id": small["environment"]})
        some = list(database["items"].find({"environment": small["environment"], "phase": small["phase"]}))
        phases = [{**phase, "items": items} for phase in environment["phases"] if phase["name"] == small["phase"]]
        title = f"{items:,} word problems"
        large = {**environment, "_id": REFERENCE, "slug": SLUG, "version": "0", "title": title, "phases": phases}
        database["environments"].replace_one({"_id": REFERENCE}, large, upsert=True)
        where = {"environment": REFERENCE, "slug": SLUG, "version": "0", "environment_title": title}
        evaluation = _insert(database, {**small, **where}, items)
        metrics = Metrics(items)
        documents = (_item(some[index % len(some)], index) for index in range(items))
        while batch := list(islice(documents, BATCH)):
            database["items"].insert_many(batch, ordered=False)
            results = [result(prediction(evaluation, item), time.time()) for item in batch]
            database["results"].insert_many(results, ordered=False)
            for row in results:
                metrics.add(row)
        scoring: Scoring = TypeAdapter(Scoring).validate_python(evaluation["scoring"])
        found = {**small["metrics"], **metrics.finish(main_metric(scoring))}
        counts = {str(outcome): found[outcome] for outcome in Outcome}
        progress = {"done": items, "total": items, **counts, "correct": found["correct"]}
        ended = {"status": "completed", "finished_at": now(), "metrics": found, "progress": progress}
        database["evaluations"].update_one({"_id": evaluation["_id"]}, {"$set": ended})
        number: int = evaluation["number"]
        return number


def insert_running(settings: Settings, like: str, items: int) -> int:
    """An evaluation that runs, for all that one can see, and that nobody owns: its log is what a test writes. Its number."""
    with database_of(settings) as database:
        number: int = _insert(database, database["evaluations"].find_one({"_id": like}), items)["number"]
        return number


def _insert(database: Any, like: Document, items: int) -> Document:
    counter = database["counters"].find_one_and_update(
        {"_id": "evaluations"}, {"$inc": {"last": 1}}, return_document=ReturnDocument.AFTER
    )
    progress = {**dict.fromkeys(like["progress"], 0), "total": items}
    document: Document = {
        **like,
        "_id": f"e{counter['last']:026d}",
        "number": counter["last"],
        "items": items,
        "limit": None,
        "status": "running",
        "metrics": None,
        "finished_at": None,
        "created_at": now(),
        "started_at": now(),
        "progress": progress,
        "open": False,
        "outbox": [],
        "archived_to": None,
    }
    database["evaluations"].insert_one(document)
    return document


class Log:
    """Writes the log of an evaluation that `insert_running` made, or that has none of its own, from a thread beside the test."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1)
        self.lines = 0
        with database_of(settings) as database:
            self._evaluation: Document = database["evaluations"].find_one({"number": number})

    def start(self) -> None:
        self._publish([status_event(self._evaluation, Status.RUNNING, {"total": self._evaluation["items"]})]).result()

    def write(self, count: int, per_s: float = 5_000) -> Future[None]:
        """So many lines more, with a progress event to each hundred, so many a second."""
        events: list[Event] = []
        for number in range(self.lines, self.lines + count):
            level = ("info", "info", "info", "warning", "error")[number % 5]
            text = f"Line {number}: retrying item large-{number * 7 % 100_000}, HTTP 503 Service Unavailable, attempt 2 of 5"
            events.append(log_event(self._evaluation, text, level=level))
            if number % 100 == 99:
                done = min(self._evaluation["items"], number)
                progress = {**self._evaluation["progress"], "done": done}
                events.append(progress_event(self._evaluation, progress, per_s))
        self.lines += count
        return self._publish(events, per_s)

    def end(self) -> None:
        """The log's last event, and the evaluation's end."""
        with database_of(self._settings) as database:
            ended = {"status": "cancelled", "finished_at": now()}
            database["evaluations"].update_one({"_id": self._evaluation["_id"]}, {"$set": ended})
        self._publish([event(self._evaluation, "cancelled", {"status": "cancelled", "message": "Cancelled"})]).result()
        self._thread.shutdown()

    def _publish(self, events: list[Event], per_s: float = 5_000) -> "Future[None]":
        # In a thread of its own: Playwright's loop is running in the test's.
        return self._thread.submit(asyncio.run, self._send(events, per_s))

    async def _send(self, events: list[Event], per_s: float) -> None:
        token = self._settings.nats_token
        nc = await nats.connect(self._settings.nats_url, token=token.get_secret_value() if token else None)
        began = time.monotonic()
        try:
            for sent, entry in enumerate(events):
                subject = subjects.event(self._evaluation["_id"], entry.type)
                await nc.publish(subject, entry.model_dump_json().encode())
                if sent % 50 == 49:
                    await nc.flush()
                    await asyncio.sleep(max(0.0, began + sent / per_s - time.monotonic()))
            await nc.flush()
        finally:
            await nc.close()


def _item(like: Document, index: int) -> Document:
    return {
        **like,
        "_id": f"{REFERENCE}:{like['phase']}:{index}",
        "environment": REFERENCE,
        "index": index,
        "item_id": f"large-{index}",
    }
