"""What an evaluation's owner says in its log, in order: see `docs/events.md`."""

import time
from collections import deque

from nats.aio.client import Client
from nats.js import JetStreamContext

from services.orchestrator import broker
from services.orchestrator.state import log_event
from services.orchestrator.store import Store
from shared.contracts import Event, Note
from shared.faults import kill_point
from shared.storage.mongo import Document

WAITING_EVERY_S = 5.0


class Log:
    """The one writer of an evaluation's log. `document` is the owner's, and shared with it."""

    def __init__(self, store: Store, nc: Client, js: JetStreamContext, document: Document) -> None:
        self._store = store
        self._nc = nc
        self._js = js
        self._document = document
        self._id: str = document["_id"]
        self._unsure = document["epoch"] > 1  # whether what the outbox holds may have been announced already
        self._notes: deque[Note] = deque(maxlen=100)
        self._waiting = ""
        self._waiting_said_at = -WAITING_EVERY_S

    async def announce(self) -> None:
        """Publish the outbox in order. After a take-over or a failure in here, what was announced already is not said twice."""
        outbox = self._document["outbox"]
        if not outbox:
            return
        known: set[str] = set()
        if self._unsure:
            after = self._document["archived_to"] or 0
            known = {event.id async for _, event in broker.read_events(self._nc, self._js, self._id, after)}
        self._unsure = True
        for entry in outbox:
            event = Event.model_validate(entry)
            if event.id not in known:
                await self.say(event)
                kill_point("orchestrator.announced")
        await self._store.announced(self._document, len(outbox))
        self._unsure = False

    async def say(self, event: Event) -> None:
        await broker.publish_event(self._js, event, self._id)

    def note(self, note: Note) -> None:
        """To be said with the next notes; of too many at once the oldest are not."""
        self._notes.append(note)

    async def say_notes(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            await self.say(log_event(self._document, note.message, level=note.level))

    async def archive(self) -> int:
        """Keep it beyond the stream's age; returns the position of its last event. Doing it again changes nothing."""
        entries: list[tuple[int, Event]] = []
        last: int = self._document["archived_to"] or 0
        async for position, event in broker.read_events(self._nc, self._js, self._id, last):
            entries.append((position, event))
            last = position
            if len(entries) == 500:
                await self._store.archive(self._id, entries)
                entries = []
        await self._store.archive(self._id, entries)
        return last

    async def say_waiting(self, message: str, level: str = "warning") -> None:
        """Once, as long as it is the same; what an engine says while it starts changes from second to second, and is not all said."""
        at = time.monotonic()
        if message == self._waiting or (message and at - self._waiting_said_at < WAITING_EVERY_S):
            return
        self._waiting = message
        if message:
            self._waiting_said_at = at
            await self.say(log_event(self._document, message, level=level))
