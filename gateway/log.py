"""The log of events as clients ask for it: an evaluation's own, and the feed of all."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

from gateway.entry import Entry, entry_of
from gateway.follow import follow
from gateway.live import Feed
from gateway.problems import Gone
from gateway.stream import Kept
from shared import subjects
from shared.contracts import FINAL
from shared.errors import BadRequest, FieldError, Invalid
from shared.storage.mongo import Database, Document

TYPES = frozenset(
    {
        *(
            f"assay.evaluation.{kind}"
            for kind in (
                "queued", "started", "progress", "log", "scoring", "scored", "completed", "failed", "cancelled"
            )
        ),
        "assay.model.status",
        "assay.model.log",
        "assay.environment.registered",
    }
)  # fmt: skip


def parse_after(after: str | None) -> int | None:
    """The position that a cursor stands for; raises `BadRequest` for what is none."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise BadRequest("after is not a cursor: it must be the cursor of an event, or 0 for the beginning")
    return int(after)


def parse_types(values: list[str]) -> frozenset[str]:
    """Types of a filter, each given by itself or several with commas between them; raises `Invalid` for unknown ones."""
    found = frozenset(split(values))
    if unknown := sorted(found - TYPES):
        known = ", ".join(sorted(TYPES))
        error: FieldError = {"loc": ["type"], "msg": f"unknown type {unknown[0]}; there are {known}"}
        raise Invalid(f"type: {error['msg']}", [error])
    return found


def split(values: list[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


@dataclass(frozen=True)
class Selection:
    """What a client of the feed of all wants; empty means everything."""

    evaluations: Collection[str] = ()
    types: Collection[str] = ()

    def wants(self, entry: Entry) -> bool:
        return (not self.evaluations or entry.scope in self.evaluations) and (
            not self.types or entry.type in self.types
        )

    def subject(self) -> str:
        """The narrowest subject that covers it; one filter is all that every server version allows."""
        scope = next(iter(self.evaluations)) if len(self.evaluations) == 1 else "*"
        return subjects.event(scope, next(iter(self.types))) if len(self.types) == 1 else subjects.scope_events(scope)


def at_rest(evaluation: Document) -> bool:
    """Whether nothing more is announced of this evaluation, unless it is redriven."""
    return evaluation["status"] in FINAL and not evaluation.get("outbox")


def ends_with(entry: Entry, evaluation: Document) -> bool:
    """Whether an evaluation's log ends with this event: a redriven one goes on after an earlier round's end."""
    return entry.is_final and evaluation["status"] in FINAL and entry.round == evaluation["round"]


class Log:
    """Reads and follows."""

    def __init__(self, database: Database, kept: Kept, feed: Feed) -> None:
        self._database = database
        self._kept = kept
        self._feed = feed
        self._asked_last: dict[int, asyncio.Task[bool]] = {}

    # An evaluation's own log

    async def history(self, evaluation_id: str, after: int) -> AsyncGenerator[Entry, None]:
        """From the archive as far as that goes, the rest from the stream."""
        evaluation = await self._database["evaluations"].find_one({"_id": evaluation_id}, {"archived_to": 1})
        archived_to = (evaluation or {}).get("archived_to") or 0
        position = after
        if position < archived_to:
            query = {"evaluation": evaluation_id, "_id": {"$gt": position, "$lte": archived_to}}
            async for row in self._database["events"].find(query).sort("_id", 1):
                yield entry_of(row["_id"], evaluation_id, row["event"])
            position = archived_to
        async with aclosing(self._kept.read(subjects.scope_events(evaluation_id), position)) as rest:
            async for entry in rest:
                yield entry

    def follow_evaluation(self, evaluation: Document, after: int) -> AsyncGenerator[Entry, None]:
        """Its log after a position, and on until its end. `evaluation` must have been read just now."""
        evaluation_id = evaluation["_id"]

        return follow(
            self._feed,
            lambda position: self._so_far(evaluation, position),
            lambda entry: entry.scope == evaluation_id,
            after,
            is_last=self._is_last,
            scope=evaluation_id,
            # Read before the history is: what had been announced by then is in it.
            ended=at_rest(evaluation),
        )

    async def _so_far(self, evaluation: Document, after: int) -> AsyncGenerator[Entry, None]:
        """What a client that goes on with the live feed has missed: without a read where the newest events hold all of it.

        Where no feed follows, what is here must hold the log's end too: this gateway may be a moment behind the stream.
        """
        recent = self._feed.recent
        last = recent.last(evaluation["_id"])
        if not at_rest(evaluation) or (last and ends_with(last, evaluation)):
            entries = recent.log(evaluation["_id"], after)
            if entries is not None:
                for entry in entries:
                    yield entry
                return
        async with aclosing(self.history(evaluation["_id"], after)) as history:
            async for entry in history:
                yield entry

    async def _is_last(self, entry: Entry) -> bool:
        """Whether an evaluation's log ends with an event. All clients that have come to it are told by one look."""
        if not entry.is_final:
            return False
        asking = self._asked_last.get(entry.position)
        if asking is None:
            asking = self._asked_last[entry.position] = asyncio.ensure_future(self._ask_last(entry))
            asking.add_done_callback(lambda _: self._asked_last.pop(entry.position))
        return await asyncio.shield(asking)

    async def _ask_last(self, entry: Entry) -> bool:
        present = await self._database["evaluations"].find_one({"_id": entry.scope}, {"status": 1, "round": 1})
        return present is not None and ends_with(entry, present)

    async def check_evaluation(self, evaluation: Document, after: int) -> None:
        """Raises `BadRequest` for a cursor that this log has not reached."""
        if after > (evaluation.get("archived_to") or 0):
            await self._check_not_ahead(after)

    # The feed of all

    async def history_of_all(self, selection: Selection, after: int) -> AsyncGenerator[Entry, None]:
        async with aclosing(self._kept.read(selection.subject(), after)) as entries:
            async for entry in entries:
                if selection.wants(entry):
                    yield entry

    async def follow_all(self, selection: Selection, after: int | None) -> AsyncGenerator[Entry, None]:
        """After a position, or, with None, from now on."""

        async def never(entry: Entry) -> bool:
            return False

        return follow(
            self._feed,
            lambda position: self._all_so_far(selection, position),
            selection.wants,
            (await self._kept.bounds())[1] if after is None else after,
            is_last=never,
        )

    async def _all_so_far(self, selection: Selection, after: int) -> AsyncGenerator[Entry, None]:
        """What a client that goes on with the live feed has missed, without a read where the newest events hold all of it."""
        # The beginning is where the stream has it: memory may reach back further than what is kept.
        entries = self._feed.recent.everything(after) if after else None
        if entries is not None:
            for entry in entries:
                yield entry
            return
        async with aclosing(self._kept.read(selection.subject(), after)) as kept:
            async for entry in kept:
                yield entry

    async def check_all(self, after: int | None) -> None:
        """Raises `Gone` for a cursor whose successors the stream may have let go of, `BadRequest` for one ahead of it."""
        if not after:
            return
        first, _ = await self._kept.bounds()
        if after < first - 1:
            raise Gone(f"what came after {after} is no longer kept; after=0 begins with what is")
        await self._check_not_ahead(after)

    async def _check_not_ahead(self, after: int) -> None:
        if after > self._feed.last:
            _, last = await self._kept.bounds()
            if after > last:
                raise BadRequest(f"after is ahead of the log, whose last cursor is {last}")
