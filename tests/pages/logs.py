"""Logs as the API has them and as a page shows them, and a long one to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from playwright.sync_api import Page
from pymongo import MongoClient
from pymongo.database import Database

from shared.api import Evaluation
from tests.running import RunningStack

SAYS = {"queued", "started", "scoring", "completed", "failed", "cancelled"}


def said(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    """Every line that the evaluation's log should have, from the history of its events."""
    lines: list[str] = []
    cursor = "0"
    while cursor:
        answer = httpx.get(
            f"{stack.url}/v1/evaluations/{evaluation.id}/events", params={"cursor": cursor, "limit": 1000}
        ).json()
        for event in answer["items"]:
            kind = event["type"].rsplit(".", 1)[-1]
            message = event["data"].get("message", "")
            lines.append(": ".join(filter(None, [kind.capitalize(), message])) if kind in SAYS else message)
        cursor = answer["next"]
    return lines


def shown(page: Page) -> list[str]:
    """The texts of the lines that the page has drawn."""
    texts: list[str] = page.locator("#log-lines .line-text").all_inner_texts()
    return texts


@contextmanager
def database_of(stack: RunningStack) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(stack.embedded.environment["ASSAY_MONGO_URL"], tz_aware=True)
    with client:
        yield client[stack.embedded.environment.get("ASSAY_MONGO_DATABASE", "assay")]


def add_failed(stack: RunningStack, like: Evaluation, error: str) -> int:
    """An evaluation like another one, but failed for this reason; returns its number. Scorers that fail are hard to come by."""
    with database_of(stack) as database:
        document = database["evaluations"].find_one({"_id": like.id})
        assert document
        number = 2_000_000 + like.number
        changes = {"_id": f"{like.id}failed", "number": number, "status": "failed", "error": error, "metrics": None}
        database["evaluations"].insert_one({**document, **changes, "files": [], "outbox": []})
    return number


def add_long_log(stack: RunningStack, like: Evaluation, lines: int) -> int:
    """A completed evaluation like another one, whose log has so many lines; returns its number.

    Written where the orchestrator archives logs, since no evaluation talks so much in the time of a test.
    """
    identity, number = f"{like.id}long", 1_000_000 + like.number
    base = 1 << 40  # positions far from those of the stream
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def event(nth: int) -> dict[str, Any]:
        kind, message = ("log", f"Line number {nth}") if nth % 10 == 0 else ("progress", f"Processing: {nth}/{lines}")
        if nth == lines - 1:
            kind = "completed"
        return {
            "specversion": "1.0",
            "id": f"{identity}:{nth}",
            "source": "/assay/orchestrator",
            "type": f"assay.evaluation.{kind}",
            "subject": f"evaluations/{identity}",
            "time": (began + timedelta(seconds=nth)).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {
                "evaluation": identity,
                "number": number,
                "round": 0,
                "level": "info",
                "message": message,
                "done": nth + 1,
                "total": lines,
                "percent": 100 * (nth + 1) // lines,
            },
        }

    rows = ({"_id": base + nth, "evaluation": identity, "event": event(nth)} for nth in range(lines))
    with database_of(stack) as database:
        document = database["evaluations"].find_one({"_id": like.id})
        assert document
        changes = {"_id": identity, "number": number, "archived_to": base + lines, "outbox": []}
        database["events"].insert_many(rows)
        database["evaluations"].insert_one({**document, **changes})
    return number
