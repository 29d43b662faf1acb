"""Patterns of right answers, and how items are looked through."""

import pytest

from gateway.differences import LONGEST_SPAN, Counts, differing, everyone, is_right, only, patterns, spans


def test_two_differ_where_one_alone_is_right() -> None:
    assert differing(2) == [only(0), only(1)]


def test_three_differ_in_all_ways_but_all_right_and_none_right() -> None:
    found = differing(3)
    assert set(found) == {1, 2, 3, 4, 5, 6}
    assert [place for place in range(3) if is_right(6, place)] == [1, 2]
    assert not {0, everyone(3)} & set(found)


def test_counts_add_up() -> None:
    counts = Counts(2, {0b11: 300, 0b01: 50, 0b10: 10, 0b00: 30}, 400)
    assert (counts.compared, counts.all_right, counts.none_right, counts.differ) == (390, 300, 30, 60)
    assert (counts.only(0), counts.only(1)) == (50, 10)


def test_counts_of_three_know_who_alone_is_right() -> None:
    counts = Counts(3, {0b111: 1, 0b011: 2, 0b100: 4}, 9)
    assert (counts.differ, counts.none_right) == (6, 0)
    assert [counts.only(place) for place in range(3)] == [0, 0, 4]


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 5), (7, 3), (0, 1), (0, 999), (0, 1001), (17, 1_000_000)])
def test_spans_cover_every_index_once_and_stay_bounded(start: int, end: int) -> None:
    found = list(spans(start, end))
    assert [index for first, last in found for index in (first, last)][1:-1:2] == [first for first, _ in found[1:]]
    assert sum(last - first for first, last in found) == max(0, end - start)
    assert all(0 < last - first <= LONGEST_SPAN for first, last in found)
    assert not found or (found[0][0], found[-1][1]) == (start, end)


def test_of_several_versions_only_the_same_items_are_compared() -> None:
    one_version = patterns(["a", "b"], 0, 10, same_items=True)
    several = patterns(["a", "b"], 0, 10, same_items=False)
    assert one_version[1]["$group"]["_id"] == "$index"
    assert several[1]["$group"]["_id"] == {"index": "$index", "item": "$item_id", "target": "$target"}
