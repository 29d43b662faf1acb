"""A tool on a scenario: started, watched, killed where the scenario says so, and its scores read."""

import tempfile
import time
from pathlib import Path
from typing import Protocol

from bench.fixtures import BenchError
from bench.peers.endpoint import Endpoint
from bench.peers.found import Found, Truth
from bench.peers.items import Items
from bench.peers.peer import Job, Peer
from bench.peers.processes import Running
from bench.peers.scenarios import CALL_TIMEOUT_S, CONNECTIONS, MODEL, Scenario, Sizes

LOOK_S = 1.0
"""While half of the calls are waited for, whether the tool still runs is looked at so often."""


class Contender(Protocol):
    """Whatever a row of the tables is about."""

    name: str
    title: str

    def version(self) -> str: ...

    def measure(self, scenario: Scenario) -> Found:
        """Raises `BenchError` where the scenario cannot be measured of it."""
        ...


class PeerContender:
    """A peer in processes of its own, from the start of its command until it has ended."""

    def __init__(self, peer: Peer, items: Items, sizes: Sizes, endpoint: Endpoint) -> None:
        self.name, self.title = peer.name, peer.title
        self._peer, self._items, self._sizes, self._endpoint = peer, items, sizes, endpoint

    def version(self) -> str:
        return self._peer.version()

    def measure(self, scenario: Scenario) -> Found:
        count = self._sizes.of(scenario)
        with tempfile.TemporaryDirectory(prefix=f"assay-bench-{self.name}-") as name:
            folder = Path(name)
            job = Job(
                folder,
                self._items.write(folder / "items.jsonl", count),
                self._endpoint.base_url,
                MODEL,
                CONNECTIONS,
                CALL_TIMEOUT_S,
                scenario.killed,
            )
            self._endpoint.prepare(scenario.behaviour)
            truth = Truth(count, self._items.right(MODEL, count))
            return self._killed(job, truth) if scenario.killed else self._undisturbed(job, truth)

    def _undisturbed(self, job: Job, truth: Truth) -> Found:
        with Running(self._peer.command(job), job.folder / "log") as running:
            spent = running.wait(self._sizes.bound_s)
        outcome = None if spent.status is None else self._peer.outcome(job)
        counts = self._endpoint.counts()
        return Found(truth, spent.wall_s, spent.status, outcome, counts, spent.cpu_s, spent.peak_mb)

    def _killed(self, job: Job, truth: Truth) -> Found:
        with Running(self._peer.command(job), job.folder / "log") as running:
            deadline = time.monotonic() + self._sizes.bound_s
            while not self._endpoint.reached(truth.items // 2, LOOK_S):
                if running.ended() or time.monotonic() > deadline:
                    raise BenchError("ended or was stopped before half of its calls")
            running.kill()
            killed_at = self._endpoint.counts()["answered"]
            killed = running.wait(self._sizes.bound_s)
        if killed.status == 0:
            raise BenchError("had ended before it could be killed")
        with Running(self._peer.resumed(job), job.folder / "log-resumed") as running:
            spent = running.wait(self._sizes.bound_s)
        outcome = None if spent.status is None else self._peer.outcome(job)
        counts = self._endpoint.counts()
        return Found(truth, spent.wall_s, spent.status, outcome, counts, killed_at=killed_at)
