"""Whether an endpoint is down, from what the whole fleet's calls came to, and when to ask it again. Pure."""

from dataclasses import dataclass

from services.predictor.gate import SUSPECT_FAILING, SUSPECT_UNREACHABLE
from shared.contracts import PacingReport

FAILING_S = 1.0
"""5xx count as an endpoint that is down only where nothing was answered for so long."""
FIRST_PROBE_S = 1.0
LAST_PROBE_S = 30.0


@dataclass
class Evidence:
    """Failures since the endpoint was last heard of, over all replicas."""

    unreachable: int = 0
    failing: int = 0
    answered_at: float | None = None
    error: str = ""

    def add(self, report: PacingReport, now: float) -> None:
        if report.answered:
            # What failed in the same span may lie before the answer; the next span tells.
            self.unreachable = self.failing = 0
            self.answered_at = now
            return
        if self.answered_at is None:
            self.answered_at = now - report.span_s
        self.unreachable += report.unreachable
        self.failing += report.failing
        self.error = report.error or self.error

    def verdict(self, now: float) -> str | None:
        """Why the endpoint counts as down, or None."""
        silent_s = now - self.answered_at if self.answered_at is not None else 0.0
        failures = self.unreachable + self.failing
        if self.unreachable >= SUSPECT_UNREACHABLE or (self.failing >= SUSPECT_FAILING and silent_s >= FAILING_S):
            return f"{self.error or 'calls fail'}; {failures} calls in turn failed"
        return None


@dataclass
class Probing:
    """When to ask an endpoint that is down again: after pauses that double."""

    due: float = 0.0
    pause: float = FIRST_PROBE_S

    def start(self, now: float) -> None:
        self.pause = FIRST_PROBE_S
        self.due = now + self.pause

    def failed(self, now: float) -> None:
        self.pause = min(LAST_PROBE_S, 2 * self.pause)
        self.due = now + self.pause
