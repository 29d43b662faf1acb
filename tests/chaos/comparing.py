"""What an evaluation left behind, and in what it differs from the same evaluation undisturbed. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from shared.contracts import FINAL, Status

SHOWN = 3
"""Differences of one kind that are told one by one."""

ROUND = ("started", "scoring", "scored", "completed")
"""What is said in each round of a completed evaluation, beside log and progress."""


class Said(NamedTuple):
    """An event as a client saw it: `kind` is the last word of its type, `done` a progress event's."""

    cursor: str
    id: str
    kind: str
    round: int
    done: int | None = None


@dataclass(frozen=True)
class Remains:
    """All that is left of one evaluation, without times, attempts and what names the evaluation itself."""

    name: str
    """Of the order that it was started with."""
    wanted: Status
    """How it was to end."""
    status: str
    round: int
    items: int
    samples: int
    stored: Sequence[tuple[int, int]]
    """(index, sample) of every result in MongoDB, as often as it is there."""
    progress: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]
    """As the API gives them, with their `index`."""
    metrics: Mapping[str, Any]
    files: Mapping[str, Any]
    """By name, what must be equal of each."""
    history: Sequence[Said]
    followed: Sequence[Said]
    complaints: Sequence[str] = field(default=())
    """What was wrong with it by itself, found while gathering."""

    @property
    def expected(self) -> set[tuple[int, int]]:
        return {(index, sample) for index in range(self.items) for sample in range(self.samples)}


def lost(remains: Remains) -> int:
    """Samples without a result; a cancelled evaluation owes none."""
    if remains.status == Status.CANCELLED:
        return 0
    return len(remains.expected - set(remains.stored))


def twice(remains: Remains) -> int:
    """Results beyond one a sample, in MongoDB or in the counts that are served."""
    surplus = len(remains.stored) - len(set(remains.stored))
    return surplus + max(0, remains.progress["done"] - len(set(remains.stored)))


def scores_equal(remains: Remains, undisturbed: Remains) -> bool:
    """Of a cancelled one, those of the rows that it has."""
    if remains.status == Status.CANCELLED:
        return not list(_rows(remains, undisturbed))
    return remains.metrics == undisturbed.metrics and not list(_rows(remains, undisturbed))


def differences(remains: Remains, undisturbed: Remains) -> list[str]:
    """A line for each difference that is a fault, none where the storm has left no trace.

    A cancelled one is compared with one that was not: what it has must be equal.
    """
    found = list(remains.complaints)
    if remains.status != remains.wanted:
        found.append(f"status: {remains.status} instead of {remains.wanted}")
    found += _stored(remains)
    found += _rows(remains, undisturbed)
    found += _log(remains)
    if remains.status == Status.COMPLETED:
        found += _fields("progress", remains.progress, undisturbed.progress)
        found += _fields("metrics", remains.metrics, undisturbed.metrics)
        found += _fields("file", remains.files, undisturbed.files)
    return [f"{remains.name}: {line}" for line in found]


def _stored(remains: Remains) -> Iterator[str]:
    if missing := sorted(remains.expected - set(remains.stored)):
        if remains.status != Status.CANCELLED:
            yield f"{len(missing)} samples have no result: {_some(missing)}"
    elif remains.status in FINAL and remains.progress["done"] != len(remains.expected):
        yield f"progress says {remains.progress['done']} of {len(remains.expected)}"
    if surplus := [key for key, times in Counter(remains.stored).items() if times > 1]:
        yield f"{len(surplus)} samples have more than one result: {_some(surplus)}"
    if strange := sorted(set(remains.stored) - remains.expected):
        yield f"{len(strange)} results are of no sample of it: {_some(strange)}"


def _rows(remains: Remains, undisturbed: Remains) -> Iterator[str]:
    theirs = {row["index"]: row for row in undisturbed.rows}
    for index, times in Counter(row["index"] for row in remains.rows).items():
        if times > 1:
            yield f"row {index} is there {times} times"
    wrong = [(row, theirs.get(row["index"], {})) for row in remains.rows if row != theirs.get(row["index"])]
    for row, other in wrong[:SHOWN]:
        named = ", ".join(
            f"{name} {row.get(name)!r:.80} instead of {other.get(name)!r:.80}"
            for name in sorted({*row, *other})
            if row.get(name) != other.get(name)
        )
        yield f"row {row['index']}: {named}"
    if len(wrong) > SHOWN:
        yield f"{len(wrong) - SHOWN} more rows differ"
    if remains.status != Status.CANCELLED and len(remains.rows) != len(undisturbed.rows):
        yield f"{len(remains.rows)} rows instead of {len(undisturbed.rows)}"


def _log(remains: Remains) -> Iterator[str]:
    yield from _order("log", remains.history)
    if list(remains.followed) != list(remains.history):
        seen, said = {event.id for event in remains.followed}, {event.id for event in remains.history}
        yield (
            f"a client that followed saw {len(remains.followed)} events, the log has {len(remains.history)}:"
            f" missed {_some(sorted(said - seen))}, not in the log {_some(sorted(seen - said))}"
        )
    kinds = [event.kind for event in remains.history if event.kind not in ("log", "progress")]
    if remains.status == Status.COMPLETED:
        expected = ["queued", *ROUND * (remains.round + 1)]
        if kinds != expected:
            yield f"log: says {' '.join(kinds)} instead of {' '.join(expected)}"
    elif remains.status in FINAL and (not kinds or kinds[-1] != remains.status):
        yield f"log: says {' '.join(kinds)} of a {remains.status} evaluation"
    if remains.history and remains.history[-1].kind not in FINAL:
        yield f"log: ends with {remains.history[-1].kind}"
    for round_ in range(remains.round + 1):
        done = [event.done for event in remains.history if event.done is not None and event.round == round_]
        if back := [f"from {before} to {after}" for before, after in pairwise(done) if after < before]:
            yield f"log: progress of round {round_} goes back {_some(back)}"
        if remains.status == Status.COMPLETED and done[-1:] != [len(remains.expected)]:
            yield f"log: the last progress of round {round_} is {done[-1:]}, of {len(remains.expected)}"


def _order(what: str, events: Sequence[Said]) -> Iterator[str]:
    if again := [key for key, times in Counter(event.id for event in events).items() if times > 1]:
        yield f"{what}: {len(again)} events are there more than once: {_some(again)}"
    cursors = [int(event.cursor) for event in events]
    if any(following <= before for before, following in pairwise(cursors)):
        yield f"{what}: the cursors do not rise"


def _fields(what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*found, *expected}):
        ours, theirs = found.get(name), expected.get(name)
        if ours != theirs:
            yield f"{what} {name}: {ours!r:.160} instead of {theirs!r:.160}"


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:SHOWN]))
    return f"{shown} and {len(values) - SHOWN} more" if len(values) > SHOWN else shown or "none"
