"""What a model may write: any text at all, and a megabyte of the worst."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.scorers import check_target, main_metric, score
from shared.scoring import (
    ChoiceScoring,
    ContainsScoring,
    ExactMatchScoring,
    F1Scoring,
    NumericScoring,
    RegexScoring,
    Scoring,
)

ALL: list[Scoring] = [
    NumericScoring(scorer="numeric"),
    NumericScoring(scorer="numeric", tolerance=0.5),
    ExactMatchScoring(scorer="exact_match", ignore_case=True, ignore_punctuation=True),
    ContainsScoring(scorer="contains"),
    ChoiceScoring(scorer="choice"),
    RegexScoring(scorer="regex", pattern=r"answer is (\S+)"),
    RegexScoring(scorer="regex"),
    F1Scoring(scorer="f1"),
]
HINTS: dict[str, Any] = {"choices": ["Paris", "Rome", "2", "A"]}

PIECES = [
    "9",
    ",",
    ".",
    " ",
    "\u202f",
    "1,",
    "1/",
    "1 1/",
    "-",
    "$-",
    "1e9",
    "½",
    "####",
    "#### ",
    "#### answer",
    "\\boxed{",
    "{",
]
PIECES += [
    "\\frac{1}",
    "\\frac{1}{",
    "A ",
    "A is the ",
    "(A) ",
    "A\n",
    "A. ",
    "**A** ",
    "answer ",
    "answer is ",
    "answer to ",
    "it is ",
]
PIECES += ["*", "\n", "é", "\u0301", "x^", "2x", "A x x x x x", "is correct", "\x00", "I'd go with ", "x × 10^"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_one_thing_is_scored(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    for scoring in ALL:
        result = score(text, "2", scoring, HINTS)
        assert isinstance(result.correct, bool)


LIKELY = st.lists(st.sampled_from([*PIECES, "1", "B", "Paris", " is ", "}", "or", "the"]), max_size=30).map("".join)


@given(st.one_of(st.text(), LIKELY), st.one_of(st.text(), LIKELY), st.sampled_from(ALL))
def test_no_text_makes_it_raise(output: str, target: str, scoring: Scoring) -> None:
    result = score(output, target, scoring, HINTS)
    assert result.prediction != ""
    assert all(0 <= value <= 1 for value in result.scores.values())
    if check_target(target, scoring, HINTS) is not None:
        assert not result.correct


@given(LIKELY, st.sampled_from(["18", "B", "Paris"]), st.sampled_from(ALL))
def test_the_same_answer_gets_the_same_score(output: str, target: str, scoring: Scoring) -> None:
    assert score(output, target, scoring, HINTS) == score(output, target, scoring, HINTS)


def test_only_f1_has_a_main_metric_of_its_own_and_only_choice_needs_hints() -> None:
    assert {main_metric(scoring) for scoring in ALL} == {"accuracy", "f1"}
    assert [scoring.scorer for scoring in ALL if main_metric(scoring) == "f1"] == ["f1"]
    assert [scoring.scorer for scoring in ALL if scoring.item_columns] == ["choice"]
