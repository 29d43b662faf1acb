"""Publishing to JetStream where every item passes: many at a time, each with its acknowledgement.

nats-py's own `publish_async` makes an id, a timer and a parsed answer for each message, which costs more than the message. Here
replies come to one inbox, are told apart by a number, and one clock serves all that are overdue.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from shared.errors import AssayError

OVERDUE_S = 3.0
CLOCK_S = 0.5


Message = tuple[str, bytes, str] | tuple[str, bytes, str, dict[str, str]]
"""Subject, payload, message id, and where there are any, further headers."""


class NotTaken(AssayError):
    """The broker did not acknowledge a message: away, or the stream refused it, which is back-pressure. Publish it again."""


class Publisher:
    """Publishes through one connection."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._outgoing: list[tuple[str, bytes, str, dict[str, str]]] = []
        self._some = asyncio.Event()
        self._waiting: dict[str, tuple[asyncio.Future[None], float]] = {}  # reply subject -> who waits, until when

    async def start(self) -> None:
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._watch_the_clock())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._subscription and not self._nc.is_closed:
            with suppress(Error):
                await self._subscription.unsubscribe()

    def publish(
        self, subject: str, payload: bytes, message_id: str, headers: dict[str, str] | None = None
    ) -> "asyncio.Future[None]":
        """Resolves once the server has stored the message, or fails with `NotTaken`.

        With the same `message_id` a repeat within the duplicate window changes nothing. `headers` are further ones.
        """
        self._numbers += 1
        reply = f"{self._inbox}.{self._numbers}"
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = future, time.monotonic() + OVERDUE_S
        own = {"Nats-Msg-Id": message_id}
        self._outgoing.append((subject, payload, reply, own | headers if headers else own))
        self._some.set()
        return future

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Every message in order; raises `NotTaken` unless the server has stored them all."""
        sent = [self.publish(*message) for message in messages]
        if sent:
            await asyncio.wait(sent)
        if failures := [error for future in sent if (error := future.exception())]:
            raise failures[0]

    async def _send(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            outgoing, self._outgoing = self._outgoing, []
            for subject, payload, reply, headers in outgoing:
                try:
                    await self._nc.publish(subject, payload, reply, headers)
                except Exception as error:
                    self._settle(reply, NotTaken(f"NATS does not take messages: {type(error).__name__}"))

    async def _answered(self, message: Msg) -> None:
        # `{"stream": ..., "seq": ...}`, or with an `error`; without a body where no stream listens.
        if message.data and b'"error"' not in message.data:
            self._settle(message.subject, None)
            return
        if not message.data:
            self._settle(message.subject, NotTaken("no stream takes this subject"))
            return
        error = json.loads(message.data).get("error", {})
        self._settle(message.subject, NotTaken(f"the stream refuses: {error.get('description', 'without a reason')}"))

    def _settle(self, reply: str, failure: NotTaken | None) -> None:
        future, _ = self._waiting.pop(reply, (None, 0.0))
        if future is None or future.done():
            return
        if failure:
            future.set_exception(failure)
        else:
            future.set_result(None)

    async def _watch_the_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_S)
            now = time.monotonic()
            for reply, (_, overdue) in list(self._waiting.items()):
                if overdue > now:
                    break  # they are in the order in which they were published
                self._settle(reply, NotTaken("no acknowledgement in time"))
