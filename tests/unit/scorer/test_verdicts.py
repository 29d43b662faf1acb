"""What is taken from a judge's answer."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.verdicts import Unread, agreed, read
from shared.contracts import Verdict
from shared.scoring import JudgePairwise, JudgeScoring

SCALE = JudgeScoring(scorer="judge", rubric="r")
PAIR = JudgeScoring(scorer="judge", rubric="r", pairwise=JudgePairwise(against="other"))


@pytest.mark.parametrize(
    ("output", "score"),
    [
        ("Clear and right. Verdict: 7", 0.7),
        ("**Verdict:** 7.5", 0.75),
        ("VERDICT: [[10]]", 1.0),
        ("verdict: **0**.", 0.0),
        ("Verdict: 8/10", 0.8),
        ("First I thought 'Verdict: 2'.\n\nVerdict: 9", 0.9),
    ],
)
def test_a_number_is_scaled_to_a_rate(output: str, score: float) -> None:
    assert read(output, SCALE, swapped=False) == pytest.approx(score)


def test_the_scale_and_the_pattern_are_the_rubrics() -> None:
    stars = JudgeScoring(scorer="judge", rubric="r", scale=(1, 5), pattern=r"(\d) stars?")
    assert read("I give it 4 stars", stars, swapped=False) == 0.75


@pytest.mark.parametrize(
    ("output", "scoring", "why"),
    [
        ("", SCALE, "the judge gave an empty answer"),
        (" \n", SCALE, "the judge gave an empty answer"),
        ("Nice answer!", SCALE, "the judge's answer has no verdict that scoring.pattern finds"),
        ("Verdict: 11", SCALE, "the judge's verdict is '11', which is not in the scale from 0 to 10"),
        ("Verdict: -1", SCALE, "the judge's verdict is '-1', which is not in the scale from 0 to 10"),
        ("Verdict: A", SCALE, "the judge's verdict is 'A', which is not a number"),
        ("Verdict: 7", PAIR, "the judge's verdict is '7', which is not A, B or tie"),
        ("Verdict: Assistant B", PAIR, "the judge's answer has no verdict that scoring.pattern finds"),
    ],
)
def test_what_is_no_verdict_is_said(output: str, scoring: JudgeScoring, why: str) -> None:
    with pytest.raises(Unread) as caught:
        read(output, scoring, swapped=False)
    assert str(caught.value) == why


def test_numbers_that_are_none_are_no_verdict() -> None:
    anything = JudgeScoring(scorer="judge", rubric="r", pattern=r"(\S+)$")
    for output in ("nan", "inf", "1e999", "x" * 10_000):
        with pytest.raises(Unread) as caught:
            read(output, anything, swapped=False)
        assert len(str(caught.value)) < 250


def test_a_pattern_that_backtracks_without_end_is_given_up() -> None:
    scoring = JudgeScoring(scorer="judge", rubric="r", pattern=r"(?:a|aa|aaa)+(x)$")
    with pytest.raises(Unread, match="took too long"):
        read("a" * 50_000, scoring, swapped=False)


@pytest.mark.parametrize(
    ("output", "first", "second"),
    [("Verdict: A", 1.0, 0.0), ("verdict: [[B]]", 0.0, 1.0), ("Verdict: Tie", 0.5, 0.5)],
)
def test_a_side_is_that_of_the_answer(output: str, first: float, second: float) -> None:
    assert read(output, PAIR, swapped=False) == first
    assert read(output, PAIR, swapped=True) == second


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [(1, 1, 1), (0, 0, 0), (1, 0, 0.5), (0, 1, 0.5), (1, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0.5)],
)
def test_a_win_is_one_in_both_orders(first: float, second: float, score: float) -> None:
    assert agreed([Verdict(score=first), Verdict(score=second)]) == score


def test_one_verdict_stands_for_itself() -> None:
    assert agreed([Verdict(score=0.7)]) == 0.7


@given(st.text(max_size=300), st.sampled_from([SCALE, PAIR]), st.booleans())
def test_any_text_gives_a_rate_or_a_reason(output: str, scoring: JudgeScoring, swapped: bool) -> None:
    score: float | None = None
    with contextlib.suppress(Unread):
        score = read(f"Verdict: {output}", scoring, swapped=swapped)
    assert score is None or 0 <= score <= 1
