"""Reading many lines in batches, off the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

BATCH = 500


def lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from lines


def in_batches(items: Iterable[T], size: Callable[[T], int], max_bytes: int) -> Iterator[list[T]]:
    """The items in their order, in lists of at most `BATCH` that become at most `max_bytes` of a JSON array.

    `size` is the bytes of one item as JSON. One that is too large by itself is a list of its own.
    """
    batch: list[T] = []
    filled = 0
    for item in items:
        needed = size(item) + 1  # and a comma
        if batch and (len(batch) == BATCH or filled + needed > max_bytes):
            yield batch
            batch, filled = [], 0
        batch.append(item)
        filled += needed
    if batch:
        yield batch


async def from_thread(batches: Iterator[T]) -> AsyncIterator[T]:
    """The same, read and made in a thread: a batch at a time, since a change of threads for each item takes longer than the item."""
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch
