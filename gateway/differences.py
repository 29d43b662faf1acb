"""On which items evaluations of one phase differ. Pure: `gateway.compared` asks MongoDB.

What the evaluations made of an item is a pattern: a number whose bit i is set where the i-th of them answered it correctly.
Compared are items that every one of them called its model for: a failure of the infrastructure says nothing about a model.
Where items have several samples, the first is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.contracts import Outcome

MOST = 8
"""Evaluations that can be compared at once: columns that one can still read."""

FIRST_SPAN = 1000
LONGEST_SPAN = 32_000
"""Items that are looked through at once: few at first, since differences are mostly frequent, and more where they are rare."""

Stages = list[dict[str, Any]]


def everyone(number: int) -> int:
    """The pattern of an item that all answered correctly."""
    return (1 << number) - 1


def differing(number: int) -> list[int]:
    """The patterns of items that some answered correctly and others did not."""
    return list(range(1, everyone(number)))


def only(place: int) -> int:
    """The pattern of an item that one alone answered correctly."""
    return 1 << place


def is_right(pattern: int, place: int) -> bool:
    return bool(pattern >> place & 1)


def spans(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The indices from `start` up to, not including, `end` in spans that grow, each as its start and end."""
    length = FIRST_SPAN
    while start < end:
        following = min(start + length, end)
        yield start, following
        start, length = following, min(2 * length, LONGEST_SPAN)


@dataclass(frozen=True)
class Counts:
    """How many items have each pattern, of `number` evaluations, among the first `looked_at` items."""

    number: int
    items: Mapping[int, int]
    looked_at: int

    @property
    def compared(self) -> int:
        return sum(self.items.values())

    @property
    def all_right(self) -> int:
        return self.items.get(everyone(self.number), 0)

    @property
    def none_right(self) -> int:
        return self.items.get(0, 0)

    @property
    def differ(self) -> int:
        return self.compared - self.all_right - self.none_right

    def only(self, place: int) -> int:
        """Items that one alone answered correctly."""
        return self.items.get(only(place), 0)


def patterns(ids: Sequence[str], start: int, end: int, *, same_items: bool) -> Stages:
    """Stages over `results` that give `{index, pattern}` for each item compared from `start` up to, not including, `end`.

    Args:
        same_items: whether the evaluations are of one version. Otherwise an index may stand for different items, and only
            those are compared that have the same id and target in all.
    """
    place = [{"case": {"$eq": ["$evaluation", identity]}, "then": only(at)} for at, identity in enumerate(ids)]
    right = {"$cond": [{"$eq": ["$correct", True]}, {"$switch": {"branches": place, "default": 0}}, 0]}
    called = {"$ne": str(Outcome.INFRA_ERROR)}
    return [
        {
            "$match": {
                "evaluation": {"$in": list(ids)},
                "index": {"$gte": start, "$lt": end},
                "sample": 0,
                "outcome": called,
            }
        },
        {
            "$group": {
                "_id": "$index" if same_items else {"index": "$index", "item": "$item_id", "target": "$target"},
                "index": {"$first": "$index"},
                "pattern": {"$sum": right},
                "called": {"$sum": 1},
            }
        },
        {"$match": {"called": len(ids)}},
    ]


def counting() -> Stages:
    """What follows `patterns` to count them: `{_id: pattern, items}`."""
    return [{"$group": {"_id": "$pattern", "items": {"$sum": 1}}}]


def taking(wanted: Sequence[int], limit: int) -> Stages:
    """What follows `patterns` to take the first items that have one of the wanted ones."""
    return [{"$match": {"pattern": {"$in": list(wanted)}}}, {"$sort": {"index": 1}}, {"$limit": limit}]
