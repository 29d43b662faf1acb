"""Mirrors of KV buckets, kept by watches.

A nats-py watch is blind for up to 17 s after a server restart (measured), so after every reconnect the bucket is read again
and its watch opened again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nats.js import JetStreamContext

from shared.service import end

logger = logging.getLogger("assay.buckets")

Changed = Callable[[str, bytes | None], Awaitable[None]]


class Mirror:
    """Entries of a bucket, all or those whose `keys` match a subject with wildcards.

    `changed(key, value)` is awaited for each change; the value is None where it was deleted.
    """

    def __init__(self, js: JetStreamContext, bucket: str, changed: Changed, keys: str = ">") -> None:
        self._js = js
        self._bucket = bucket
        self._keys = keys
        self._changed = changed
        self._values: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None
        self._read = asyncio.Event()

    async def start(self) -> None:
        """Returns once the present entries have been read."""
        await self.restart()
        await self._read.wait()

    async def restart(self) -> None:
        await self.stop()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            await end([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:
                logger.warning("cannot follow bucket %s: %s; trying again", self._bucket, type(error).__name__)
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        store = await self._js.key_value(self._bucket)
        watcher = await store.watch(self._keys)
        try:
            seen: set[str] | None = set()
            while True:
                try:
                    entry = await watcher.updates(timeout=3600)  # type: ignore[no-untyped-call]
                except TimeoutError:
                    continue
                if entry is None:
                    # The present state ends here; what it lacks was deleted while nobody watched.
                    for key in self._values.keys() - (seen or set()):
                        await self._set(key, None)
                    seen = None
                    self._read.set()
                    continue
                deleted = entry.operation in ("DEL", "PURGE")
                if seen is not None and not deleted:
                    seen.add(entry.key)
                await self._set(entry.key, None if deleted else entry.value)
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]

    async def _set(self, key: str, value: bytes | None) -> None:
        if value == self._values.get(key):
            return
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        try:
            await self._changed(key, value)
        except Exception:
            logger.exception("entry %s of bucket %s cannot be used", key, self._bucket)
