"""What the comparison shows of items: filters, and the parts of all."""

import pytest

from gateway.differences import Counts
from gateway.web.compare import filters_of, intervals_of, patterns_of, segments_of
from shared.errors import Invalid


def test_a_filter_is_all_that_differ_or_one_that_alone_is_right() -> None:
    assert patterns_of("differ", [7, 3]) == [0b01, 0b10]
    assert patterns_of("3", [7, 3]) == [0b10]
    with pytest.raises(Invalid, match="show must be one of differ, 7, 3; it is 4"):
        patterns_of("4", [7, 3])


def test_filters_say_how_many_items_they_show() -> None:
    evaluations = [{"number": 7}, {"number": 3}]
    counts = Counts(2, {0b11: 5, 0b01: 2, 0b10: 1}, 9)
    assert filters_of(evaluations, counts) == [
        ("differ", "All that differ", 3),
        ("7", "Only A right", 2),
        ("3", "Only B right", 1),
    ]
    assert [items for _, _, items in filters_of(evaluations, None)] == [None, None, None]


@pytest.mark.parametrize("number", [2, 3])
def test_the_parts_cover_everything_compared(number: int) -> None:
    segments = segments_of(Counts(number, {pattern: pattern + 1 for pattern in range(2**number)}, 99))
    assert sum(items for _, _, items, _, _ in segments) == sum(range(1, 2**number + 1))
    assert sum(width for *_, width in segments) == pytest.approx(1)
    assert [start for *_, start, _ in segments] == sorted(start for *_, start, _ in segments)


def test_nothing_compared_has_no_width() -> None:
    assert {width for *_, width in segments_of(Counts(2, {}, 0))} == {0.0}


def test_intervals_are_drawn_for_those_that_have_one() -> None:
    scored = {"metrics": {"accuracy": 0.8, "accuracy_ci95": [0.7, 0.9]}}
    found = intervals_of([scored, {"metrics": None}])
    assert found
    (entry, place), missing = found["entries"]
    assert entry == {"low": 0.7, "rate": 0.8, "high": 0.9}
    assert place["low"] < place["rate"] < place["high"]
    assert missing == (None, None)
    assert intervals_of([{"metrics": None}]) is None
