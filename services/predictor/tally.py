"""The count of what a replica's calls came to, for whoever controls their model. A few additions a call, and no message."""

import time

from services.predictor.answers import Trouble
from services.predictor.gate import Gate
from shared.contracts import PacingReport


class Tally:
    """What this replica's calls came to since the last report."""

    __slots__ = (
        "_began",
        "_busy_at",
        "_busy_s",
        "answered",
        "beside",
        "error",
        "failing",
        "in_flight",
        "ok",
        "ok_s",
        "refused",
        "started",
        "timeouts",
        "unreachable",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self._busy_at = time.monotonic()
        self._clear(self._busy_at)

    def _clear(self, now: float) -> None:
        self._began = now
        self._busy_s = 0.0
        self.started = self.ok = self.refused = self.timeouts = self.unreachable = self.failing = self.answered = 0
        self.ok_s = 0.0
        self.error: str | None = None
        self.beside: int | None = None

    def begin(self, now: float) -> None:
        self._busy_s += self.in_flight * (now - self._busy_at)
        self._busy_at = now
        self.in_flight += 1
        self.started += 1

    def end(self, now: float) -> None:
        self._busy_s += self.in_flight * (now - self._busy_at)
        self._busy_at = now
        self.in_flight -= 1

    def answer(self, latency_s: float) -> None:
        self.ok += 1
        self.ok_s += latency_s
        self.answered += 1

    def failed(self, trouble: Trouble | None, message: str, *, first: bool) -> None:
        match trouble:
            case Trouble.TIMEOUT:
                self.timeouts += 1
            case Trouble.UNREACHABLE:
                self.unreachable += 1
                self.error = message
            case Trouble.REFUSED:
                self._refused()
                self.answered += 1
            case Trouble.OVERLOADED:
                self._refused()
                self.failing += first
                self.error = message
            case Trouble.FAILING:
                self.failing += first
                self.error = message
            case None:
                self.answered += 1

    def _refused(self) -> None:
        self.refused += 1
        self.beside = self.in_flight if self.beside is None else min(self.beside, self.in_flight)

    def report(self, replica: str, gate: Gate) -> PacingReport | None:
        """What is to be told, and begin again; None where nothing happened and nothing waits."""
        now = time.monotonic()
        self._busy_s += self.in_flight * (now - self._busy_at)
        self._busy_at = now
        if not (self.started or self.in_flight or gate.waiting or self.ok):
            gate.tokens = 0  # grants that nobody uses would gather to a burst
            self._clear(now)
            return None
        report = PacingReport(
            replica=replica,
            span_s=now - self._began,
            started=self.started,
            ok=self.ok,
            ok_s=self.ok_s,
            refused=self.refused,
            timeouts=self.timeouts,
            unreachable=self.unreachable,
            failing=self.failing,
            answered=self.answered,
            busy_s=self._busy_s,
            in_flight=self.in_flight,
            beside=self.beside,
            waiting=gate.waiting,
            tokens=gate.tokens,
            error=self.error,
        )
        self._clear(now)
        return report
