"""A json scorer's schema is checked at upload, and its targets may be objects."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.artifacts.bundles import error, manifest, read

ROW = '{"id": "a", "question": "Who?", "answer": {"name": "Ada", "born": [10, 12, 1815]}, "kind": "person"}\n'


def with_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return manifest(scoring={"scorer": "json", "schema": schema})


def test_a_target_may_be_an_object(tmp_path: Path) -> None:
    good = with_schema({"type": "object", "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}}})
    _, (item,) = read(tmp_path, good, dev__jsonl=ROW)
    assert item["target"] == '{"name": "Ada", "born": [10, 12, 1815]}'


def test_a_target_may_be_left_out_or_be_text(tmp_path: Path) -> None:
    rows = '{"id": "a", "question": "Who?"}\n{"id": "b", "question": "Who?", "answer": "[1]"}\n'
    _, items = read(tmp_path, with_schema({"type": "object"}), dev__jsonl=rows)
    assert [item["target"] for item in items] == ["", "[1]"]


@pytest.mark.parametrize(
    ("schema", "loc", "msg"),
    [
        ({"type": "strin"}, ["type"], "is no JSON Schema: 'strin' is not valid under any of the given schemas"),
        (
            {"type": "object", "properties": {"a": {"pattern": "(["}}},
            ["properties", "a", "pattern"],
            "is no JSON Schema: '([' is not a 'regex'",
        ),
        ({"required": "name"}, ["required"], "is no JSON Schema: 'name' is not of type 'array'"),
        (
            {"$schema": "http://127.0.0.1/mine"},
            ["$schema"],
            "'http://127.0.0.1/mine' is no version of JSON Schema; leave it out for Draft 2020-12",
        ),
    ],
)
def test_what_is_wrong_with_the_schema_is_told_by_its_place(
    tmp_path: Path, schema: dict[str, Any], loc: list[str], msg: str
) -> None:
    found = error(tmp_path, with_schema(schema), dev__jsonl=ROW)
    assert found["loc"] == ["environment.yaml", "scoring", "schema", *loc]
    assert found["msg"].startswith("line ")
    assert found["msg"].partition(": ")[2] == msg
