"""`assay env check`: a bundle is checked as the server would, on this machine alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli import app
from tests.unit.artifacts.bundles import ITEMS, manifest, write_bundle

RUNNER = CliRunner(env={"COLUMNS": "200"})
ROOT = Path(__file__).parents[3]


def check(*arguments: str, code: int) -> tuple[str, str]:
    result = RUNNER.invoke(app, ["env", "check", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.mark.parametrize("folder", sorted((ROOT / "environments").iterdir()), ids=lambda folder: folder.name)
def test_the_environments_that_ship_are_right_and_say_what_they_are(folder: Path) -> None:
    said, complaints = check(str(folder), code=0)
    assert f"{folder.name} is right: version " in said
    assert "Scored: " in said
    assert "warning" not in said
    assert complaints == ""


def test_each_error_is_one_line_with_its_place_and_the_text_there(tmp_path: Path) -> None:
    rows = ITEMS + '{"id": "b", "question": "2 + 2?", "answer": "four"}\n'
    write_bundle(tmp_path, manifest(), dev__jsonl=rows)
    said, complaints = check(str(tmp_path), code=1)
    lines = complaints.splitlines()
    assert (said, lines[0]) == ("", "error: Invalid input")
    assert lines[1].startswith(
        "  dev.jsonl:2: answer: the target holds no number that can be read; write one such as 18"
    )
    assert lines[2] == '    | {"id": "b", "question": "2 + 2?", "answer": "four"}'
    assert len(lines) == 3


def test_for_a_program_there_is_one_document(tmp_path: Path) -> None:
    write_bundle(tmp_path / "good", manifest(), dev__jsonl=ITEMS, notes__txt="x")
    found = json.loads(check(str(tmp_path / "good"), "--json", code=0)[0])
    assert (found["valid"], found["slug"], found["scoring"]["scorer"]) == (True, "sums", "numeric")
    assert [(phase["name"], phase["items"], len(phase["items_sha256"])) for phase in found["phases"]] == [
        ("dev", 1, 64)
    ]
    assert found["warnings"] == ["notes.txt: nothing in environment.yaml refers to it"]

    write_bundle(tmp_path / "bad", manifest(titel="x"), dev__jsonl=ITEMS)
    found = json.loads(check(str(tmp_path / "bad"), "--json", code=1)[0])
    assert not found["valid"]
    assert [error["loc"] for error in found["errors"]] == [["environment.yaml", "titel"]]
    assert "did you mean 'title'?" in found["errors"][0]["msg"]
    assert found["errors"][0]["text"] == "titel: x"


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere", "does not exist"), (".", "has no environment.yaml at its root")]
)
def test_what_is_no_bundle(tmp_path: Path, path: str, said: str) -> None:
    assert said in check(str(tmp_path / path), code=1)[1]
