"""Memory and CPU time of every process of a stack over time, from `/proc` (proc(5))."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.embedded.stack import Stack, StackError

EVERY_S = 1.0
MB = 1_000_000


@dataclass(frozen=True)
class Resident:
    """Bytes in memory now, and the most that there ever were (the kernel keeps count, so no peak falls between two looks);
    `cpu_s`, the CPU time used so far, is that of the process itself."""

    now: int
    most: int
    cpu_s: float = 0.0


Sample = tuple[float, Mapping[str, Resident]]
"""Unix time, and what each process has by its name."""


def cpu_s(stat: str) -> float:
    """User and system time from a line of `/proc/PID/stat` (fields 14 and 15); the name before them may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(status: str, cpu_s: float = 0.0) -> Resident | None:
    """From the text of `/proc/PID/status`; None for a process that has ended and is only remembered."""
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" not in found:
        return None
    now, most = (1024 * int(found[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return Resident(now, most, cpu_s)


def descendants(parents: Mapping[int, int], root: int) -> list[int]:
    """The processes below `root`, given each one's parent."""
    found = [root]
    for pid in found:
        found += sorted(child for child, parent in parents.items() if parent == pid)
    return found[1:]


def most_between(samples: Sequence[Sample], name: str, start: float, end: float) -> int | None:
    """The most bytes that a process had in memory in a span of time; None where it was not seen."""
    return max((held[name].now for at, held in samples if start <= at <= end and name in held), default=None)


def cpu_between(samples: Sequence[Sample], name: str, start: float, end: float) -> float:
    """CPU seconds that a process used between the first and the last look in a span of time, as a share of it: cores."""
    found = [(at, held[name].cpu_s) for at, held in samples if start <= at <= end and name in held]
    if len(found) < 2:
        return 0.0
    (first, before), (last, after) = found[0], found[-1]
    return (after - before) / (last - first)


def peaks(samples: Sequence[Sample]) -> dict[str, int]:
    """The most that each process ever had, in the order in which they were first seen."""
    found: dict[str, int] = {}
    for _, held in samples:
        for name, memory in held.items():
            found[name] = max(found.get(name, 0), memory.most)
    return found


@dataclass
class Watch:
    """Looks at all processes of a running stack each second, in a thread, for as long as the context lasts.

    A part has its own name, what it has started itself the name of the part and `child`.
    """

    stack: Stack
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(EVERY_S):
            # A supervisor that is slow to answer costs a look, not the watch: peaks are kept by the kernel.
            with suppress(StackError, OSError):
                self.samples.append((time.time(), held(self.stack)))


def held(stack: Stack) -> dict[str, Resident]:
    """What every process of the stack holds now, its supervisor's included."""
    parents = _parents()
    pids = {"supervisor": int((stack.data / "supervisord.pid").read_text())}
    pids |= {row.part: row.pid for row in stack.status() if row.pid}
    found: dict[str, Resident] = {}
    for name, pid in pids.items():
        below = [] if name == "supervisor" else [(f"{name} child", child) for child in descendants(parents, pid)]
        for called, each in [(name, pid), *below]:
            # Gone meanwhile.
            with suppress(OSError):
                used = cpu_s(Path(f"/proc/{each}/stat").read_text())
                memory = resident(Path(f"/proc/{each}/status").read_text(), used)
                if memory and memory.most > found.get(called, Resident(0, 0)).most:
                    found[called] = memory
    return found


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found
