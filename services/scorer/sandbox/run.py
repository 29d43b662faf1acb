"""One run, in a thread of its own: what it says, what it uses, when it is stopped and why."""

import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.scorer.sandbox.files import DEEPEST, filled
from services.scorer.sandbox.limits import Finished, Limits, MiB, NoSandbox
from services.scorer.sandbox.lines import Lines, Stream
from services.scorer.sandbox.process import Process
from services.scorer.sandbox.usage import unlinked, usage

TICK_S = 0.05
"""How often the processes are looked at."""

FOLDERS_EVERY_S = 0.25
"""How often their files are, which takes a walk through the folders."""

DRAIN_S = 1.0
"""What is in the pipes of a program that has ended is read at once; without a sandbox, what it left behind may hold them open."""

Say = Callable[[Stream, list[str]], None]


class Run:
    """Calls `say` with lines as they come. `writable` are the machine's folders that the program may fill."""

    def __init__(
        self, process: Process, limits: Limits, writable: Sequence[Path], say: Say, cancelled: threading.Event
    ) -> None:
        self._cancelled = cancelled
        self._process = process
        self._limits = limits
        self._writable = writable
        self._devices = {os.stat(folder).st_dev for folder in writable}
        self._say = say
        self._lines: dict[Stream, Lines] = {"stdout": Lines(), "stderr": Lines()}
        self._complaint: list[str] = []
        self._cpu_s = 0.0
        self._began = time.monotonic()
        self._folders_due = self._began + FOLDERS_EVERY_S

    def follow(self) -> Finished:
        """Blocks until the program and all that it started are gone.

        Raises:
            NoSandbox: it could not be confined, and has not run.
        """
        try:
            self._process.enter()
            stopped = self._until_ended()
        finally:
            self._process.kill()
            code, cpu_s = self._process.wait()
        # Of processes that were killed the kernel keeps no account.
        cpu_s = max(cpu_s, self._cpu_s)
        wall_s = time.monotonic() - self._began
        if not self._process.has_started() and stopped is None:
            raise NoSandbox(
                f"bubblewrap cannot make a sandbox here ({' '.join(self._complaint)[-400:] or 'it says nothing'}); "
                "docs/sandbox.md says what it needs, in a container, too"
            )
        if stopped is None and code and cpu_s > self._limits.cpu_s:
            stopped = f"it used more than {self._limits.cpu_s:g} s of CPU time"
        if stopped is None and code == 128 + signal.SIGXFSZ:
            stopped = f"it wrote a file of more than {in_mib(self._limits.file_bytes)}"
        stopped = stopped or self._written_too_much()
        return Finished(None if stopped else code, stopped, wall_s, cpu_s)

    def _until_ended(self) -> str | None:
        """Why it was stopped, or None."""
        stopped, over, due = None, None, 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.ended, selectors.EVENT_READ)
            for name, stream in zip(self._lines, self._process.streams, strict=True):
                selector.register(stream.fileno(), selectors.EVENT_READ, name)
            # Until nobody is left who could write into the streams, too.
            while selector.get_map():
                for key, _ in selector.select(TICK_S):
                    if key.data is None:
                        selector.unregister(key.fd)
                        self._process.kill()
                        over = time.monotonic()
                    elif chunk := os.read(key.fd, 65536):
                        self._hear(key.data, chunk)
                    else:
                        selector.unregister(key.fd)
                        self._hear(key.data, b"")
                # Not after each piece of what it says: a look costs more than that.
                if over is None and stopped is None and time.monotonic() >= due:
                    due = time.monotonic() + TICK_S
                    if stopped := self._logged_too_much() or self._too_much():
                        self._process.kill()
                if over is not None and time.monotonic() > over + DRAIN_S:
                    break
        return stopped or self._logged_too_much()

    def _hear(self, name: Stream, chunk: bytes) -> None:
        if self._logged_too_much():
            return
        lines = self._lines[name].feed(chunk)
        if not self._process.has_started():
            self._complaint += lines
        elif lines:
            self._say(name, lines)

    def _too_much(self) -> str | None:
        limits, now = self._limits, time.monotonic()
        if self._cancelled.is_set():
            return "it was cancelled"
        if now > self._began + limits.wall_s:
            return f"it ran for more than {limits.wall_s:g} s"
        if logged := self._logged_too_much():
            return logged
        root = self._root
        used = usage(root, limits.processes, limits.memory_bytes) if root else None
        self._cpu_s = used.cpu_s if used else self._cpu_s
        if used and used.tasks > limits.processes:
            return f"it ran more than {limits.processes} processes and threads at a time"
        if used and used.memory_bytes > limits.memory_bytes:
            return f"it used more than {in_mib(limits.memory_bytes)} of memory"
        if used and used.cpu_s > limits.cpu_s:
            return f"it used more than {limits.cpu_s:g} s of CPU time"
        if now < self._folders_due:
            return None
        found = self._written_too_much()
        self._folders_due = time.monotonic() + FOLDERS_EVERY_S
        return found

    def _written_too_much(self) -> str | None:
        limits = self._limits
        root = self._root
        size = unlinked(root, self._devices) if root else 0
        for folder in self._writable:
            entries, bytes_ = filled(folder, limits.files)
            size += bytes_
            if entries > limits.files:
                return f"it made more than {limits.files} files, or folders more than {DEEPEST} deep"
        return (
            f"it wrote more than {in_mib(limits.output_bytes)} into its folders" if size > limits.output_bytes else None
        )

    @property
    def _root(self) -> str | None:
        """The sandbox's root folder, once it is that: until the program starts it may be this machine's."""
        return self._process.root if self._process.has_started() else None

    def _logged_too_much(self) -> str | None:
        if sum(lines.counted for lines in self._lines.values()) <= self._limits.log_bytes:
            return None
        return f"it wrote more than {in_mib(self._limits.log_bytes)} to its standard output and error"


def in_mib(size: int) -> str:
    return f"{size / MiB:.3g} MiB"
