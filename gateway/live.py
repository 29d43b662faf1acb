"""Fan-out of events: one arrives once and goes to everybody who listens, already in the form that is sent."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from gateway.entry import Entry
from gateway.recent import Recent
from shared.errors import AssayError

QUEUE_LIMIT = 2048
"""Events that may wait for one client. They are shared, so this costs a pointer each; a burst of a whole group fits in."""


class TooSlow(AssayError):
    """A client does not take its events as fast as they come. It can resume from its last cursor."""


class Closed(AssayError):
    """The feed has ended under a client: the gateway stops, or the stream began anew."""


Wants = Callable[[Entry], bool]


class Subscription:
    """What waits for one client, in order. Iterating raises `TooSlow` once too much has waited, `Closed` when the feed ends."""

    def __init__(self, wants: Wants, limit: int) -> None:
        self.overflowed = False
        self._wants = wants
        self._limit = limit
        self._closed = False
        self._waiting: deque[Entry] = deque()
        self._changed = asyncio.Event()

    def put(self, entry: Entry) -> None:
        if self.overflowed or not self._wants(entry):
            return
        if len(self._waiting) >= self._limit:
            self.overflowed = True
            self._waiting.clear()
        else:
            self._waiting.append(entry)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        while not self._waiting:
            if self.overflowed:
                raise TooSlow("this client does not keep up")
            if self._closed:
                raise Closed("the feed has ended")
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


class Feed:
    """Everybody who listens to this gateway. `last` is the position that has been passed on, `recent` what was before it."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self.last = 0
        self.recent = Recent()
        self._limit = limit
        self._closed = False
        self._scopes: dict[str | None, set[Subscription]] = {}

    @property
    def listeners(self) -> int:
        return sum(map(len, self._scopes.values()))

    @contextmanager
    def subscribe(self, wants: Wants, scope: str | None = None) -> Iterator[Subscription]:
        """From now on everything after `last` that is wanted, of one scope where only that can be.

        With many evaluations at once, asking everybody about every event would cost more than sending it to those who want it.
        """
        subscription = Subscription(wants, self._limit)
        if self._closed:
            subscription.close()
        self._scopes.setdefault(scope, set()).add(subscription)
        try:
            yield subscription
        finally:
            self._scopes[scope].discard(subscription)
            if not self._scopes[scope]:
                del self._scopes[scope]

    def publish(self, entry: Entry) -> None:
        """The next event, for everybody."""
        self.last = entry.position
        self.recent.add(entry)
        for scope in (entry.scope, None):
            for subscription in self._scopes.get(scope, ()):
                subscription.put(entry)

    def begin(self, last: int) -> None:
        """What is published follows this position."""
        self.last = last
        self.recent.begin(last)

    def restart(self, last: int) -> None:
        """The stream began anew: positions mean something else now, so everybody has to come back."""
        self.begin(last)
        self._close_all()

    def close(self) -> None:
        """The gateway stops."""
        self._closed = True
        self._close_all()

    def _close_all(self) -> None:
        for subscriptions in self._scopes.values():
            for subscription in subscriptions:
                subscription.close()
