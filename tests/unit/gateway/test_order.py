"""Orders of rows: a cursor names the place of its row and of no other order."""

import pytest

from gateway import examples
from gateway.order import SORTED_SAMPLES, Place, Sort, check, cursor_of, place_of
from gateway.paging import encode
from shared.api import Result
from shared.errors import BadRequest, Invalid


def row(index: int = 7, *, correct: bool = True, latency_ms: float | None = 0.1 + 0.2) -> Result:
    return Result.model_validate({**examples.RESULT, "index": index, "correct": correct, "latency_ms": latency_ms})


@pytest.mark.parametrize(
    ("sort", "found", "place"),
    [
        (Sort.INDEX, row(), Place(index=7)),
        (Sort.LATENCY, row(), Place(0, 0.1 + 0.2, 7)),
        (Sort.SLOWEST, row(latency_ms=None), Place(1, None, 7)),
        (Sort.WRONG_FIRST, row(correct=False), Place(0, None, 7)),
        (Sort.WRONG_FIRST, row(), Place(1, None, 7)),
        (Sort.RIGHT_FIRST, row(), Place(0, None, 7)),
        (Sort.RIGHT_FIRST, row(correct=False), Place(1, None, 7)),
    ],
)
def test_a_cursor_is_the_place_of_its_row(sort: Sort, found: Result, place: Place) -> None:
    assert place_of(sort, cursor_of(sort, found)) == place


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        (Sort.INDEX, cursor_of(Sort.LATENCY, row())),
        (Sort.LATENCY, cursor_of(Sort.INDEX, row())),
        (Sort.LATENCY, encode(0, "", 7)),
        (Sort.LATENCY, encode(0, "nan", 7)),
        (Sort.LATENCY, encode(0, "fast", 7)),
        (Sort.LATENCY, encode(1, "1.5", 7)),
        (Sort.WRONG_FIRST, encode(2, "", 7)),
        (Sort.WRONG_FIRST, encode(-1, "", 7)),
        (Sort.WRONG_FIRST, cursor_of(Sort.LATENCY, row())),
    ],
)
def test_a_cursor_of_another_order_is_refused(sort: Sort, cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        place_of(sort, cursor)


def test_only_latency_is_limited() -> None:
    check(Sort.WRONG_FIRST, 10**9)
    check(Sort.SLOWEST, SORTED_SAMPLES)
    with pytest.raises(Invalid, match="20,000 samples") as refusal:
        check(Sort.SLOWEST, SORTED_SAMPLES + 1)
    assert refusal.value.errors[0]["loc"] == ["sort"]
