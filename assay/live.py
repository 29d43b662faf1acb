"""What a subscription to live events remembers and decides. No I/O here: `client` and `aio` hold the socket.

The gateway says every event once and gives each a cursor; whoever comes back with the last one misses nothing and sees nothing twice.
"""

import math
import random
from collections.abc import Iterable

from pydantic import ValidationError
from websockets.frames import Close, CloseCode

from assay.address import Address
from assay.calls import RETRIED, evaluation_id
from assay.errors import (
    ApiError,
    BadRequest,
    ConnectionFailed,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TimedOut,
    Unauthorized,
    UnexpectedAnswer,
    api_error,
)
from shared.api import Evaluation, EventOut
from shared.contracts import EVALUATION_FINAL_TYPES, FINAL

IDLE_S = 10.0
"""Silence after which an evaluation's state is looked at: it may have ended before the cursor that was asked for."""

RECONNECT_S = 60.0
"""How long a gateway may be away before a subscription gives up."""

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 2.0

_REFUSALS: dict[int, tuple[type[ApiError], str]] = {
    4400: (BadRequest, "Bad request"),
    4401: (Unauthorized, "Unauthorized"),
    4403: (Forbidden, "Forbidden"),
    4404: (NotFound, "Not found"),
    4410: (Gone, "Gone"),
    4422: (Invalid, "Invalid"),
}
"""Close codes after which coming back is no use: 4000 and the HTTP status."""


class Feed:
    """One subscription: to an evaluation, from the beginning of its log unless `after` says otherwise, or to everything from now on.

    `types` limits what is `wanted`; it is applied here, since the end of an evaluation must be seen whatever is wanted.
    """

    def __init__(
        self,
        address: Address,
        evaluation: str | int | None,
        after: str | None = None,
        types: Iterable[str] | None = None,
    ) -> None:
        self._address = address
        self._path = "/events/ws" if evaluation is None else f"/evaluations/{evaluation_id(evaluation)}/events/ws"
        self._types = None if types is None else frozenset(types)
        self._last: EventOut | None = None
        self.evaluation = evaluation
        self.in_doubt = False
        """Whether the evaluation may have ended, so that its state has to be looked at."""
        self.cursor = after if after is not None or evaluation is None else "0"

    @property
    def url(self) -> str:
        """The address to connect to, now."""
        return self._address.websocket(self._path, {} if self.cursor is None else {"after": self.cursor})

    def take(self, text: str | bytes) -> EventOut:
        """Reads a message and remembers its cursor."""
        try:
            event = EventOut.model_validate_json(text)
        except ValidationError:
            raise UnexpectedAnswer(f"{self._address.url} sent a message that is not one of Assay's events") from None
        self.cursor = event.cursor
        self._last = event
        self.in_doubt = self.evaluation is not None and event.type in EVALUATION_FINAL_TYPES
        return event

    def idle(self) -> None:
        """Nothing came for a while."""
        self.in_doubt = self.evaluation is not None

    def wanted(self, event: EventOut) -> bool:
        return self._types is None or event.type in self._types

    def settle(self, state: Evaluation) -> bool | None:
        """Settles the doubt: whether nothing more will come. None: it ends here if its history has nothing after the cursor.

        A final event ends its own round only: a redrive starts the next one, and a replay passes the earlier ends.
        Status events have the id `evaluation:round:status`. An ended evaluation whose final event has not been seen is about
        to say it, unless nothing was seen at all: then the cursor that was asked for may lie behind the end.
        """
        self.in_doubt = False
        if state.status not in FINAL:
            return False
        if self._last is None:
            return None
        if self._last.type not in EVALUATION_FINAL_TYPES:
            return False
        return True if self._last.id == f"{state.id}:{state.round}:{state.status}" else None

    def closed(self, frame: Close | None) -> None:
        """Raises where the gateway's close code forbids coming back; after a clean close the log may be at its end."""
        if frame is None:
            return
        if frame.code in _REFUSALS:
            refusal, title = _REFUSALS[frame.code]
            raise refusal(frame.code - 4000, title, frame.reason)
        if frame.code == CloseCode.NORMAL_CLOSURE:
            self.idle()

    def refused(self, status: int, body: bytes | str, reason: str) -> None:
        """Raises where an HTTP answer to the handshake forbids trying again."""
        if status not in RETRIED and status != 500:
            raise api_error(status, body, reason)


class Reconnects:
    """The waits of a subscription: doubling with jitter, and an end once nothing was heard for `RECONNECT_S`, or at `deadline`.

    All times are monotonic, in seconds.
    """

    def __init__(self, url: str, deadline: float = math.inf) -> None:
        self._url = url
        self._deadline = deadline
        self._delay = FIRST_DELAY_S
        self._failing_since: float | None = None

    def alive(self) -> None:
        """The connection works."""
        self._delay = FIRST_DELAY_S
        self._failing_since = None

    def patience(self, now: float) -> float:
        """How long to wait for the next message. Raises `TimedOut` at the deadline."""
        if now >= self._deadline:
            raise TimedOut("the evaluation has not ended in time")
        return min(IDLE_S, self._deadline - now)

    def lost(self, now: float) -> float:
        """How long to wait before the next attempt. Raises `ConnectionFailed` when it is time to give up."""
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > RECONNECT_S:
            raise ConnectionFailed(f"the gateway at {self._url} has not answered for {RECONNECT_S:g} s")
        delay = self._delay
        self._delay = min(LAST_DELAY_S, delay * 2)
        return min(delay * random.uniform(0.8, 1.2), self.patience(now))
