"""How much is dispatched: a window that belongs to the model, shared by its evaluations. Pure functions.

A window is dispatched minus landed. It is about twice the model's concurrency, so that every slot has its next job waiting,
and wider where calls are shorter than the time a refill takes. So a small evaluation started behind a huge one does not wait
for it, a million items need no more memory or disk than a thousand, and a cancel has little left to drop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

REFILL_S = 0.2
"""From a landed result to the job that takes its place, at worst under load: scorer's batch, hint, query, publish."""

WINDOW_CAP = 20_000


def window(concurrency: int, landed_per_s: float, part: float = 1.0) -> int:
    """Samples that may be dispatched and not landed, over all of this orchestrator's evaluations of a model.

    `landed_per_s` is what lands of all evaluations of the model, whoever owns them: the window that they share would else go to
    whoever is fast already. `part` (0..1] is the weight of this orchestrator's own among them, and so its part of the window.
    """
    whole = min(WINDOW_CAP, max(2 * concurrency, concurrency + landed_per_s * REFILL_S))
    return max(1, math.ceil(whole * part))


@dataclass(frozen=True)
class Claim:
    """What an evaluation has out (`outstanding`), has still to send (`remaining`), and its weight (`priority`)."""

    outstanding: int
    remaining: int
    priority: int


def share(size: int, claims: Sequence[Claim]) -> list[int]:
    """How many samples each evaluation may send now, of a window of `size`.

    Weighted max-min fairness: what is free goes, bit by bit, to whoever has the least outstanding for its priority. An
    evaluation with little left to send leaves its share to the others, and gets it back as theirs lands.
    """
    grants = [0] * len(claims)
    room = size - sum(claim.outstanding for claim in claims)
    bit = max(1, room // 64)
    while room > 0:
        hungry = [i for i, claim in enumerate(claims) if claim.remaining > grants[i]]
        if not hungry:
            break
        poorest = min(hungry, key=lambda i: (claims[i].outstanding + grants[i]) / claims[i].priority)
        granted = min(bit, room, claims[poorest].remaining - grants[poorest])
        grants[poorest] += granted
        room -= granted
    return grants


@dataclass
class AtJudge:
    """The answers of an evaluation that wait for their verdict, looked at once a second: `counted`, when `done` results had landed.

    They have left their model, so that they stand in nobody's way there; and the judge is not to be given more than `most`.
    """

    counted: int = 0
    done: int = 0
    most: int | None = None

    def now(self, done: int) -> int:
        """How many there are at least, now that `done` results have landed."""
        return max(0, self.counted - max(0, done - self.done))

    def is_full(self, done: int) -> bool:
        return self.most is not None and self.now(done) >= self.most


@dataclass
class Rate:
    """Landed results per second, averaged exponentially over about two seconds."""

    per_s: float = 0.0
    at: float | None = None
    pending: int = 0

    def add(self, count: int, now: float) -> None:
        self.pending += count
        if self.at is None:
            self.at = now
            return
        elapsed = now - self.at
        if elapsed >= 0.1:
            # The first measurement stands for itself; an average that starts at nought would lag for seconds.
            weight = 1 - math.exp(-elapsed / 2) if self.per_s else 1.0
            self.per_s += weight * (self.pending / elapsed - self.per_s)
            self.pending, self.at = 0, now
