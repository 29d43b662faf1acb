"""What a measurement found, and how a cell of the tables says it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.peers.peer import Outcome


@dataclass(frozen=True)
class Truth:
    """How many items there were, and how many of them the endpoint answers right."""

    items: int
    right: int


@dataclass(frozen=True)
class Found:
    """One measurement of one tool. `status` None: stopped at the bound. `counts` are the endpoint's, `again` calls that
    had been made before a kill. CPU is in seconds, of all processes of the tool; not measured where a run was killed."""

    truth: Truth
    wall_s: float
    status: int | None
    outcome: Outcome | None
    counts: Mapping[str, int]
    cpu_s: float | None = None
    peak_mb: float | None = None
    killed_at: int | None = None

    @property
    def whole(self) -> bool:
        """Every item has a score."""
        return self.outcome is not None and self.outcome.scored == self.truth.items

    @property
    def per_s(self) -> float:
        return self.truth.items / self.wall_s


def accuracy(found: Found) -> str:
    """The tool's accuracy against the endpoint's: over all items, those without an answer being wrong."""
    if found.outcome is None:
        return "nothing written"
    given, true = found.outcome.right / found.truth.items, found.truth.right / found.truth.items
    if found.outcome.right == found.truth.right:
        return "exact"
    return f"{given:.1%} for {true:.1%}".replace("%", " %")


def told(found: Found) -> str:
    """How a run ended, in a few words: time, items scored, accuracy."""
    if found.status is None:
        return f"> {found.wall_s:.0f} s: stopped with {found.counts['answered']:,} calls answered"
    if found.outcome is None:
        return f"{found.wall_s:.1f} s: ended with status {found.status}, no scores written"
    parts = [f"{found.wall_s:.1f} s: {found.outcome.scored:,} of {found.truth.items:,} scored"]
    if found.outcome.errors:
        parts.append(f"{found.outcome.errors:,} without an answer")
    parts.append(f"accuracy {accuracy(found)}")
    if found.status:
        parts.append(f"status {found.status}")
    return ", ".join(parts)


def told_of_kill(found: Found) -> str:
    """The same after a kill: what was called a second time, among it what was under way."""
    if found.killed_at is None:
        return told(found)
    again = found.counts["requests"] - found.counts["distinct"]
    return f"killed at {found.killed_at:,}; then {told(found)}, {again:,} called again"
