"""An evaluation's log as lines for a person, the same as `static/loglines.js` makes of the events that it is sent."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from gateway.entry import Entry, entry_of
from gateway.parts import Parts
from gateway.stream import Kept
from shared import subjects
from shared.api import Evaluation
from shared.contracts import FINAL
from shared.errors import Unavailable
from shared.storage.mongo import Database

LINES = 500
"""How many of the last lines a page holds before a script has read the whole log."""

REACH = 20_000
"""Events of all evaluations at the stream's end among which a running one's last lines are looked for."""

TEXT = 2_000
"""Characters of a line on a page; the API has the whole."""

SAYS = {
    "queued": "Queued",
    "started": "Started",
    "scoring": "Scoring",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
LEVELS = {"failed": "error", "cancelled": "warning"}


@dataclass(frozen=True)
class Line:
    """`level` is info, warning or error; `progress` says whether it is one of many that only count; `cursor` is the event's."""

    at: datetime
    level: str
    message: str
    progress: bool = False
    cursor: str = "0"


def line_of(event: dict[str, Any]) -> Line:
    """The line of a CloudEvents object."""
    data = event["data"]
    kind = event["type"].rsplit(".", 1)[-1]
    message = str(data.get("message") or data.get("error") or "")
    if kind in SAYS:
        message = f"{SAYS[kind]}: {message}" if message else SAYS[kind]
    level = LEVELS.get(kind) or str(data.get("level", "info"))
    return Line(datetime.fromisoformat(event["time"]), level, message, kind == "progress", event.get("cursor", "0"))


async def last_lines(parts: Parts, evaluation: Evaluation) -> list[Line]:
    """The last lines of an evaluation's log; none where the broker cannot be asked."""
    if evaluation.status in FINAL:
        archived = await _archived(parts.database, evaluation.id)
        if archived and archived[-1].is_final:  # else it is being written
            return [_line(entry) for entry in archived]
    recent = parts.feed.recent.log(evaluation.id, 0)
    if recent is not None:
        return [_line(entry) for entry in recent[-LINES:]]
    if not parts.connected:
        return []
    kept = Kept(parts.service)
    try:
        after = max(0, (await kept.bounds())[1] - REACH)
        return await _read(kept.read(subjects.scope_events(evaluation.id), after))
    except Unavailable:
        return []


async def _archived(database: Database, evaluation_id: str) -> list[Entry]:
    newest = database["events"].find({"evaluation": evaluation_id}).sort([("evaluation", -1), ("_id", -1)]).limit(LINES)
    rows = await newest.to_list(LINES)
    return [entry_of(row["_id"], evaluation_id, row["event"]) for row in reversed(rows)]


async def _read(entries: AsyncGenerator[Entry, None]) -> list[Line]:
    found: deque[Line] = deque(maxlen=LINES)
    async with aclosing(entries):
        async for entry in entries:
            found.append(_line(entry))
    return list(found)


def _line(entry: Entry) -> Line:
    return line_of(orjson.loads(entry.text))
