"""What the comparison must notice: each loss, repeat and change, by itself."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.contracts import Status
from tests.chaos.comparing import Remains, Said, differences, lost, scores_equal, twice


def log(*kinds: str, round_: int = 0, first: int = 1) -> list[Said]:
    """Events of these kinds one after the other; `progress 3` has that many done."""
    return [
        Said(str(at), f"event-{at}", kind.split()[0], round_, int(kind.split()[1]) if " " in kind else None)
        for at, kind in enumerate(kinds, start=first)
    ]


ROWS: list[dict[str, Any]] = [{"index": index, "prediction": str(index), "correct": True} for index in range(3)]
LOG = log("queued", "log", "started", "progress 1", "progress 3", "scoring", "scored", "completed")
WHOLE = Remains(
    name="all",
    wanted=Status.COMPLETED,
    status="completed",
    round=0,
    items=3,
    samples=1,
    stored=[(0, 0), (1, 0), (2, 0)],
    progress={"done": 3, "total": 3},
    rows=ROWS,
    metrics={"accuracy": 1.0},
    files={"dataset.jsonl": b"{}"},
    history=LOG,
    followed=LOG,
)
CANCELLED_LOG = log("queued", "started", "progress 1", "cancelled")
CANCELLED = replace(
    WHOLE,
    wanted=Status.CANCELLED,
    status="cancelled",
    stored=[(0, 0), (2, 0)],
    progress={"done": 2, "total": 3},
    rows=[ROWS[0], ROWS[2]],
    metrics={},
    files={},
    history=CANCELLED_LOG,
    followed=CANCELLED_LOG,
)


def test_nothing_is_told_of_what_is_equal() -> None:
    assert differences(WHOLE, WHOLE) == []
    assert (lost(WHOLE), twice(WHOLE), scores_equal(WHOLE, WHOLE)) == (0, 0, True)


def test_a_cancelled_one_owes_no_samples_but_what_it_has_must_be_right() -> None:
    assert differences(CANCELLED, WHOLE) == []
    assert (lost(CANCELLED), twice(CANCELLED), scores_equal(CANCELLED, WHOLE)) == (0, 0, True)
    wrong = replace(CANCELLED, rows=[{**ROWS[0], "prediction": "7"}])
    assert not scores_equal(wrong, WHOLE)
    assert len(differences(wrong, WHOLE)) == 1


def test_a_second_round_is_a_log_that_goes_on() -> None:
    again = log("started", "progress 3", "scoring", "scored", "completed", round_=1, first=len(LOG) + 1)
    redriven = replace(WHOLE, round=1, history=[*LOG, *again], followed=[*LOG, *again])
    assert differences(redriven, WHOLE) == []
    assert differences(replace(redriven, round=0), WHOLE)
    assert differences(replace(WHOLE, round=1), WHOLE)


def test_a_lost_sample_is_counted_and_named() -> None:
    remains = replace(WHOLE, stored=[(0, 0), (2, 0)])
    assert lost(remains) == 1
    assert "(1, 0)" in "".join(differences(remains, WHOLE))


def test_a_sample_that_is_stored_twice_is_counted_and_named() -> None:
    remains = replace(WHOLE, stored=[*WHOLE.stored, (1, 0)])
    assert twice(remains) == 1
    assert "(1, 0)" in "".join(differences(remains, WHOLE))


def test_a_result_that_is_served_twice_counts_too() -> None:
    assert twice(replace(WHOLE, progress={"done": 4, "total": 3})) == 1


def said(change: Callable[[list[Said]], Sequence[Said]]) -> Remains:
    changed = change(list(LOG))
    return replace(WHOLE, history=changed, followed=changed)


@pytest.mark.parametrize(
    ("remains", "named"),
    [
        (replace(WHOLE, status="failed"), "status"),
        (replace(WHOLE, stored=[*WHOLE.stored, (3, 0)]), "no sample"),
        (replace(WHOLE, rows=ROWS[:2]), "rows"),
        (replace(WHOLE, rows=[*ROWS, ROWS[0]]), "2 times"),
        (replace(WHOLE, rows=[*ROWS[:2], {**ROWS[2], "correct": False}]), "correct"),
        (replace(WHOLE, metrics={"accuracy": 0.5}), "accuracy"),
        (replace(WHOLE, metrics={}), "accuracy"),
        (replace(WHOLE, files={"dataset.jsonl": b""}), "dataset.jsonl"),
        (replace(WHOLE, files={}), "dataset.jsonl"),
        (replace(WHOLE, progress={"done": 2, "total": 3}), "progress"),
        (replace(WHOLE, followed=LOG[:3] + LOG[4:]), "followed"),
        (replace(WHOLE, followed=[*LOG[:3], LOG[2], *LOG[3:]]), "followed"),
        (replace(WHOLE, complaints=["of itself"]), "of itself"),
        (said(lambda log: [*log[:3], log[2], *log[3:]]), "more than once"),
        (said(lambda log: [log[1], log[0], *log[2:]]), "rise"),
        (said(lambda log: log[:-1]), "ends with"),
        (said(lambda log: log[:5] + log[6:]), "scoring"),
        (said(lambda log: [*log[:3], log[3]._replace(done=3), log[4]._replace(done=1), *log[5:]]), "back"),
        (said(lambda log: log[:4] + log[5:]), "last progress"),
    ],
)
def test_each_fault_is_told(remains: Remains, named: str) -> None:
    told = differences(remains, WHOLE)
    assert any(named in line for line in told), told
    assert all(line.startswith("all: ") for line in told)
