"""Holding processes to a share of a core, without root: each is stopped while it has used up what it may (as cpulimit does).

So a part can be made the slowest one on a machine whose cores it shares with everything else.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

POLL_S = 0.001
MOST_S = 0.005
"""CPU time that may gather: a process that was idle may not be faster for long."""
ENOUGH_S = 0.002
"""CPU time with which a stopped process goes on."""


@dataclass
class Allowance:
    """A token bucket of CPU time: `share` seconds come in a second."""

    share: float
    left_s: float = MOST_S
    runs: bool = True

    def spend(self, used_s: float, passed_s: float) -> bool:
        """Whether the process may run now, after it used so much in so much time."""
        self.left_s = min(MOST_S, self.left_s + self.share * passed_s) - used_s
        self.runs = self.left_s > 0 if self.runs else self.left_s >= ENOUGH_S
        return self.runs


def cpu_time_s(pid: int) -> float:
    """CPU time of a process and all its threads so far. Raises `OSError` where it has ended.

    The clock's number is made as `clock_getcpuclockid(3)` makes it.
    """
    return time.clock_gettime((~pid << 3) | 2)


class Throttle:
    """Holds some processes to a share of a core each, for as long as the context lasts."""

    def __init__(self, pids: Sequence[int], share: float) -> None:
        self._pids = pids
        self._share = share
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _hold(self) -> None:
        allowances = {pid: Allowance(self._share) for pid in self._pids}
        used = {pid: cpu_time_s(pid) for pid in self._pids}
        at = time.monotonic()
        try:
            while not self._over.wait(POLL_S):
                now = time.monotonic()
                for pid, allowance in allowances.items():
                    ran, total = allowance.runs, cpu_time_s(pid)
                    runs = allowance.spend(total - used[pid], now - at)
                    used[pid] = total
                    if runs != ran:
                        os.kill(pid, signal.SIGCONT if runs else signal.SIGSTOP)
                at = now
        finally:
            for pid in self._pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
