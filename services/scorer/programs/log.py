"""What a program says: whole into two files, and a part of it, as it comes, into the evaluation's log."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from shared.contracts import Note
from shared.texts import clip, visible

Stream = Literal["stdout", "stderr"]

EVERY_S = 0.5
AT_ONCE = 20
"""Lines that are told each time; with the last ones below what the evaluation's owner keeps of notes that it has not said yet."""
AT_LAST = 50
IN_ALL = 500
WIDTH = 500
"""Characters of a line in the log."""
TAIL = 20
"""Lines of standard error that are kept for the message of a failure."""


class ProgramLog:
    """Takes lines on the event loop; `flush` writes and tells them, off it. `say` sends a note to the evaluation's owner."""

    def __init__(self, folder: Path, evaluation: str, say: Callable[[Note], Awaitable[None]]) -> None:
        self.paths: dict[Stream, Path] = {"stdout": folder / "stdout.txt", "stderr": folder / "stderr.txt"}
        for path in self.paths.values():
            path.touch()
        self.tail: list[str] = []
        self._evaluation = evaluation
        self._say = say
        self._new: list[tuple[Stream, str]] = []
        self._told = self._left_out = 0

    def line(self, stream: Stream, line: str) -> None:
        self._new.append((stream, line))

    async def follow(self) -> None:
        """For ever, while the program runs."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self, *, last: bool = False) -> None:
        """With `last` the end of what is left is told, where not all of it is: that is where an error stands."""
        lines, self._new = self._new, []
        if lines:
            await asyncio.to_thread(self._write, lines)
            self.tail = [*self.tail, *(line for stream, line in lines if stream == "stderr")][-TAIL:]
        spoken = [(stream, text) for stream, line in lines if (text := _for_a_person(line))]
        room = AT_LAST if last else min(AT_ONCE, IN_ALL - self._told)
        told = spoken[-room:] if last else spoken[:room]
        self._told += len(told)
        self._left_out += len(spoken) - len(told)
        for stream, text in told:
            level: Literal["info", "warning"] = "info" if stream == "stdout" else "warning"
            await self._note(f"{stream}: {text}", level)
        if last and self._left_out:
            count = f"{self._left_out:,} lines are" if self._left_out > 1 else "1 line is"
            await self._note(f"Scoring program: of what it wrote {count} not shown here")

    def _write(self, lines: list[tuple[Stream, str]]) -> None:
        for stream, path in self.paths.items():
            with path.open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for name, line in lines if name == stream)

    async def _note(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        await self._say(Note(evaluation=self._evaluation, level=level, message=message))


def _for_a_person(line: str) -> str:
    """Of a progress bar the last state; what cannot be seen made visible."""
    shown: str = visible(line.rstrip().rpartition("\r")[2])
    return clip(shown, WIDTH)
