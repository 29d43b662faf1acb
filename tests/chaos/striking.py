"""The storm carried out: a thread that strikes processes of a running stack, as the plan says, until it is told to stop."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Self

import httpx

from deploy.embedded.stack import StackError
from tests.chaos.replicas import Replicas
from tests.chaos.storm import Blow, storm
from tests.running import RunningStack

POLL_S = 0.1
BREATH_S = 30.0


class Striker:
    """As a context: strikes at most `blows` times from its beginning, and at its end wakes what sleeps.

    `killed` and `stopped` count by process what was struck; one that was dead already when its turn came is in neither.
    """

    def __init__(
        self, running: RunningStack, replicas: Replicas, seed: int, blows: int, say: Callable[[str], None]
    ) -> None:
        self.killed: Counter[str] = Counter()
        self.stopped: Counter[str] = Counter()
        self.log: list[str] = []
        """A line a blow, with seconds since the beginning."""
        self._running = running
        self._replicas = replicas
        self._say = say
        self._plan: Iterator[Blow] = islice(storm(seed, sorted(self._pids())), blows)
        self._asleep: dict[int, float] = {}  # pid -> when it is woken
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._strike_all, name=f"storm {seed}")
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _strike_all(self) -> None:
        try:
            for blow in self._plan:
                if blow.after_calm and self._calmed():
                    return
                if self._waited(blow.gap_s):
                    return
                self._strike(blow)
            while self._asleep and not self._waited(POLL_S):
                pass
        finally:
            for pid in self._asleep:
                wake(pid)

    def _waited(self, seconds: float) -> bool:
        """Wait, waking who has slept enough; True where the storm was ended meanwhile."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for pid, at in list(self._asleep.items()):
                if now >= at:
                    del self._asleep[pid]
                    wake(pid)
            if now >= until:
                return self._over.is_set()
            following = min([until, *self._asleep.values()])
            if self._over.wait(max(0.0, following - now)):
                return True

    def _calmed(self) -> bool:
        """Wait until the stack is whole, or for as long as the storm holds its breath; True where it was ended meanwhile."""
        until = time.monotonic() + BREATH_S
        while time.monotonic() < until and not is_ready(self._running.url):
            if self._waited(POLL_S):
                return True
        return self._over.is_set()

    def _strike(self, blow: Blow) -> None:
        pids = self._pids()
        how = "killed" if blow.sleep_s is None else f"stopped for {blow.sleep_s:g} s"
        # Both at once, not one after the other's lookup.
        for target in blow.targets:
            pid = pids.get(target)
            said = how if pid and self._signal(pid, target, blow.sleep_s) else "was down already"
            self.log.append(f"{time.monotonic() - self._began:6.2f} s  {target} {said}")
            self._say(self.log[-1])

    def _signal(self, pid: int, target: str, sleep_s: float | None) -> bool:
        try:
            os.kill(pid, signal.SIGKILL if sleep_s is None else signal.SIGSTOP)
        except ProcessLookupError:
            return False
        if sleep_s is None:
            self._asleep.pop(pid, None)
            self.killed[target] += 1
        else:
            self._asleep[pid] = time.monotonic() + sleep_s
            self.stopped[target] += 1
        return True

    def _pids(self) -> dict[str, int]:
        """Every process by the supervisor's name for it, but for the supervisor itself."""
        found = self._replicas.pids()
        with suppress(StackError):
            found |= {row.part: row.pid for row in self._running.embedded.status() if row.pid}
        return found


def is_ready(url: str) -> bool:
    """Whether the gateway says that every part answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False


def wake(pid: int) -> None:
    # Killed in its sleep, perhaps.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
