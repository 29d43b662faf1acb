"""A continuous pull on a durable consumer: messages flow without a request for each batch.

nats-py's `fetch` asks, waits and collects in turns, and FastStream's pull subscriber stands on it; on the path of every item
that is the largest single cost and delay. Here one inbox stays subscribed and a new pull request goes out when half of the
last is used up (the algorithm of the Go client's `Consume`: NATS ADR-37). The server shares messages out among waiting
requests in turn, so replicas get equal parts.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

logger = logging.getLogger("assay.pull")

EXPIRES_S = 10.0
"""A pull request's life at the server. One that a restarted server forgot is noticed at the latest after this."""

T = TypeVar("T")

ACK = b"+ACK"
IN_PROGRESS = b"+WPI"

REMEMBERED_ACKS = 2048
"""A killed nats-server forgets the last acknowledgements (8 to 192 were measured) and holds their slots until `ack_wait`."""


class Puller:
    """Pulls from one consumer; `on_message` is called for each message, in the event loop, and must not block.

    Args:
        batch: how many messages may be asked for and not yet delivered.
        held: how many were delivered and still take up room of `batch`; after that has become less, call `ask`.
        on_gone: called when there seems to be no such consumer; pulling goes on, in case it comes back.
        expires_s: a pull request's life at the server, in seconds.
    """

    def __init__(
        self,
        nc: Client,
        stream: str,
        consumer: str,
        on_message: Callable[[Msg], None],
        *,
        batch: int = 128,
        held: Callable[[], int] = lambda: 0,
        on_gone: Callable[[], None] | None = None,
        expires_s: float = EXPIRES_S,
    ) -> None:
        self._expires_s = expires_s
        self._nc = nc
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._on_message = on_message
        self._on_gone = on_gone
        self._batch = batch
        self._held = held
        self._wanted = 0  # asked for and not delivered yet
        self._asked_at = 0.0
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._timer: asyncio.Task[None] | None = None
        self._acknowledged: deque[str] = deque(maxlen=REMEMBERED_ACKS)

    async def start(self) -> None:
        """Pull; again after a stop, under another inbox, so that nothing comes of what was asked for before."""
        self._inbox, self._wanted = self._nc.new_inbox(), 0
        self._subscription = await self._nc.subscribe(
            self._inbox, cb=self._receive, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        self._timer = asyncio.create_task(self._keep_asking())

    async def stop(self) -> None:
        """Take nothing more. Messages that the server had sent already are delivered again elsewhere after `ack_wait`."""
        if self._timer:
            self._timer.cancel()
        subscription, self._subscription = self._subscription, None
        if subscription and not self._nc.is_closed:
            await subscription.unsubscribe()

    async def acknowledge(self, message: Msg) -> None:
        """The message is done with; call it only when nothing of it can be lost any more."""
        self._acknowledged.append(message.reply)
        await self._nc.publish(message.reply, ACK)

    async def reconnected(self) -> None:
        """A restarted server has forgotten requests and may have forgotten acknowledgements: say both again."""
        self._wanted = 0
        await self.ask()
        for reply in list(self._acknowledged):
            await self._nc.publish(reply, ACK)

    async def _receive(self, message: Msg) -> None:
        # A message of the stream has the acknowledgement subject as its reply; a status has none.
        if message.reply:
            self._wanted -= 1
            self._on_message(message)
            if self._wanted <= self._batch // 2:
                await self.ask()
            return
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "408" or status == "409":
            # A request ran out, or the consumer was changed under it: what it still asked for is void.
            self._wanted = max(0, self._wanted - int(headers.get("Nats-Pending-Messages", self._batch)))
        elif status in ("404", "503"):
            self._gone()
            return  # the timer asks again; at once would be a hot loop
        await self.ask()

    def _gone(self) -> None:
        self._wanted = 0
        if self._on_gone:
            self._on_gone()

    async def ask(self) -> None:
        """Ask for what there is room for."""
        missing = self._batch - self._wanted - self._held()
        if missing <= 0 or self._subscription is None or not self._nc.is_connected:
            return
        self._wanted += missing
        self._asked_at = time.monotonic()
        request = {"batch": missing, "expires": int(self._expires_s * 1e9)}
        await self._nc.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)

    async def _keep_asking(self) -> None:
        while True:
            try:
                if self._wanted and time.monotonic() - self._asked_at > self._expires_s + 1:
                    # A consumer that is there would have said that the request ran out. nats-server 2.9 is silent
                    # where there is none; newer ones say 404 or 503.
                    self._gone()
                if self._wanted == 0:
                    await self.ask()
            except Exception as error:
                logger.warning("cannot pull from %s: %s", self._subject, error)
            await asyncio.sleep(0.5)


class Batches(Generic[T]):
    """Messages (or whatever else) gathered into batches: whatever has arrived since the last one, up to a limit.

    A batch that would be small waits `linger_s` seconds for more, since each has its fixed cost, but not to be filled.
    """

    def __init__(self, limit: int, linger_s: float = 0.0) -> None:
        self._limit = limit
        self._linger_s = linger_s
        self._messages: deque[T] = deque()
        self._arrived = asyncio.Event()

    def put(self, message: T) -> None:
        self._messages.append(message)
        self._arrived.set()

    async def get(self) -> list[T]:
        """At least one message, at most the limit."""
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        if self._linger_s and len(self._messages) < self._limit // 4:
            await asyncio.sleep(self._linger_s)
        return [self._messages.popleft() for _ in range(min(self._limit, len(self._messages)))]
