"""The environment that ships: its files, its answers, and that the solver solves it from the text alone."""

import importlib.util
import json
import re
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from assay.sample_word_problems import solve
from shared.manifest import Manifest

BUNDLE = Path(__file__).parents[3] / "environments" / "word-problems"


def rows_of(phase: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BUNDLE / f"{phase}.jsonl").read_text().splitlines()]


def final_number(answer: str) -> Decimal:
    return Decimal(answer.rpartition("\n#### ")[2].replace(",", ""))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [*rows_of("dev"), *rows_of("test")]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("word_problems_generate", BUNDLE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_files_are_what_the_generator_makes(generator: ModuleType) -> None:
    for name, data in generator.files().items():
        assert (BUNDLE / name).read_bytes() == data, f"{name}: run environments/word-problems/generate.py"


def test_the_manifest_is_valid_and_its_files_are_there() -> None:
    manifest = Manifest.model_validate(yaml.safe_load((BUNDLE / "environment.yaml").read_text()))
    assert (manifest.slug, manifest.scoring.scorer) == ("word-problems", "numeric")
    assert [phase.name for phase in manifest.phases] == ["dev", "test"]
    assert manifest.overview is not None
    assert (BUNDLE / manifest.overview).is_file()
    for phase in manifest.phases:
        columns = set(rows_of(phase.name)[0])
        assert {phase.fields.id, phase.fields.input, phase.fields.target} <= columns


def test_sizes_and_no_duplicates(rows: list[dict[str, Any]]) -> None:
    assert (len(rows_of("dev")), len(rows_of("test"))) == (100, 400)
    assert len({row["id"] for row in rows}) == len({row["question"] for row in rows}) == 500
    assert {row["difficulty"] for row in rows} == {1, 2, 3, 4, 5}


def test_the_kinds_of_numbers_that_trip_a_scorer_are_there(rows: list[dict[str, Any]]) -> None:
    answers = [row["answer"].rpartition("#### ")[2] for row in rows]
    assert any(answer.startswith("-") for answer in answers)
    assert any("." in answer for answer in answers)
    assert any("," in answer for answer in answers)


def test_every_step_of_every_worked_answer_adds_up(rows: list[dict[str, Any]]) -> None:
    number = r"-?\$?\d[\d,]*(?:\.\d+)?"
    step = re.compile(rf"(\(?{number}\)?(?: [-+*/] \(?{number}\)?)+) = (-?\$?\d[\d,]*(?:\.\d+)?)")
    checked = 0
    for row in rows:
        for expression, result in step.findall(row["answer"]):
            terms = re.sub(r"\d+(?:\.\d+)?", r"Decimal('\g<0>')", re.sub(r"[,$]", "", expression))
            assert eval(terms) == Decimal(re.sub(r"[,$]", "", result)), (row["id"], expression)
            checked += 1
    assert checked > 2 * len(rows)


def test_the_solver_solves_all_of_them(rows: list[dict[str, Any]]) -> None:
    wrong = [row["id"] for row in rows if solve(row["question"]) != final_number(row["answer"])]
    assert wrong == []
