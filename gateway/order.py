"""In which order the rows of an evaluation are read, and the cursors of each order.

An order is one group of rows after another, each read by an index or by a sort over few enough rows. A cursor is the place of
the last row that was given, so that rows that land meanwhile neither repeat nor hide another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any

from gateway.paging import decode, encode
from shared.api import Result
from shared.errors import BadRequest, FieldError, Invalid

SORTED_SAMPLES = 20_000
"""Up to so many samples latency is sorted by on demand: an index of it would cost every write of a result."""


class Sort(StrEnum):
    """By the item's place, by latency (`-`: the slowest first), or by correctness (`-`: correct ones first)."""

    INDEX = "index"
    LATENCY = "latency_ms"
    SLOWEST = "-latency_ms"
    WRONG_FIRST = "correct"
    RIGHT_FIRST = "-correct"


@dataclass(frozen=True)
class Group:
    """The rows that meet `condition`, by `measure` where there is one, then by index."""

    condition: dict[str, Any] = field(default_factory=dict)
    measure: str | None = None
    direction: int = 1

    def keys(self) -> list[tuple[str, int]]:
        return [*([(self.measure, self.direction)] if self.measure else []), ("index", 1)]


_MEASURED, _UNMEASURED = {"latency_ms": {"$ne": None}}, Group({"latency_ms": None})
_RIGHT, _WRONG = Group({"correct": True}), Group({"correct": {"$ne": True}})
GROUPS: dict[Sort, Sequence[Group]] = {
    Sort.INDEX: (Group(),),
    Sort.LATENCY: (Group(_MEASURED, "latency_ms", 1), _UNMEASURED),
    Sort.SLOWEST: (Group(_MEASURED, "latency_ms", -1), _UNMEASURED),
    Sort.WRONG_FIRST: (_WRONG, _RIGHT),
    Sort.RIGHT_FIRST: (_RIGHT, _WRONG),
}


@dataclass(frozen=True)
class Place:
    """Where a row stands: in which group, with which value of its measure, at which index."""

    group: int = 0
    value: float | None = None
    index: int = -1

    def following(self, group: Group) -> dict[str, Any]:
        """The condition on the rows of this place's own group that come after it."""
        if group.measure is None or self.value is None:
            return {"index": {"$gt": self.index}}
        beyond = "$gt" if group.direction > 0 else "$lt"
        return {
            "$or": [
                {group.measure: {beyond: self.value}},
                {group.measure: self.value, "index": {"$gt": self.index}},
            ]
        }


def check(sort: Sort, samples: int) -> None:
    """Raises `Invalid` where an evaluation has too many samples for an order."""
    if samples > SORTED_SAMPLES and any(group.measure for group in GROUPS[sort]):
        error: FieldError = {
            "loc": ["sort"],
            "msg": f"results are sorted by latency up to {SORTED_SAMPLES:,} samples; this evaluation has {samples:,}",
        }
        raise Invalid(error["msg"], [error])


def cursor_of(sort: Sort, row: Result) -> str:
    """The cursor of what follows a row."""
    if sort is Sort.INDEX:
        return encode(row.index)
    if sort in (Sort.LATENCY, Sort.SLOWEST):
        group = int(row.latency_ms is None)
        return encode(group, "" if row.latency_ms is None else repr(row.latency_ms), row.index)
    return encode(int(row.correct is (sort is Sort.WRONG_FIRST)), "", row.index)


def place_of(sort: Sort, cursor: str | None) -> Place:
    """The place in a cursor; raises `BadRequest` for one of another order."""
    if cursor is None:
        return Place()
    if sort is Sort.INDEX:
        return Place(index=decode(cursor, int)[0])
    group, value, index = decode(cursor, int, str, int)
    try:
        measured = float(value) if value else None
    except ValueError:
        group = -1
        measured = None
    has_measure = 0 <= group < len(GROUPS[sort]) and GROUPS[sort][group].measure is not None
    if not 0 <= group < len(GROUPS[sort]) or has_measure != (measured is not None) or not isfinite(measured or 0):
        raise BadRequest("cursor is not one that this list gave; start without it")
    return Place(group, measured, index)
