"""Who does what only one may do: a lease in KV `leases`, taken, renewed and taken over by compare-and-set.

No clock is compared with another machine's: a lease is taken over when this process has seen it unchanged for longer than its
holder, by its own clock, believes in it.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

RENEW_S = 0.7
VALID_S = 2.0
"""For so long after its last renewal began a holder acts on a lease."""
TAKE_OVER_S = 2.3
"""For so long unchanged, it is taken over: longer than its holder acts on it, so that there are never two."""


class Lease:
    """A lease on `key`, wanted by `owner`. `tick` takes, renews or watches it."""

    def __init__(self, leases: KeyValue, key: str, owner: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._key = key
        self._owner = owner.encode()
        self._clock = clock
        self._revision: int | None = None  # of our own entry
        self._renewed_at = 0.0
        self._seen: tuple[int, float] = (0, 0.0)  # another's revision, and since when it has been that
        self._asked_at = -RENEW_S

    @property
    def held(self) -> bool:
        """Whether this process may act on it now."""
        return self._revision is not None and self._clock() - self._renewed_at < VALID_S

    async def tick(self) -> bool:
        """Take, renew or watch, at most once in `RENEW_S`; whether it is held."""
        now = self._clock()
        if now - self._asked_at < RENEW_S:
            return self.held
        self._asked_at = now
        try:
            if self._revision is not None:
                self._revision = await self._leases.update(self._key, self._owner, last=self._revision)
                self._renewed_at = now
            else:
                await self._take(now)
        except KeyWrongLastSequenceError:
            # Another was quicker, or has taken over.
            self._revision = None
        except (NatsError, TimeoutError):
            if not self.held:
                self._revision = None
        return self.held

    async def _take(self, now: float) -> None:
        try:
            entry = await self._leases.get(self._key)
        except KeyNotFoundError:
            self._revision = await self._leases.create(self._key, self._owner)
            self._renewed_at = now
            return
        assert entry.revision is not None
        revision, since = self._seen
        if entry.revision != revision:
            self._seen = (entry.revision, now)
        elif now - since > TAKE_OVER_S:
            self._revision = await self._leases.update(self._key, self._owner, last=entry.revision)
            self._renewed_at = now

    async def release(self) -> None:
        """Others need not wait for it to grow old."""
        revision, self._revision = self._revision, None
        if revision is not None:
            with suppress(NatsError, TimeoutError):
                await self._leases.delete(self._key, last=revision)
