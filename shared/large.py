"""Messages too large for the broker: the body waits in the object store, the message carries its key in a header and nothing else.

This is the claim check of Hohpe and Woolf, *Enterprise Integration Patterns* (2003). A body is stored before its message is
published, and deleted after the message was acknowledged, best effort; `sweep` deletes what an ended evaluation has left. A body
that is gone though its message is there means that the message was worked off before: it is dropped, and where its sample should
be missing after all, the evaluation's owner sends it again under another id.
"""

import logging

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.storage.objects import Objects, ObjectStoreError

logger = logging.getLogger("assay.large")

HEADER = "Assay-Object"

HEADROOM = 4096
"""Of the broker's limit, for headers: those of a message, and those that are added where it is parked."""


class LargeMessages:
    """Puts bodies above `max_bytes`, or above what the broker carries, into the object store, and fetches them."""

    def __init__(self, nc: Client, objects: Objects, max_bytes: int) -> None:
        self._nc = nc
        self._objects = objects
        self._max_bytes = max_bytes

    def too_large(self, body: bytes) -> bool:
        return len(body) > self._max_bytes or len(body) + HEADROOM > self._nc.max_payload

    async def put(self, stream: str, evaluation: str, message_id: str, body: bytes) -> dict[str, str]:
        """Store a body; returns the headers of the message, empty itself, that stands for it. Raises `ObjectStoreError`."""
        key = f"{_folder(evaluation)}{stream}/{message_id.replace(':', '-')}"
        await self._objects.put_bytes(key, body)
        return {HEADER: key}

    async def body(self, message: Msg) -> bytes:
        """The body of a message, wherever it is. Raises `ObjectMissing`, or `ObjectStoreError` where the store is away."""
        key = key_of(message)
        return await self._objects.get_bytes(key) if key else message.data

    async def discard(self, message: Msg) -> None:
        """The message is acknowledged: its body is void. One that cannot be deleted now is swept at the evaluation's end."""
        if key := key_of(message):
            try:
                await self._objects.remove(key)
            except ObjectStoreError as error:
                logger.warning("the body of a large message stays for now: %s", error)

    async def sweep(self, evaluation: str) -> None:
        """Delete every body of an evaluation."""
        await self._objects.remove_under(_folder(evaluation))


def key_of(message: Msg) -> str | None:
    """Where the body of a large message is. Others have a body, so that this costs them nothing."""
    if message.data:
        return None
    return (message.headers or {}).get(HEADER)


def _folder(evaluation: str) -> str:
    return f"messages/{evaluation}/"
