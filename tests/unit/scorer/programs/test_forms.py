"""Answers in the forms in which scoring programs read submissions."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.scorer.programs.forms import Form
from shared.scoring import PredictionsFile

RESULTS: list[dict[str, Any]] = [
    {"item_id": "q1", "index": 0, "sample": 0, "output": 'Two\nlines, "quoted"', "prediction": "A", "outcome": "scored",
     "finish_reason": "stop", "latency_ms": 1500.0},
    {"item_id": "=2", "index": 1, "sample": 0, "output": "half \ud800", "prediction": None, "outcome": "no_answer",
     "finish_reason": None, "latency_ms": None},
]  # fmt: skip
FIELDS = {"id": "item_id", "answer": "output", "label": "prediction", "seconds": "latency_s"}


def written(folder: Path, name: str, fields: dict[str, str] = FIELDS, results: list[dict[str, Any]] = RESULTS) -> str:
    form = Form(folder, PredictionsFile.model_validate({"name": name, "fields": fields}))
    for result in results:
        form.add(result)
    form.close()
    return (folder / name).read_bytes().decode()


def expected(nothing: Any) -> list[list[Any]]:
    half = "half ?" if nothing == "" else "half \N{REPLACEMENT CHARACTER}"
    return [["q1", 'Two\nlines, "quoted"', "A", "1.5" if nothing == "" else 1.5], ["=2", half, nothing, nothing]]


@pytest.mark.parametrize(("name", "delimiter"), [("answers.csv", ","), ("answers.tsv", "\t")])
def test_tables(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = list(csv.reader(written(tmp_path, name).splitlines(keepends=True), delimiter=delimiter))
    assert rows == [list(FIELDS), *expected("")]


def test_lines_of_objects(tmp_path: Path) -> None:
    objects = [json.loads(line) for line in written(tmp_path, "predictions.jsonl").splitlines()]
    assert [list(each.values()) for each in objects] == expected(None)
    assert list(objects[0]) == list(FIELDS)


@pytest.mark.parametrize("results", [RESULTS, []])
def test_an_array(tmp_path: Path, results: list[dict[str, Any]]) -> None:
    objects = json.loads(written(tmp_path, "predictions.json", results=results))
    assert [list(each.values()) for each in objects] == expected(None)[: len(results)]


def test_plain_lines_have_the_first_field_alone(tmp_path: Path) -> None:
    assert written(tmp_path, "answer.txt", {"answer": "output"}) == 'Two lines, "quoted"\nhalf ?\n'


@pytest.mark.parametrize(
    ("name", "form", "meant"),
    [
        ("set1.predict", None, "txt"),
        ("set1.predict", "csv", "csv"),
        ("answers.JSONL", None, "jsonl"),
        ("a", None, "txt"),
    ],
)
def test_the_ending_says_the_form_unless_it_is_said(name: str, form: str | None, meant: str) -> None:
    assert PredictionsFile.model_validate({"name": name, "format": form, "fields": {"a": "output"}}).form == meant


@pytest.mark.parametrize(
    "form",
    [
        {"name": "../answers.csv", "fields": {"a": "output"}},
        {"name": ".hidden.csv", "fields": {"a": "output"}},
        {"name": "answers.csv", "format": "xml", "fields": {"a": "output"}},
        {"name": "answers.csv", "fields": {}},
        {"name": "answers.csv", "fields": {"a": "target"}},
    ],
)
def test_a_form_that_is_none(form: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PredictionsFile.model_validate(form)
