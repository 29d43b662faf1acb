"""The multiple-choice environment that ships: its files, its answers, and that the sample models solve it from the text alone."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assay.sample_choices import KINDS_OF_THINGS, Chosen, solve_choice
from assay.sample_model import SampleModel
from assay.sample_solver import Solver
from services.scorer.scorers import score
from shared.scoring import ChoiceScoring

BUNDLE = Path(__file__).parents[3] / "environments" / "four-choices"
SCORING = ChoiceScoring(scorer="choice")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("four_choices_generate", BUNDLE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    files = [BUNDLE / "dev.jsonl", BUNDLE / "test.jsonl"]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def prompt(row: dict[str, Any]) -> str:
    choices = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", row["choices"], strict=True))
    return f"{row['question']}\n\n{choices}\n"


def test_the_committed_files_are_what_the_generator_makes(generator: ModuleType) -> None:
    for name, data in generator.files().items():
        assert (BUNDLE / name).read_bytes() == data, f"{name}: run environments/four-choices/generate.py"
    assert {kind: frozenset(things) for kind, things in generator.THINGS.items()} == KINDS_OF_THINGS


def test_sizes_places_and_no_duplicates(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len({row["id"] for row in rows}) == len({prompt(row) for row in rows}) == 300
    assert all(len(set(row["choices"])) == 4 for row in rows)
    assert set(Counter(row["kind"] for row in rows).values()) == {50}
    for kind in {row["kind"] for row in rows}:
        places = Counter(row["answer"] for row in rows if row["kind"] == kind)
        assert set(places.values()) <= {12, 13}


def test_the_solver_solves_all_of_them_and_the_scorer_agrees(rows: list[dict[str, Any]]) -> None:
    solver, model = Solver(), SampleModel("always", 1)
    for row in rows:
        solved = solver.look_up(prompt(row))
        assert isinstance(solved, Chosen), row["id"]
        assert (solved.letter, solved.letters) == (row["answer"], "ABCD"), row["id"]
        said = model.answer(solved)
        assert score(said.text, row["answer"], SCORING, {"choices": row["choices"]}).correct, said


def test_models_are_right_as_often_as_their_skill_says(rows: list[dict[str, Any]]) -> None:
    solver = Solver()
    for skill in (0.8, 0.3):
        model = SampleModel(f"m{skill}", skill)
        right = 0
        for row in rows:
            said = model.answer(solver.look_up(prompt(row)))
            correct = score(said.text, row["answer"], SCORING, {"choices": row["choices"]}).correct
            assert correct == (said.verdict == "right"), said
            right += correct
        assert right / len(rows) == pytest.approx(skill, abs=0.08)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A. one\nB. two",
        "Which number comes next: 1, 2, 3, 4?",
        "Which number comes next: 1, 2, 3, 4?\nA. 6\nB. 7",
        "Which number comes next: 1, 2, 3, 4?\nA. 5\nB. 5",
        "Which number comes next: 1, 2, 4, 9?\nA. 5\nB. 6",
        "Which of these is not a planet?\nA. Mars\nB. apple",
        "Ada is older than Ben. Carla is older than Ben. Who is the oldest?\nA. Ada\nB. Carla",
    ],
)
def test_what_it_does_not_know_has_no_answer(text: str) -> None:
    assert solve_choice(text) is None
