"""What messages say beside their body: positions in ids, rounds in KV `cancelled`, reasons in headers."""

import math

import pytest

from shared import subjects
from shared.contracts import Position, dropped_up_to, given_up, position_in
from shared.parking import REASON_LIMIT, one_line


def test_a_position_in_an_id() -> None:
    assert position_in("e4b9:17:1:2:3") == Position(17, 1, 2)
    assert position_in("e4b9:17:1:2:3:parked:9") == Position(17, 1, 2)


@pytest.mark.parametrize("other", [None, "", "a:b:c", "e:1:2", "unknown:parked:7:x:y", "e:1::2:3"])
def test_no_position_in_any_other_id(other: str | None) -> None:
    assert position_in(other) is None


def test_what_was_given_up_lets_the_next_round_pass() -> None:
    assert dropped_up_to(given_up(0)) == 0
    assert dropped_up_to(given_up(12)) == 12
    assert dropped_up_to(b"cancelled") == math.inf
    assert dropped_up_to(b"failed") == math.inf


def test_a_reason_is_safe_in_a_header() -> None:
    assert one_line("a\r\nb:\tc \x00é") == "a b: c \\xe9"
    assert len(one_line("x" * 10_000)) == REASON_LIMIT


def test_the_evaluation_that_a_subject_names() -> None:
    assert subjects.evaluation_in(subjects.job("m1", "e1")) == "e1"
    assert subjects.evaluation_in(subjects.prediction("e1")) == "e1"
    assert subjects.evaluation_in(subjects.lifecycle("e1", "landed")) == "e1"
    assert subjects.evaluation_in("events.e1.x") is None
