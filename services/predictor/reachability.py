"""Whether an endpoint is down, from what the whole fleet's calls came to, and when it is asked how it is. Pure."""

from dataclasses import dataclass

from services.predictor.gate import SUSPECT_FAILING, SUSPECT_UNREACHABLE
from shared.contracts import ModelStatus, PacingReport, PacingState

FAILING_S = 1.0
"""5xx count as an endpoint that is down only where nothing was answered for so long."""
LAST_PAUSE_S = 30.0
"""Between two questions to an endpoint that is down, while evaluations may still wait for it."""
LONG_DOWN_S = 900.0
"""By then they have given it up, unless they were told to wait for longer."""
LONGEST_PAUSE_S = 300.0
SPREAD = 0.25
"""Models that were registered together are asked apart."""


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


def ask_at(state: PacingState, every_s: float, spread: float) -> float | None:
    """When a model that nobody calls is asked next, in Unix time; None: it is not.

    Calls that are answered move it on, since `at` moves with each write of the controller. `every_s` is the time between two questions to
    one that answers (0: never), `spread` in -1..1 moves it by up to a quarter. One that is down is asked after 1, 2, 4 ... 30 s, and when
    it has been down for long every five minutes.
    """
    match state.status:
        case ModelStatus.RUNNING:
            return state.at + every_s * (1 + SPREAD * spread) if every_s else None
        case ModelStatus.UNREACHABLE:
            longest = LAST_PAUSE_S if state.at - state.since < LONG_DOWN_S else LONGEST_PAUSE_S
            return state.at + min(longest, 2.0 ** min(state.asks, 10))
    return None
