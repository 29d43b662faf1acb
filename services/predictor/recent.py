"""What the last second's calls were like over all replicas, to be shown."""

from typing import Any

from shared.contracts import PacingReport, PacingState


class Recent:
    """Adds up reports; `take` gives the fields of the state to show, and begins again."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._spans: dict[str, list[float]] = {}  # replica -> [seconds, integral of calls in flight]
        self._ok = self._started = self._refused = 0
        self._ok_s = 0.0

    @property
    def busy(self) -> bool:
        return bool(self._spans)

    def add(self, report: PacingReport) -> None:
        span = self._spans.setdefault(report.replica, [0.0, 0.0])
        span[0] += report.span_s
        span[1] += report.busy_s
        self._ok += report.ok
        self._ok_s += report.ok_s
        self._started += report.started
        self._refused += report.refused

    def take(self, state: PacingState) -> dict[str, Any]:
        seconds = max((span for span, _ in self._spans.values()), default=0.0)
        shown = {
            "in_flight": round(sum(busy / span for span, busy in self._spans.values() if span), 1),
            "calls_per_s": round(self._started / seconds, 1) if seconds else 0.0,
            "latency_ms": round(1000 * self._ok_s / self._ok, 1) if self._ok else state.latency_ms,
            "calls": state.calls + self._started,
            "refused": state.refused + self._refused,
        }
        self._clear()
        return shown

    def nothing(self) -> dict[str, Any]:
        """The fields where no call is made."""
        return {"in_flight": 0.0, "calls_per_s": 0.0}
