"""The newest events in memory, so that clients who come back or join all at once are not a read of the stream each."""

from collections import deque
from itertools import islice

from gateway.entry import Entry

RECENT_BYTES = 16 * 1024 * 1024
"""Of the events' JSON."""

RECENT_EVENTS = 16_384
"""An evaluation has about five a second, so this is a quarter of an hour of four evaluations at once."""


class Recent:
    """What the live read has passed on, without a gap, as far back as the limits allow."""

    def __init__(self, max_bytes: int = RECENT_BYTES, max_events: int = RECENT_EVENTS) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self.begin(0)

    def begin(self, after: int) -> None:
        """Forget everything: what is added from now on follows this position."""
        self._after = after
        self._bytes = 0
        self._all: deque[Entry] = deque()
        self._scopes: dict[str, deque[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """The next event."""
        self._all.append(entry)
        self._scopes.setdefault(entry.scope, deque()).append(entry)
        self._bytes += len(entry.text)
        while len(self._all) > self._max_events or self._bytes > self._max_bytes:
            self._forget_oldest()

    def log(self, scope: str, after: int) -> list[Entry] | None:
        """An evaluation's log after a position, or None where some of that may be older than what is here."""
        held = self._scopes.get(scope, deque())
        if after < self._after and not (held and held[0].is_first):
            return None
        return _newer(held, after)

    def everything(self, after: int) -> list[Entry] | None:
        """All events after a position, or None where some of them are older than what is here."""
        return None if after < self._after else _newer(self._all, after)

    def last(self, scope: str) -> Entry | None:
        """The newest event of an evaluation that is here."""
        held = self._scopes.get(scope)
        return held[-1] if held else None

    def newest(self, limit: int) -> list[Entry]:
        """The newest events, at most so many, in their order."""
        return list(islice(self._all, max(0, len(self._all) - limit), None))

    def _forget_oldest(self) -> None:
        oldest = self._all.popleft()
        self._after = oldest.position
        self._bytes -= len(oldest.text)
        held = self._scopes[oldest.scope]
        held.popleft()
        if not held:
            del self._scopes[oldest.scope]


def _newer(entries: deque[Entry], after: int) -> list[Entry]:
    """Those after a position; costs what it finds, not what there is."""
    found = []
    for entry in reversed(entries):
        if entry.position <= after:
            break
        found.append(entry)
    found.reverse()
    return found
