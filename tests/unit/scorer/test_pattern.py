"""The regex scorer."""

import pytest

from services.scorer.scorers import Score, check_target, score
from shared.scoring import RegexScoring


def scoring(pattern: str | None, which: str = "last", ignore_case: bool = False) -> RegexScoring:
    return RegexScoring.model_validate(
        {"scorer": "regex", "pattern": pattern, "which": which, "ignore_case": ignore_case}
    )


@pytest.mark.parametrize(
    ("how", "answer", "target", "prediction", "correct"),
    [
        (scoring(r"\d+"), "1 then 22", "22", "22", True),
        (scoring(r"\d+", which="first"), "1 then 22", "22", "1", False),
        (scoring(r"answer is (\w+)"), "The answer is Paris.", " Paris\n", "Paris", True),
        (scoring(r"is (\d+)|#### (\d+)"), "#### 18", "18", "18", True),
        (scoring(r"is (\w+)"), "IS Paris", "paris", None, False),
        (scoring(r"is (\w+)", ignore_case=True), "IS Paris", "PARIS", "paris", True),
        (scoring(r"is( *)"), "is  ", "x", None, False),
        (scoring(r"\d+"), "none", "22", None, False),
        (scoring(None), "It is Paris!", r"\bpar(is|ee)\b", None, False),
        (scoring(None, ignore_case=True), "It is Paris!", r"\bpar(is|ee)\b", "Paris", True),
    ],
)
def test_regex(how: RegexScoring, answer: str, target: str, prediction: str | None, correct: bool) -> None:
    result = score(answer, target, how, {})
    assert (result.prediction, result.correct) == (prediction, correct)


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_pattern_without_end_has_found_nothing(which: str) -> None:
    assert score("x" * 2000, "x", scoring(r"(x+x+)+y", which), {}) == Score(None, "x", False, {})


def test_matches_without_end_have_found_nothing() -> None:
    assert score("x" * 10_000_000, "x", scoring(r""), {}) == Score(None, "x", False, {})


@pytest.mark.parametrize("pattern", ["(", "[", "a{99999999999}", "(" * 4000 + ")" * 4000, "(?P<n"])
def test_an_invalid_pattern_is_told_and_never_matched(pattern: str) -> None:
    assert "scoring.pattern is not a valid regular expression" in (check_target("x", scoring(pattern), {}) or "")
    assert "the target is not a valid regular expression" in (check_target(pattern, scoring(None), {}) or "")
    assert score("x", "x", scoring(pattern), {}).prediction is None
    assert not score("x", pattern, scoring(None), {}).correct


def test_an_empty_target_is_told() -> None:
    assert "empty" in (check_target(" ", scoring(r"\d"), {}) or "")
    assert check_target("18", scoring(r"\d+"), {}) is None
    assert check_target(r"^\d+$", scoring(None), {}) is None


NUMBER = RegexScoring(scorer="regex", pattern=r"#### (\S+)", ignore=[",", r"\$", r"(?s).*#### "], references="also")


@pytest.mark.parametrize(
    ("answer", "target", "also", "compared", "correct"),
    [
        ("So\n#### $1,250", "Five times\n250 is\n#### 1250", [], ("1250", "1250"), True),
        ("#### 1,251", "#### 1250", [], ("1251", "1250"), False),
        ("#### 7", "#### 8", ["9", "$7"], ("7", "7"), True),
        ("#### $", "#### 8", [], (None, "8"), False),
        ("7", "#### 7", [], (None, "7"), False),
    ],
)
def test_what_is_ignored_is_left_out_of_both(
    answer: str, target: str, also: list[str], compared: tuple[str | None, str], correct: bool
) -> None:
    result = score(answer, target, NUMBER, {"also": also})
    assert ((result.prediction, result.target), result.correct) == (compared, correct)


def test_punctuation_is_left_out_of_both() -> None:
    how = RegexScoring(scorer="regex", pattern=r"is (.*)", ignore_punctuation=True, ignore_case=True)
    assert score("It is “New York”.", "New York!", how, {}) == Score("new york", "new york", True, {})


@pytest.mark.parametrize(
    ("ignore", "target", "message"),
    [
        ("(", "x", "scoring.ignore[0] is not a valid regular expression"),
        (".*", "x", "leave nothing of the target"),
        ("(x+x+)+y", "x" * 2000, "scoring.ignore takes more than 0.2 s on the target"),
    ],
)
def test_what_cannot_be_ignored_is_told(ignore: str, target: str, message: str) -> None:
    how = RegexScoring(scorer="regex", pattern=r"\d", ignore=[ignore])
    assert message in (check_target(target, how, {}) or "")
    assert not score("x" * 2000, target, how, {}).correct
