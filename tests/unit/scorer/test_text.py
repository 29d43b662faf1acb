"""exact_match, contains and token F1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.scorers import Score, check_target, score
from services.scorer.scorers.score import MAX_PREDICTION
from shared.scoring import ContainsScoring, ExactMatchScoring, F1Scoring, Scoring

EXACT = ExactMatchScoring(scorer="exact_match")
FOLDED = ExactMatchScoring(scorer="exact_match", ignore_case=True)
BARE = ExactMatchScoring(scorer="exact_match", ignore_case=True, ignore_punctuation=True)
CONTAINS = ContainsScoring(scorer="contains")
F1 = F1Scoring(scorer="f1")


@pytest.mark.parametrize(
    ("scoring", "answer", "target", "correct"),
    [
        (EXACT, "Paris", "Paris", True),
        (EXACT, "  Paris\n", "Paris", True),
        (EXACT, "paris", "Paris", False),
        (EXACT, "Paris.", "Paris", False),
        (EXACT, "New  York", "New York", False),
        (FOLDED, "PARIS", "paris", True),
        (FOLDED, "STRASSE", "straße", True),
        (BARE, "“New   York!”", "new york", True),
        (BARE, "It's", "its", True),
        (BARE, "हिंदी।", "हिंदी", True),
        (BARE, "हिंदी", "हद", False),
        (EXACT, "", "", False),
        (BARE, "???", "!!!", False),
    ],
)
def test_exact_match(scoring: Scoring, answer: str, target: str, correct: bool) -> None:
    assert score(answer, target, scoring, {}).correct is correct


def test_what_was_compared_is_what_is_said() -> None:
    assert score(" PARIS! ", "paris", BARE, {}) == Score("paris", "paris", True, {})
    assert score(" Rome ", "Paris", EXACT, {}) == Score("Rome", "Paris", False, {})


def test_a_long_wrong_prediction_is_cut_and_a_long_right_one_is_not() -> None:
    long = "x" * 100_000
    assert len(score(long, "y", EXACT, {}).prediction or "") == MAX_PREDICTION + 1
    assert score(long, long, EXACT, {}).prediction == long
    assert not score(long, "x" * MAX_PREDICTION, EXACT, {}).correct


@pytest.mark.parametrize(
    ("answer", "target", "ignore_case", "correct"),
    [
        ("It is in Paris, France.", "paris", True, True),
        ("It is in Paris, France.", "paris", False, False),
        ("It is in Rome.", "Paris", True, False),
        ("Paris", " Paris ", False, True),
        ("anything", " ", True, False),
    ],
)
def test_contains(answer: str, target: str, ignore_case: bool, correct: bool) -> None:
    result = score(answer, target, ContainsScoring(scorer="contains", ignore_case=ignore_case), {})
    assert result.correct is correct
    assert result.prediction == (result.target if correct else None)


@pytest.mark.parametrize(
    ("answer", "target", "value"),
    [
        ("Paris", "Paris", 1.0),
        ("The Paris!", "paris", 1.0),
        ("Denver Broncos", "the Denver Broncos", 1.0),
        ("in Paris", "Paris", 2 / 3),
        ("the cat sat on the mat", "a cat on a mat", 6 / 7),
        ("cat cat", "cat", 2 / 3),
        ("Rome", "Paris", 0.0),
        ("...", "Paris", 0.0),
    ],
)
def test_f1(answer: str, target: str, value: float) -> None:
    result = score(answer, target, F1, {})
    assert result.scores == {"f1": value}
    assert result.correct is (value == 1.0)


def test_f1_is_correct_from_its_threshold_on() -> None:
    assert score("in Paris", "Paris", F1Scoring(scorer="f1", threshold=2 / 3), {}).correct
    assert not score("in Paris", "Paris", F1Scoring(scorer="f1", threshold=0.67), {}).correct


def test_f1_shows_normalised_texts() -> None:
    assert score("The  Broncos.", "a broncos", F1, {}) == Score("broncos", "broncos", True, {"f1": 1.0})
    assert score("the", "paris", F1, {}).prediction is None


@given(st.text(), st.text())
def test_f1_is_a_symmetric_fraction(left: str, right: str) -> None:
    value = score(left, right, F1, {}).scores["f1"]
    assert 0 <= value <= 1
    assert value == score(right, left, F1, {}).scores["f1"]
    assert score(left, left, F1, {}).scores["f1"] == (check_target(left, F1, {}) is None)


@pytest.mark.parametrize(
    ("scoring", "target", "says"),
    [
        (EXACT, " ", "empty"),
        (BARE, "?!", "punctuation"),
        (CONTAINS, "", "empty"),
        (F1, "The", "articles"),
        (EXACT, "Paris", None),
        (BARE, "Paris!", None),
        (CONTAINS, "Paris", None),
        (F1, "the Paris", None),
    ],
)
def test_a_target_that_cannot_be_used_is_told(scoring: Scoring, target: str, says: str | None) -> None:
    message = check_target(target, scoring, {})
    assert (message is None) if says is None else (message is not None and says in message)


@pytest.mark.parametrize(
    ("options", "answer", "correct"),
    [
        ({"location": "begin"}, " paris, of course", True),
        ({"location": "begin"}, "It is Paris", False),
        ({"location": "end"}, "It is Paris\n", True),
        ({"location": "end"}, "It is Paris.", False),
        ({"location": "end", "ignore_punctuation": True}, "It is **Paris**.", True),
        ({"location": "end", "ignore_punctuation": True}, "Paris it is.", False),
        ({"location": "begin", "ignore_punctuation": True}, '"Paris"', True),
    ],
)
def test_where_the_target_stands(options: dict[str, object], answer: str, correct: bool) -> None:
    scoring = ContainsScoring.model_validate({"scorer": "contains", **options})
    assert score(answer, "Paris", scoring, {}).correct is correct


@pytest.mark.parametrize(
    "scoring",
    [
        ExactMatchScoring(scorer="exact_match", references="also"),
        ContainsScoring(scorer="contains", references="also"),
        F1Scoring(scorer="f1", references="also"),
    ],
)
def test_any_reference_counts(scoring: Scoring) -> None:
    hints = {"also": ["NYC", "Big Apple"]}
    found = score("NYC", "New York", scoring, hints)
    assert (found.target.casefold(), found.correct) == ("nyc", True)
    assert score("New York", "New York", scoring, hints).correct
    assert score("New York", "New York", scoring, {"also": []}).correct
    assert not score("Boston", "New York", scoring, hints).correct
    assert check_target("New York", scoring, hints) is None
    assert check_target("?", scoring, {"also": ["!"]}) == check_target("?", scoring, {"also": []})
