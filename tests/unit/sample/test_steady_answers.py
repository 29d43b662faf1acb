"""The environment with a scoring program that ships: its files, and that its program counts right."""

import importlib.util
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assay.sample_solver import Solved, Solver

BUNDLE = Path(__file__).parents[3] / "environments" / "steady-answers"
PROGRAM = BUNDLE / "scoring_program" / "score.py"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"steady_answers_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BUNDLE / name).read_text().splitlines()]


def test_the_committed_files_are_what_the_generator_makes() -> None:
    for name, data in module(BUNDLE / "generate.py").files().items():
        assert (BUNDLE / name).read_bytes() == data, f"{name}: run environments/steady-answers/generate.py"


def test_four_tellings_of_each_problem_stand_together() -> None:
    questions = rows("dev.jsonl") + rows("test.jsonl")
    assert len(questions) == len({row["question"] for row in questions}) == 240
    for at in range(0, 240, 4):
        assert len({(row["problem"], row["answer"], row["kind"]) for row in questions[at : at + 4]}) == 1
    reference = {row["item_id"]: (row["problem"], row["answer"]) for row in rows("reference_data/problems.jsonl")}
    assert reference == {row["id"]: (row["problem"], row["answer"]) for row in questions}


def test_the_sample_models_know_the_answers() -> None:
    solver = Solver()
    for row in rows("dev.jsonl") + rows("test.jsonl"):
        solved = solver.look_up(row["question"])
        assert isinstance(solved, Solved), row
        assert solved.number == row["answer"], row


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 1,234", 1234),
        ("It is **$1234.00**.", 1234),
        ("first 3, then -7.50", "-7.5"),
        ("I don't know.", None),
        ("", None),
    ],
)
def test_numbers_in_answers(text: str, number: object) -> None:
    assert module(PROGRAM).number_in(text) == (None if number is None else Decimal(str(number)))


def scored(folder: Path, answers: dict[str, str | None]) -> subprocess.CompletedProcess[str]:
    """Run the program over four problems; None is a question that was not called."""
    reference, results, output = folder / "input" / "ref", folder / "input" / "res", folder / "output"
    for made in (reference, results, output):
        made.mkdir(parents=True)
    letters = "abcd"
    (reference / "problems.jsonl").write_text(
        "".join(
            json.dumps({"item_id": f"{problem}-{letter}", "problem": problem, "answer": 5}) + "\n"
            for problem in answers
            for letter in letters
        )
    )
    lines = [
        {
            "item_id": f"{problem}-{letter}",
            "sample": 0,
            "output": f"So {given[at]}." if given else "",
            "outcome": "scored" if given else "infra_error",
        }
        for problem, given in answers.items()
        for at, letter in enumerate(letters)
    ]
    (results / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, str(PROGRAM), str(folder / "input"), str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_counts_problems(tmp_path: Path) -> None:
    done = scored(
        tmp_path, {"right": "5555", "wrong": "7777", "most": "5557", "half": "5577", "silent": "xxxx", "lost": None}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "5 problems: 2 with one answer, 1 of them right\n"
    assert json.loads((tmp_path / "output" / "scores.json").read_text()) == {
        "steady_right": 0.2,
        "steady": 0.4,
        "majority": 0.4,
        "accuracy": 0.45,
    }
    assert (tmp_path / "output" / "problems.csv").read_text().splitlines()[3] == "most,5,5,5,5,7"


def test_without_a_whole_problem_the_program_says_so(tmp_path: Path) -> None:
    done = scored(tmp_path, {"lost": None})
    assert done.returncode == 1
    assert done.stderr == "no problem has answers to all of its questions: evaluate at least 4 items\n"
