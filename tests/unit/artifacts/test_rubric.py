"""A judge's rubric is tried at upload with every item."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.artifacts.bundles import ITEMS, error, manifest, read


def judged(**scoring: Any) -> dict[str, Any]:
    return manifest(scoring={"scorer": "judge", "rubric": "{{ input }} {{ target }} {{ output }}", **scoring})


def test_what_the_rubric_shows_goes_with_the_item(tmp_path: Path) -> None:
    _, (item,) = read(tmp_path, judged(rubric="{{ kind }}: {{ output }}", columns=["kind"]))
    assert item["hints"] == {"kind": "sum"}
    assert item["target"] == "2"


def test_no_target_is_needed(tmp_path: Path) -> None:
    _, (item,) = read(tmp_path, judged(), dev__jsonl='{"id": "a", "question": "Write a poem."}\n')
    assert item["target"] == ""


@pytest.mark.parametrize(
    ("scoring", "where", "msg"),
    [
        (
            {"rubric": "Rate:\n{{ output"},
            "rubric",
            "line 12: line 2 of the template: unexpected end of template, expected 'end of print statement'.",
        ),
        (
            {"rubric": "Rate.\n\n{{ output }} for {{ question }}"},
            "rubric",
            "line 12: line 3 of the template: 'question' is undefined; the columns are input, output, target; scoring.columns names further ones"
            " (with dev.jsonl, line 1)",
        ),
        (
            {"rubric": "{{ output }}", "pairwise": {"against": "kind"}},
            "rubric",
            "line 14: line 1 of the template: 'output' is undefined; the columns are input, kind, output_a, output_b, target; scoring.columns names"
            " further ones (with dev.jsonl, line 1)",
        ),
        (
            {"rubric": "{% for x in range(10 ** 9) %}{% endfor %}{{ output }}"},
            "rubric",
            "line 12: line 1 of the template: OverflowError: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."
            " (with dev.jsonl, line 1)",
        ),
        ({"system": "{{ 1 +"}, "system", "line 14: line 1 of the template: unexpected 'end of template'"),
        (
            {"pattern": "verdict: (["},
            "pattern",
            "line 12: is not a valid regular expression: unterminated character set at position 11",
        ),
    ],
)
def test_what_is_wrong_is_told_by_line(tmp_path: Path, scoring: dict[str, Any], where: str, msg: str) -> None:
    found = error(tmp_path, judged(**scoring))
    assert found["loc"] == ["environment.yaml", "scoring", where]
    assert found["msg"] == msg


def test_a_column_that_is_missing_is_told_by_row(tmp_path: Path) -> None:
    found = error(tmp_path, judged(pairwise={"against": "reference"}, rubric="{{ output_a }}{{ output_b }}"))
    assert found["loc"] == ["dev.jsonl", 1, "reference"]
    assert "column 'reference' (scoring) is missing" in found["msg"]


def test_a_rubric_that_fails_with_one_row_is_told_once(tmp_path: Path) -> None:
    rows = ITEMS + '{"id": "b", "question": "?", "answer": 0, "kind": null}\n'
    found = error(tmp_path, judged(rubric="{{ 1 / (target|int) }}{{ output }}"), dev__jsonl=rows)
    assert (
        found["msg"] == "line 12: line 1 of the template: ZeroDivisionError: division by zero (with dev.jsonl, line 2)"
    )
