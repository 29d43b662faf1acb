"""What the sample models know, and how well each one does."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from assay.sample_model import WRONG_BY, SampleModel, draw
from assay.sample_solver import Solved, Solver
from assay.sample_word_problems import solve

SHOPPING = "Ada buys 3 pens at $2 each and 1,200 mugs at $4.50 each. How many dollars does Ada spend?"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (SHOPPING, Decimal(5406)),
        ("It is night. In the morning it is -3 degrees in Ashford. By noon it gets 1 degrees warmer, and by night 11 degrees colder again. "
         "What is the temperature at night?", Decimal(-13)),
        ("There are 80 goats on a farm, and 3/8 of them are brown. How many goats are not brown?", Decimal(50)),
    ],
)  # fmt: skip
def test_solves_from_the_text(text: str, number: Decimal) -> None:
    assert solve(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the capital of France?",
        SHOPPING.replace(" each. How", " each. A coupon takes $5 off. How"),
        "Ada and Ben share $10 in the ratio 0:0. How many dollars more does Ada get than Ben?",
    ],
)
def test_has_no_answer_to_what_it_does_not_know_as_a_whole(text: str) -> None:
    assert solve(text) is None


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"question": "How many  legs\\nhave 2 cats?", "answer": "2 * 4 = 8\\n#### 8"}\n'
        "\n"
        '{"question": "What is a grand?", "answer": "#### $1,000.50"}\n'
    )
    return path


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("What is a grand?", "1000.50"),
        ("Answer with a number.\n\nQuestion: What is a grand?\nAnswer:", "1000.50"),
        ("How many legs\nhave 2 cats?", "8"),
        ("Solve this:\n\nHow many legs\nhave 2 cats?\n\nThink first.", "8"),
        ("Q: How many legs have 2 cats?\nA: 8\nQ: What is a grand?\nA:", "1000.50"),
        (f"Solve this.\n\n{SHOPPING}", "5406"),
    ],
)
def test_finds_the_question_in_a_prompt(gold: Path, prompt: str, number: str) -> None:
    solved = Solver([gold]).look_up(prompt)
    assert isinstance(solved, Solved)
    assert solved.number == Decimal(number)


def test_gold_comes_before_solving(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(f'{{"question": "{SHOPPING}", "answer": "#### 7"}}\n')
    assert Solver([path]).look_up(SHOPPING) == Solved(SHOPPING, Decimal(7))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: is not JSON"),
        ("[]", "line 2: must be an object with the texts question and answer"),
        ('{"question": "x"}', "line 2: must be an object with the texts question and answer"),
        ('{"question": "x", "answer": "many"}', "line 2: answer must end in a line `#### <number>`"),
    ],
)
def test_a_bad_gold_file_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(f'{{"question": "x", "answer": "#### 1"}}\n{line}\n')
    with pytest.raises(ValueError, match=re.escape(f"{path}, {message}")):
        Solver([path])


@pytest.mark.parametrize(
    ("text", "name", "skill"),
    [
        ("sample-90", "sample-90", 0.9),
        ("sample-100", "sample-100", 1),
        ("m0.26", "m0.26", 1),
        ("gpt-4=0.5", "gpt-4", 0.5),
        ("a=b=0", "a=b", 0),
    ],
)
def test_skill_of_a_name(text: str, name: str, skill: float) -> None:
    assert SampleModel.parse(text) == SampleModel(name, skill)


@pytest.mark.parametrize("text", ["", "=0.5", "a=", "a=good", "a=1.1", "a=-1", "a=nan"])
def test_a_bad_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be NAME or NAME=SKILL"):
        SampleModel.parse(text)


def test_draws_are_the_same_in_every_process() -> None:
    assert draw("skill", "sample-90", "x") == pytest.approx(0.24165603379055878, abs=1e-15)


def test_models_answer_as_well_as_their_skill_and_say_a_number_last() -> None:
    questions = [Solved(f"question {index}", Decimal(index * 1000)) for index in range(2000)]
    for model in (SampleModel("a", 0.9), SampleModel("b", 0.6), SampleModel("c", 1), SampleModel("d", 0)):
        right = 0
        wordings = set()
        for solved in questions:
            answer = model.answer(solved)
            assert model.answer(solved) == answer
            said = re.findall(r"-?\d[\d,]*", answer.text)[-1]
            off = Decimal(said.replace(",", "")) - solved.number
            assert (off == 0) == (answer.verdict == "right") == model.answers_right(solved.question)
            assert off in (0, *WRONG_BY)
            right += off == 0
            wordings.add(answer.text.partition(said)[0])
        assert right / len(questions) == pytest.approx(model.skill, abs=0.03)
        assert len(wordings) >= 5


def test_what_one_model_gets_wrong_another_may_get_right() -> None:
    one, other = SampleModel("one", 0.5), SampleModel("two", 0.5)
    both = sum(one.answers_right(str(index)) and other.answers_right(str(index)) for index in range(2000))
    assert both / 2000 == pytest.approx(0.25, abs=0.04)


def test_a_model_says_that_it_does_not_know() -> None:
    assert SampleModel("a", 1).answer(None) == ("I don't know.", "unknown")
