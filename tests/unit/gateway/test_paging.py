"""Cursors go round, and what is none is told from one."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.paging import cut, decode, encode, older_than
from shared.errors import BadRequest

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@given(number=st.integers(-(2**63), 2**63 - 1), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_gives_back_its_key(number: int, text: str) -> None:
    assert decode(encode(number, text), int, str) == (number, text)


def test_a_time_keeps_its_milliseconds() -> None:
    assert decode(encode(WHEN, "m1"), datetime, str) == (WHEN, "m1")


@given(st.text())
def test_any_other_text_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        decode(text, int, str, int)


def _json(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "!!", "é", encode("1"), encode(1, 2), _json("[true]"), _json("[1.5]"), _json("{}"), _json("[1e400]"),
     _json(f"[{2**63}]"), _json("[" * 5000)],
)  # fmt: skip
def test_a_key_of_another_list(cursor: str) -> None:
    with pytest.raises(BadRequest):
        decode(cursor, int)


def test_values_that_cannot_be_asked_for() -> None:
    with pytest.raises(BadRequest):
        decode(_json('["\\ud800"]'), str)
    with pytest.raises(BadRequest):
        decode(_json(f"[{2**62}]"), datetime)


def test_one_row_too_many_says_that_there_is_a_next_page() -> None:
    assert cut([1, 2, 3], 2, str) == ([1, 2], "2")
    assert cut([1, 2], 2, str) == ([1, 2], None)
    assert cut([], 2, str) == ([], None)


def test_what_comes_after_a_row_newest_first() -> None:
    assert older_than(None) == {}
    assert older_than(encode(WHEN, "m1")) == {
        "$or": [{"created_at": {"$lt": WHEN}}, {"created_at": WHEN, "_id": {"$lt": "m1"}}]
    }
