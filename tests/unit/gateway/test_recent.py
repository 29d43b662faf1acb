"""The newest events are served from memory only where nothing older can be missing."""

from gateway.entry import Entry, entry_of
from gateway.recent import Recent


def entry(position: int, scope: str = "e1", kind: str = "progress") -> Entry:
    return entry_of(position, scope, {"type": f"assay.evaluation.{kind}", "data": {}})


def recent(*entries: Entry, after: int = 0, max_events: int = 100, max_bytes: int = 100_000) -> Recent:
    made = Recent(max_bytes, max_events)
    made.begin(after)
    for one in entries:
        made.add(one)
    return made


def positions(entries: list[Entry] | None) -> list[int] | None:
    return None if entries is None else [one.position for one in entries]


def test_an_evaluation_gets_its_own_after_a_position() -> None:
    held = recent(entry(1), entry(2, "e2"), entry(3), entry(4, "e2"), entry(5))
    assert positions(held.log("e1", 0)) == [1, 3, 5]
    assert positions(held.log("e1", 1)) == [3, 5]
    assert positions(held.log("e2", 3)) == [4]
    assert positions(held.log("e1", 5)) == []
    assert positions(held.log("e3", 0)) == []
    assert positions(held.everything(2)) == [3, 4, 5]


def test_the_newest_are_the_last_ones_in_their_order() -> None:
    held = recent(entry(1), entry(2, "e2"), entry(3))
    assert positions(held.newest(2)) == [2, 3]
    assert positions(held.newest(9)) == [1, 2, 3]
    assert positions(recent().newest(2)) == []


def test_what_may_be_older_is_not_known_here() -> None:
    held = recent(entry(11), entry(12), after=10)
    assert positions(held.log("e1", 10)) == [11, 12]
    assert held.log("e1", 9) is None
    assert held.log("e2", 9) is None
    assert held.everything(9) is None
    assert positions(held.everything(10)) == [11, 12]


def test_a_log_whose_first_event_is_here_is_here_as_a_whole() -> None:
    held = recent(entry(11), entry(12, "e2", "queued"), entry(13, "e2"), after=10)
    assert positions(held.log("e2", 0)) == [12, 13]
    assert held.log("e1", 0) is None


def test_a_redriven_log_does_not_begin_with_its_new_round() -> None:
    held = recent(entry(11, kind="started"), after=10)
    assert held.log("e1", 0) is None


def test_the_oldest_are_forgotten_by_number_and_by_size() -> None:
    held = recent(entry(1, kind="queued"), entry(2), entry(3, "e2"), entry(4), max_events=2)
    assert positions(held.everything(2)) == [3, 4]
    assert held.everything(1) is None
    assert held.log("e1", 1) is None
    assert positions(held.log("e1", 2)) == [4]

    size = len(entry(1).text)
    held = recent(*(entry(position) for position in range(1, 10)), max_bytes=3 * size)
    assert positions(held.everything(6)) == [7, 8, 9]
    assert held.everything(5) is None


def test_an_event_larger_than_all_that_may_be_kept_leaves_nothing() -> None:
    held = recent(entry(1), entry(2), max_bytes=10)
    assert held.everything(1) is None
    assert positions(held.everything(2)) == []
    assert held.last("e1") is None


def test_the_last_of_an_evaluation() -> None:
    held = recent(entry(1), entry(2, "e2"), entry(3))
    last = held.last("e1")
    assert last
    assert last.position == 3
    assert held.last("e3") is None


def test_a_new_beginning_forgets_everything() -> None:
    held = recent(entry(1, kind="queued"))
    held.begin(5)
    assert held.log("e1", 0) is None
    held.add(entry(6))
    assert positions(held.log("e1", 5)) == [6]
