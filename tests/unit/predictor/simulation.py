"""An endpoint and its callers in simulated time: as many calls at once as the limit allows, refused ones after a back-off."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from services.predictor.pacing import Law, Window, decide
from shared.contracts import PacingReport

TICK_S = 0.25


@dataclass
class Served:
    """What happened: each call's end, and each tick's limit."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.answered) / (until - since)

    def refused_share(self, since: float) -> float:
        refused = sum(at >= since for at in self.refused)
        return refused / max(1, refused + sum(at >= since for at in self.answered))


Endpoint = Callable[[int, random.Random], float | None]
"""Calls in flight, this one among them -> seconds until it is answered, or None where it is refused."""


def refusing(above: int, latency_s: float = 0.2) -> Endpoint:
    return lambda in_flight, rng: None if in_flight > above else latency_s * rng.uniform(0.75, 1.25)


def bending(above: int, latency_s: float = 0.2) -> Endpoint:
    """Latency grows linearly above so many calls at once: the rate is flat from there on."""
    return lambda in_flight, rng: latency_s * max(1.0, in_flight / above) * rng.uniform(0.75, 1.25)


def batching(half: float, latency_s: float = 0.2) -> Endpoint:
    """Latency grows from the first call on and the rate still rises, as where an engine batches: rate = n / (1 + n / half)."""
    return lambda in_flight, rng: latency_s * (1 + in_flight / half) * rng.uniform(0.75, 1.25)


def unreliable(share: float, latency_s: float = 0.2) -> Endpoint:
    """Refuses at random, whatever the number of calls."""
    return lambda in_flight, rng: None if rng.random() < share else latency_s * rng.uniform(0.75, 1.25)


@dataclass
class Simulation:
    """`replicas` share the calls; the law's decisions take effect at the tick after."""

    law: Law
    endpoint: Endpoint
    replicas: int = 2
    retry_after_s: float | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    served: Served = field(default_factory=Served)
    now: float = 0.0
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, str, float]] = []  # when, order, what, began
        self._order = 0
        self._slots = 0  # calls in flight and in back-off
        self._in_flight = 0
        self._busy_s = 0.0
        self._busy_at = self.now
        self._hold_until = 0.0
        self._beside: int | None = None
        self._waiting = 0
        self._started = self._ok = self._refused = 0
        self._ok_s = 0.0

    def run(self, seconds: float) -> Served:
        until = self.now + seconds
        self._put(self.now + TICK_S, "tick")
        self._fill()
        while self._events and self._events[0][0] <= until:
            self.now, _, what, began = heapq.heappop(self._events)
            match what:
                case "answered":
                    self._count_busy(-1)
                    self._slots -= 1
                    self._ok += 1
                    self._ok_s += self.now - began
                    self.served.answered.append(self.now)
                case "again":
                    self._call()
                case "tick":
                    self._tick()
                    if self.now + TICK_S <= until:
                        self._put(self.now + TICK_S, "tick")
            self._fill()
        self.now = until
        return self.served

    def _put(self, at: float, what: str, began: float = 0.0) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, what, began))

    def _count_busy(self, change: int) -> None:
        self._busy_s += self._in_flight * (self.now - self._busy_at)
        self._busy_at = self.now
        self._in_flight += change

    def _fill(self) -> None:
        while self._slots < self.law.limit:
            self._slots += 1
            self._call()

    def _call(self) -> None:
        if self.now < self._hold_until:
            self._put(self._hold_until + 1e-6, "again")
            return
        self._started += 1
        taken_s = self.endpoint(self._in_flight + 1, self.rng)
        if taken_s is None:
            self._refused += 1
            self.served.refused.append(self.now)
            self._beside = self._in_flight if self._beside is None else min(self._beside, self._in_flight)
            if self.retry_after_s:
                self._hold_until = max(self._hold_until, self.now + self.retry_after_s)
            self._put(self.now + (self.retry_after_s or 0) + self.rng.uniform(0.25, 0.5), "again")
            return
        self._count_busy(+1)
        self._put(self.now + taken_s, "answered", self.now)

    def _tick(self) -> None:
        self._count_busy(0)
        for replica in range(self.replicas):
            self.window.add(self._report(replica), self.now)
        self._busy_s = 0.0
        self._started = self._ok = self._refused = 0
        self._ok_s = 0.0
        self._beside = None
        if self.window.ready(self.law, self.now):
            before = self.law
            self.law = decide(before, self.window.interval(), self.now)
            if self.law.limit != before.limit:
                hold_s = max(0.0, self._hold_until - self.now)
                self.window.restart(self.now, lowered=self.law.limit < before.limit, hold_s=hold_s)
            else:
                self.window.begin()
        self.served.limits.append((self.now, self.law.limit))

    def _report(self, replica: int) -> PacingReport:
        """A replica's part of what has happened; the first one's is what the others leave."""

        def part(count: int) -> int:
            each = count // self.replicas
            return each if replica else count - (self.replicas - 1) * each

        return PacingReport(
            replica=str(replica),
            span_s=TICK_S,
            started=part(self._started),
            ok=part(self._ok),
            ok_s=self._ok_s * part(self._ok) / self._ok if self._ok else 0.0,
            refused=part(self._refused),
            beside=None if self._beside is None else part(self._beside),
            busy_s=self._busy_s / self.replicas,
        )
