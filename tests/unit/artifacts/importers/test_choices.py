"""Targets of multiple-choice items, which the scorer must read as the choice that is meant and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.artifacts.importers.choices import are_letters, choice_texts, lettered, target_of
from services.scorer.scorers import check_target, score
from shared.scoring import ChoiceScoring

SCORING = ChoiceScoring(scorer="choice")
TEXTS = st.sampled_from(["A", "b", "B ", "C", "0", "1", "2", "x", "y", "Paris"])


@given(st.lists(TEXTS, min_size=2, max_size=6), st.data())
def test_a_target_means_its_choice(choices: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(choices) - 1))
    hints = {"choices": choices}
    try:
        target = target_of(index, choices)
    except ValueError:
        # Then neither the letter nor the text can mean it.
        folded = [choice.strip().casefold() for choice in choices]
        assert "abcdef"[index] in folded
        assert folded.count(folded[index]) > 1
        return
    assert check_target(target, SCORING, hints) is None
    assert score(f"The answer is ({'ABCDEF'[index]}).", target, SCORING, hints).correct


def test_letters_are_told_from_texts() -> None:
    assert are_letters(["A", "B"])
    assert are_letters(["(A)", "(B)", "(C)"])
    assert not are_letters(["B", "A"])
    assert lettered(["x", "y"]) == "A. x\nB. y"


@pytest.mark.parametrize("value", [None, "x", ["x"], ["x", ""], ["x", ["y"]], ["x"] * 27])
def test_what_is_no_list_of_choices(value: object) -> None:
    with pytest.raises(ValueError, match=r"holds|must hold"):
        choice_texts(value)


def test_an_index_beyond_the_choices() -> None:
    with pytest.raises(ValueError, match="the choices are 0 to 1"):
        target_of(2, ["x", "y"])
