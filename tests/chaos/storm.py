"""The storm as a plan: which processes are struck, how and when, as a pure function of the seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

PAIR_RATE = 0.2
"""How often two are struck at once."""

SLEEP_RATE = 0.15
"""How often a process is stopped and wakes up later, instead of being killed."""

SHORT_SLEEP_S = (1.0, 6.0)
LONG_SLEEP_S = (16.0, 18.0)
"""Beyond the leases of owners (5 s) and the broker's patience with a predictor (15 s)."""

LONG_SLEEP_RATE = 0.2
"""Of those that sleep, how many sleep long."""

GAP_S = (0.2, 4.0)
MEAN_GAP_S = 1.5


@dataclass(frozen=True)
class Blow:
    """`gap_s` seconds after the one before, these processes are killed, or stopped for `sleep_s` seconds.

    `after_calm`: not before what was struck has come back. On a machine where starting takes longer than the gaps, nothing
    would ever run, and nothing would be shown.
    """

    gap_s: float
    targets: tuple[str, ...]
    sleep_s: float | None = None
    after_calm: bool = False


def storm(seed: int, targets: Sequence[str]) -> Iterator[Blow]:
    """Blows without end. Targets are dealt like cards: each is struck once before any is struck again."""
    rng = Random(f"storm {seed}")
    pack: list[str] = []
    for number in count():
        dealt_out = not pack
        if dealt_out:
            pack = rng.sample(targets, len(targets))
        struck = [pack.pop()]
        if pack and rng.random() < PAIR_RATE:
            struck.append(pack.pop())
        sleep_s = None
        if rng.random() < SLEEP_RATE:
            bounds = LONG_SLEEP_S if rng.random() < LONG_SLEEP_RATE else SHORT_SLEEP_S
            sleep_s = round(rng.uniform(*bounds), 2)
        shortest, longest = GAP_S
        gap_s = min(longest, max(shortest, rng.expovariate(1 / MEAN_GAP_S)))
        yield Blow(round(gap_s, 2), tuple(struck), sleep_s, after_calm=dealt_out and number > 0)
