"""What an engine prints: hostile until proven otherwise, so lines are bounded in length, number and rate, and hold no secret."""

import asyncio
import re
from collections import deque
from collections.abc import Sequence

from shared.texts import clip, visible

LINE_CHARS = 500
KEPT_LINES = 200
_MAX_LINE_BYTES = 8192
"""What comes of a line beyond this is dropped."""
# ECMA-48: control sequences, strings (such as titles) up to their end, and the two-character ones.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
_ENDS = re.compile(rb"\r\n|\n|\r")


def clean(line: str, secrets: Sequence[str]) -> str:
    """One line as it is shown: without ANSI codes, secrets masked, what cannot be seen made visible, at most 500 characters."""
    line = _ANSI.sub("", line)
    for secret in secrets:
        line = line.replace(secret, "***")
    return clip(str(visible(line.rstrip())), LINE_CHARS)


class Output:
    """The last lines, and those that have not been told yet."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.leave_out: re.Pattern[str] | None = None
        """Lines of the engine's that are as if they had not been printed."""
        self._secrets = [secret for secret in secrets if secret]
        self._partial = b""
        self._dropping = False
        self._untold: deque[str] = deque(maxlen=KEPT_LINES)
        self._passed_over = 0
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.came = asyncio.Event()
        """Set with each line."""

    def feed(self, chunk: bytes) -> None:
        """Bytes as they come; a carriage return ends a line too, as progress bars use it."""
        parts = _ENDS.split(self._partial + chunk)
        self._partial = parts.pop()
        for part in parts:
            if self._dropping:
                self._dropping = False
            else:
                self._printed(part)
        if len(self._partial) > _MAX_LINE_BYTES:
            if not self._dropping:
                self._printed(self._partial)
            self._dropping, self._partial = True, b""

    def _printed(self, part: bytes) -> None:
        line = part[:_MAX_LINE_BYTES].decode(errors="replace")
        if not (self.leave_out and self.leave_out.search(line)):
            self.say(line)

    def say(self, line: str) -> None:
        """A line of the engine's, or of the launcher about it."""
        line = clean(line, self._secrets)
        if not line:
            return
        self.lines.append(line)
        self._passed_over += len(self._untold) == KEPT_LINES
        self._untold.append(line)
        self.came.set()

    def end(self) -> None:
        """Nothing more will come: the last line may lack its end."""
        if self._partial and not self._dropping:
            self._printed(self._partial)
        self._partial = b""

    def take(self, most: int) -> list[str]:
        """The newest lines that have not been taken yet, after a word on how many others there were."""
        left_out = self._passed_over + max(0, len(self._untold) - most)
        taken = list(self._untold)[-most:]
        self._untold.clear()
        self._passed_over = 0
        return [f"... {left_out:,} lines left out", *taken] if left_out else taken
