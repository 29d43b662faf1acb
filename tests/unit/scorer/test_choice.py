"""Letters out of the wordings that models use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.scorers import Score, check_target, score
from services.scorer.scorers.choice import letter
from shared.scoring import ChoiceScoring

CHOICE = ChoiceScoring(scorer="choice")
CITIES = ["London", "Paris", "Rome", "Berlin"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        # The whole answer
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("b)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("[B]", "B"),
        ("`B`", "B"),
        ("  B\n", "B"),
        ("Paris", "B"),
        ("paris.", "B"),
        ("**Paris**", "B"),
        ('"Paris"', "B"),
        # With the choice's text
        ("B. Paris", "B"),
        ("(B) Paris", "B"),
        ("B) Paris", "B"),
        ("B: Paris", "B"),
        ("**B. Paris**", "B"),
        ("B. Paris\n\nExplanation: London is in the UK, a nation.", "B"),
        # Explicit statements
        ("Answer: B", "B"),
        ("answer: b", "B"),
        ("Answer：B", "B"),
        ("**Answer:** B", "B"),
        ("**Answer: C. Rome**", "C"),
        ("Answer (B)", "B"),
        ("Answer\n\nB", "B"),
        ("Final answer: d", "D"),
        ("The answer is **B**.", "B"),
        ("The answer is $B$", "B"),
        ("The answer is option D", "D"),
        ("The answer is: \n\n(C) Rome", "C"),
        ("The correct answer to the question is B", "B"),
        ("The correct option is (C) Paris", "C"),
        ("Therefore, the correct choice is **(B) Paris**.", "B"),
        ("The best answer is therefore C.", "C"),
        ("So the answer would be B: Paris.", "B"),
        ("The answer is A because London is large", "A"),
        ("The answer is Paris.", "B"),
        ("The answer is Paris, since it is in France", "B"),
        ("I would go with (b)", "B"),
        ("I'd choose D.", "D"),
        ("My answer is B, not A.", "B"),
        ("#### B", "B"),
        ("Option C is the best choice.", "C"),
        ("C) Rome is correct", "C"),
        ("(B) is the correct answer since Paris is in France", "B"),
        # The last statement wins, and what only mentions a letter is none
        ("A is wrong because it is in the UK, so the answer is C", "C"),
        ("At first I thought the answer is A. But no: the answer is C.", "C"),
        ("B is incorrect. The correct answer is D.", "D"),
        ("The answer is C. Option A is wrong because it is in the UK.", "C"),
        ("The answer is B (Paris), because it is London's rival.", "B"),
        ("The answer isn't A. It is B.", "B"),
        # Boxes
        (r"\boxed{B}", "B"),
        (r"The answer is $\boxed{\text{B}}$.", "B"),
        (r"\boxed{\textbf{(C)}}", "C"),
        (r"\boxed{Paris}", "B"),
        (r"\boxed{A} no wait \boxed{B}", "B"),
        # Last lines and marked letters
        ("Let me think.\n\nB", "B"),
        ("London? No.\n\n**D**", "D"),
        ("First I compare them.\nIt's B.", "B"),
        ("It's Paris.", "B"),
        ("I think it's (B).", "B"),
        ("The one in France, **B**, fits.", "B"),
        ("<think>London?</think>\nB", "B"),
        # An article or a pronoun is no answer
        ("A good question! Let me think.", None),
        ("A good question. The answer is B", "B"),
        ("The answer is A good one", None),
        ("the answer is a city", None),
        ("It is A lovely day", None),
        ("Answer: A good guess would be hard", None),
        ("I", None),
        # Hedges, negations and lists name none
        ("The answer is A or B.", None),
        ("A or B", None),
        ("The answer is not B.", None),
        ("(A) or (B)", None),
        ("A. London - wrong\nB. Paris - right\nC. Rome - wrong", None),
        # Nothing to take
        ("", None),
        ("E", None),
        ("The answer is E", None),
        ("Answer: none of them", None),
        (r"\boxed{}", None),
        ("None of these cities", None),
    ],
)
def test_reads_the_letter(answer: str, wanted: str | None) -> None:
    assert letter(answer, CITIES) == wanted


def test_the_longest_choice_that_fits_is_meant() -> None:
    choices = ["Paris", "Paris, Texas", "A good guess", "Rome"]
    assert letter("The answer is Paris, Texas.", choices) == "B"
    assert letter("The answer is Paris.", choices) == "A"
    assert letter("The answer is A good guess.", choices) == "C"
    assert letter("The answer is Parisian style.", choices) is None


def test_a_long_answer_is_read_from_both_ends() -> None:
    filler = "London and Rome are cities. " * 2000
    assert letter(f"The answer is B.\n{filler}", CITIES) == "B"
    assert letter(f"{filler}\nThe answer is C.", CITIES) == "C"


@pytest.mark.parametrize(
    ("target", "choices", "wanted"),
    [
        ("B", CITIES, "B"),
        ("b", CITIES, "B"),
        ("(B)", CITIES, "B"),
        ("Paris", CITIES, "B"),
        (" paris ", CITIES, "B"),
        ("0", CITIES, "A"),
        ("3", CITIES, "D"),
        ("2", ["1", "2", "3", "4"], "B"),
        ("0", ["1", "2", "3", "4"], "A"),
        ("B", ["B", "A"], "A"),
        ("iv", ["IV", "V"], "A"),
        ("IV", ["iv", "IV"], "B"),
    ],
)
def test_a_target_is_a_text_a_letter_or_an_index(target: str, choices: list[str], wanted: str) -> None:
    assert check_target(target, CHOICE, {"choices": choices}) is None
    result = score(wanted, target, CHOICE, {"choices": choices})
    assert result.target == wanted


def test_prediction_and_target_are_letters() -> None:
    assert score("It's Rome.", "1", CHOICE, {"choices": CITIES}) == Score("C", "B", False, {})
    assert score("(b)", "Paris", CHOICE, {"choices": CITIES}) == Score("B", "B", True, {})


@pytest.mark.parametrize(
    ("target", "hints", "says"),
    [
        ("B", {}, "no column 'choices'"),
        ("B", {"choices": None}, "no column 'choices'"),
        ("B", {"choices": "London, Paris"}, "must be a list"),
        ("B", {"choices": []}, "must be a list"),
        ("B", {"choices": ["London", 2]}, "must be a list"),
        ("B", {"choices": ["London", " "]}, "must be a list"),
        ("B", {"choices": ["x"] * 27}, "1 to 26"),
        ("E", {"choices": CITIES}, "letter from A to D, or an index from 0 to 3"),
        ("4", {"choices": CITIES}, "not among"),
        ("-1", {"choices": CITIES}, "not among"),
        ("²", {"choices": CITIES}, "not among"),
        ("", {"choices": CITIES}, "not among"),
        ("Madrid", {"choices": CITIES}, "not among"),
        ("London", {"choices": ["London", "London"]}, "more than one"),
        ("LONDON", {"choices": ["London", "london"]}, "more than one"),
    ],
)
def test_a_target_that_cannot_be_used_is_told_and_never_matched(target: str, hints: dict[str, Any], says: str) -> None:
    assert says in (check_target(target, CHOICE, hints) or "")
    assert not score("B", target, CHOICE, hints).correct
    assert not score("London", target, CHOICE, hints).correct


def test_the_column_of_the_choices_is_the_manifests() -> None:
    scoring = ChoiceScoring(scorer="choice", choices="options")
    assert scoring.item_columns == ("options",)
    assert score("B", "B", scoring, {"options": CITIES}).correct
    assert "'options'" in (check_target("B", scoring, {"choices": CITIES}) or "")


WORDINGS = [
    "{}",
    "({})",
    "{}.",
    "Answer: {}",
    "The answer is {}.",
    "The correct option is ({})",
    "\\boxed{{{}}}",
    "It's {}.",
    "#### {}",
]


@given(st.integers(0, 7), st.sampled_from(WORDINGS), st.booleans())
def test_a_choice_survives_every_wording(at: int, wording: str, by_text: bool) -> None:
    choices = ["red", "dark red", "green", "light green", "blue", "navy blue", "grey", "off-white"]
    said = wording.format(choices[at] if by_text and "(" not in wording else "ABCDEFGH"[at])
    assert letter(said, choices) == "ABCDEFGH"[at]
