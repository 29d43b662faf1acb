"""A program's standard output and error as lines, while it runs."""

from collections.abc import Callable
from typing import Literal

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, str], None]

LONGEST = 8192
"""Bytes of one line; what is longer goes on in the next."""

LEAST = 100
"""Bytes that a line counts as: an empty one costs its listeners as much."""


class Lines:
    """Cuts what one stream says into lines. `counted` is what it came to, in the bytes of `Limits.log_bytes`."""

    def __init__(self) -> None:
        self.counted = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Whole lines so far; without a chunk, the last one, which has no end."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        while len(self._rest) > LONGEST:
            whole, self._rest = [*whole, self._rest[:LONGEST]], self._rest[LONGEST:]
        pieces = [line[at : at + LONGEST] for line in whole for at in range(0, max(1, len(line)), LONGEST)]
        self.counted += sum(max(LEAST, len(piece) + 1) for piece in pieces)
        return [piece.decode(errors="replace").removesuffix("\r") for piece in pieces]
