"""Slots that evaluations share fairly: whoever has had least time is next.

So an evaluation whose answers take seconds each does not hold up one whose answers take milliseconds, though they wait in one queue.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """`count` at once. `clock` gives seconds."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = count
        self._clock = clock
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._working: Counter[str] = Counter()
        self._had: dict[str, float] = {}
        """Seconds by evaluation; one that comes, or comes again, begins with no less than the others have had, so that nobody saves up."""

    @asynccontextmanager
    async def slot(self, evaluation: str) -> AsyncIterator[None]:
        """Waits for one, and has it within."""
        await self._take(evaluation)
        began = self._clock()
        try:
            yield
        finally:
            self._had[evaluation] += self._clock() - began
            self._leave(evaluation)

    async def _take(self, evaluation: str) -> None:
        active = self._waiting.keys() | +self._working
        if evaluation not in active:
            least = min((self._had[each] for each in active), default=0.0)
            self._had[evaluation] = max(self._had.get(evaluation, 0.0), least)
        if self._free:
            self._free -= 1
            self._working[evaluation] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(evaluation, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had just been given one
                self._leave(evaluation)
            raise

    def _leave(self, evaluation: str) -> None:
        self._working[evaluation] -= 1
        while self._waiting:
            following = min(self._waiting, key=self._had.__getitem__)
            turns = self._waiting[following]
            turn = turns.popleft()
            if not turns:
                del self._waiting[following]
            if not turn.done():  # else who waited has gone
                self._working[following] += 1
                turn.set_result(None)
                return
        self._free += 1
        if not +self._working:
            self._working.clear()
            self._had.clear()
