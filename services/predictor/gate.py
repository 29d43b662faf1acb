"""What lets a call start in this replica. The hot path reads one flag.

A call waits here while its model is paused or unreachable, while a `Retry-After` holds, while the endpoint is suspected to be
down, and for a grant where `requests_per_minute` bounds the calls.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from services.predictor.answers import Trouble
from shared.contracts import ENGINE_DOWN, ModelStatus

SUSPECT_UNREACHABLE = 5
"""So many calls in turn that could not even connect, and none answered in between."""
SUSPECT_FAILING = 10
"""So many samples in turn whose first call ended in a 5xx. Chance makes that of an endpoint that fails half of its calls once in 1,000."""
SUSPECT_S = 2.0
"""How long the fleet's verdict is waited for: reports and decisions take half a second, doubt about 5xx a second more."""

ROOM_SHARE = 0.9
"""Of the calls that were under way beside a refused one: some of them were refused a moment later."""
ROOM_S = 2.0
"""By then the limit has followed what was refused."""

EVIDENCE = frozenset({Trouble.UNREACHABLE, Trouble.FAILING, Trouble.OVERLOADED})
"""Kinds of failure that an endpoint which is down shows."""


_AWAY = ENGINE_DOWN | {ModelStatus.UNREACHABLE}


class Gate:
    """One model's gate in one replica. `shut` says whether a call has to ask."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """`in_flight` says how many calls this replica has under way."""
        self._in_flight = in_flight
        self.shut = False
        self.tokens = 0
        self._detail = ""
        self._status = ModelStatus.RUNNING
        self._paced = False
        self._hold_until = 0.0
        self._room: int | None = None
        self._suspect_until = 0.0
        self._unreachable = 0
        self._failing = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    # What calls do

    async def enter(self, dropped: Callable[[], bool]) -> bool:
        """Wait until a call may start (True), or its evaluation is given up."""
        while True:
            if dropped():
                return False
            if not self.closed and self._has_room():
                if not self._paced:
                    return True
                if self.tokens > 0:
                    self.tokens -= 1
                    return True
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def answered(self) -> None:
        """A call was answered or refused: the endpoint is there."""
        self._unreachable = self._failing = 0
        if self._suspect_until:
            self._suspect_until = 0.0
            self._refresh()

    def failed(self, trouble: Trouble, *, first: bool) -> None:
        """A call failed as those of a dead endpoint do; `first` of its sample."""
        if trouble is Trouble.UNREACHABLE:
            self._unreachable += 1
        elif first:
            self._failing += 1
        if self._suspect_until or (self._unreachable < SUSPECT_UNREACHABLE and self._failing < SUSPECT_FAILING):
            return
        self._suspect_until = time.monotonic() + SUSPECT_S
        self._refresh()

    def ended(self) -> None:
        """A call has ended, while the gate was shut: there may be room for another."""
        if self._room is not None:
            self._wake(1)

    # What others say

    def set_status(self, status: ModelStatus, detail: str) -> None:
        if status is not self._status and status is ModelStatus.RUNNING:
            self._unreachable = self._failing = 0
            self._suspect_until = 0.0
        self._status, self._detail = status, detail
        self._refresh()

    def hold(self, seconds: float) -> bool:
        """No call starts for so long. Whether that is longer than was known.

        All that gathers meanwhile would be refused again if it began at once: for a moment no more calls start than were under
        way beside those that were refused.
        """
        now = time.monotonic()
        until = now + seconds
        room = max(1, int(ROOM_SHARE * self._in_flight()))
        if self._room is None:
            self._room = room
        elif now < self._hold_until:
            self._room = min(room, self._room)
        # Else it is refused again beside no more than that: lower goes the model's limit, or refusals at random would end at one call.
        if until <= self._hold_until + 0.1:
            return False
        self._hold_until = until
        self._refresh()
        return True

    def pace(self, paced: bool) -> None:
        """Whether calls need grants."""
        self._paced = paced
        self._refresh()

    def grant(self, tokens: int) -> None:
        self.tokens += tokens
        self._wake(tokens)

    # What is asked

    @property
    def closed(self) -> bool:
        """Whether no call may start at all."""
        now = time.monotonic()
        return self._status is not ModelStatus.RUNNING or now < self._hold_until or now < self._suspect_until

    def _has_room(self) -> bool:
        return self._room is None or self._in_flight() < self._room

    @property
    def why(self) -> str:
        """Why no call may start, for a person; empty where that is only suspected, or no reason to worry."""
        if self._status is not ModelStatus.RUNNING:
            return f"the model is {self._status} ({self._detail})"
        if self.held_s:
            return "the endpoint asked for a pause (Retry-After)"
        return ""

    @property
    def down(self) -> bool:
        """Whether the endpoint is down, or suspected to be: failures are its own, not those of the samples called."""
        return self._status in _AWAY or time.monotonic() < self._suspect_until

    @property
    def held_s(self) -> float:
        """Seconds for which a `Retry-After` still holds."""
        return max(0.0, self._hold_until - time.monotonic())

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def wake(self) -> None:
        """Let all that wait look again: an evaluation was given up."""
        self._wake(len(self._waiters))

    def abandon(self) -> None:
        """Cancel all that wait: the process stops, and what they hold is called elsewhere."""
        while self._waiters:
            self._waiters.popleft().cancel()

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _refresh(self) -> None:
        """Set the flag anew, now and when what holds has passed."""
        now = time.monotonic()
        if self._suspect_until and now >= self._suspect_until:
            # No verdict: this replica alone saw it so. The count begins anew.
            self._suspect_until = 0.0
            self._unreachable = self._failing = 0
        closed = self.closed
        room_until = self._hold_until + ROOM_S
        if now >= room_until:
            self._room = None
        self.shut = closed or self._paced or self._room is not None
        if not closed:
            self._wake(len(self._waiters))
        if self._timer:
            self._timer.cancel()
            self._timer = None
        until = max(self._hold_until, self._suspect_until)
        if until <= now and self._room is not None:
            until = room_until
        if until > now:
            # A timer may fire a little early by the other clock.
            self._timer = asyncio.get_running_loop().call_later(until - now + 0.001, self._refresh)
