"""Differences by words: complete on both sides, and bounded."""

import time

from hypothesis import given
from hypothesis import strategies as st

from gateway.difference import MOST_WORDS, difference

TEXTS = st.text(alphabet="ab \n\t\u00e4\u202e", max_size=60)


def kinds(first: str, second: str) -> list[tuple[str, str]]:
    return [(part.kind, part.text) for part in difference(first, second)]


def test_words_that_changed_are_told_from_those_that_stayed() -> None:
    assert kinds("the cat sat on it", "the dog sat on it now") == [
        ("same", "the"),
        ("removed", " cat"),
        ("added", " dog"),
        ("same", " sat on it"),
        ("added", " now"),
    ]


@given(TEXTS, TEXTS)
def test_each_side_can_be_put_together_again(first: str, second: str) -> None:
    parts = difference(first, second)
    assert "".join(part.text for part in parts if part.kind != "added") == first
    assert "".join(part.text for part in parts if part.kind != "removed") == second


@given(TEXTS)
def test_equal_texts_have_no_difference(text: str) -> None:
    assert {part.kind for part in difference(text, text)} <= {"same"}


def test_long_texts_that_share_nothing_are_not_compared_word_by_word() -> None:
    first, second = ("a b " * MOST_WORDS), ("c d " * MOST_WORDS)
    assert [kind for kind, _ in kinds(f"begin {first}", f"begin {second}")] == ["same", "removed", "added", "same"]


def test_a_text_made_to_be_slow_is_compared_soon() -> None:
    hostile = " ".join("ab"[n % 2] for n in range(MOST_WORDS))
    other = " ".join("ab"[(n // 2) % 2] for n in range(MOST_WORDS))
    start = time.process_time()
    difference(hostile, other)
    difference("w " * 500_000, "w " * 500_000 + "x")
    assert time.process_time() - start < 2
