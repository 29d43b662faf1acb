"""`assay env new`: what it writes is right as it is, and says of its options only what is true."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from assay.cli import app
from assay.new import slugified
from assay.starters import STARTERS
from shared.manifest import Manifest, json_schema
from shared.scoring import BuiltInScoring

RUNNER = CliRunner(env={"COLUMNS": "200", "ASSAY_URL": "http://127.0.0.1:8123"})


def run(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["env", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.mark.parametrize("scorer", STARTERS)
def test_each_is_right_and_complete(tmp_path: Path, scorer: str) -> None:
    folder = tmp_path / "my first"
    said = run("new", str(folder), "--scorer", scorer)
    assert f"next: assay env check {folder}" in said
    found = json.loads(run("check", str(folder), "--json"))
    assert (found["slug"], found["title"], found["scoring"]["scorer"]) == ("my-first", "My first", scorer)
    assert found["warnings"] == []
    text = (folder / "environment.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=http://127.0.0.1:8123/schemas/environment.json\n")
    jsonschema.validate(yaml.safe_load(text), json_schema())


@pytest.mark.parametrize("scorer", STARTERS)
def test_what_stands_there_as_a_comment_are_the_defaults(tmp_path: Path, scorer: str) -> None:
    run("new", str(tmp_path / "a"), "--scorer", scorer)
    text = (tmp_path / "a" / "environment.yaml").read_text()
    whole, count = re.subn(r"^( +)# (\w+: .*)$", r"\1\2", text, flags=re.MULTILINE)
    assert count >= 7
    given, all_said = (Manifest.model_validate(yaml.safe_load(each)) for each in (text, whole))
    assert all_said == given
    assert set(yaml.safe_load(whole)["scoring"]) == {
        info.alias or name for name, info in type(given.scoring).model_fields.items()
    }


def test_there_is_one_for_every_scorer() -> None:
    known = [
        name
        for scoring in get_args(get_args(BuiltInScoring)[0])
        for name in get_args(scoring.model_fields["scorer"].annotation)
    ]
    assert set(STARTERS) == set(known)


def test_name_title_and_json(tmp_path: Path) -> None:
    arguments: list[Any] = ["--slug", "capitals", "--title", "Capitals: of the world", "--json"]
    found = json.loads(run("new", str(tmp_path / "x"), *arguments))
    assert (found["slug"], found["files"][0]) == ("capitals", "environment.yaml")
    assert json.loads(run("check", str(tmp_path / "x"), "--json"))["title"] == "Capitals: of the world"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["full"], "is there already and not empty"),
        (["full/file"], "is there already and not empty"),
        (["x", "--scorer", "exact"], "there is no scorer 'exact' to start with; there are numeric, exact_match"),
        (["x", "--slug", "Not A Slug"], "slug: must be 1 to 63 lower-case letters"),
        (["x", "--title", "t" * 201], "title: must have at most 200 characters"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    assert said in run("new", str(tmp_path / arguments[0]), *arguments[1:], code=3)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [("My Sums", "my-sums"), ("été", "t"), ("--", "my-environment"), ("a" * 70, "a" * 63), ("a_b", "a_b")],
)
def test_a_slug_from_a_folders_name(name: str, slug: str) -> None:
    assert slugified(name) == slug
