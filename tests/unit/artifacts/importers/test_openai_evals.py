"""Samples of OpenAI evals, with and without the registry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.scorer.scorers import score
from shared.errors import FieldError
from tests.unit.artifacts.importers import sources
from tests.unit.artifacts.importers.sources import Content, Import

SYSTEM = {"role": "system", "content": "Answer with the capital."}
SAMPLES = [
    {"input": [SYSTEM, {"role": "user", "content": "France"}], "ideal": "Paris", "level": 1},
    {"input": [SYSTEM, {"role": "user", "content": "Peru"}], "ideal": ["Lima", "Ciudad"]},
]


def registry(kind: str = "evals.elsuite.basic.match:Match", **arguments: Any) -> dict[str, Any]:
    args = {"samples_jsonl": "capitals/samples.jsonl"} | arguments
    return {
        "capitals": {"id": "capitals.dev.v0", "metrics": ["accuracy"]},
        "capitals.dev.v0": {"class": kind, "args": args},
    }


YAML, ENTRY = "registry/evals/capitals.yaml", "capitals.dev.v0"
FILES: dict[str, Content] = {YAML: registry(), "registry/data/capitals/samples.jsonl": SAMPLES}


def run(tmp_path: Path, files: Mapping[str, Content] = FILES, **options: Any) -> Import:
    return sources.run(tmp_path, files, format="openai_evals", **options)


def refusal(tmp_path: Path, files: Mapping[str, Content] = FILES, **options: Any) -> FieldError:
    return sources.refusal(tmp_path, files, format="openai_evals", **options)


def test_an_eval_of_the_registry(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert (found.manifest["slug"], found.bundle.phases) == ("capitals", [("test", 2)])
    assert found.column("messages") == [sample["input"] for sample in SAMPLES]
    assert found.manifest["scoring"] == {
        "scorer": "contains",
        "location": "begin",
        "ignore_case": False,
        "references": "references",
    }
    assert [(item["target"], item["hints"]["references"]) for item in found.items] == [
        ("Paris", []),
        ("Lima", ["Ciudad"]),
    ]
    assert found.column("metadata") == [{"level": 1}, {}]
    assert found.manifest["generation"] == {"temperature": 0.0}
    assert (found.report.comparable, found.report.notes) == (True, [])
    scoring = found.bundle.manifest.scoring
    assert score("Lima, of course", "Lima", scoring, found.items[1]["hints"]).correct
    assert not score("It is Lima", "Lima", scoring, found.items[1]["hints"]).correct


def test_few_shot_examples_go_before_the_last_message(tmp_path: Path) -> None:
    example = [
        {**SYSTEM, "name": "example_user", "content": "Chad"},
        {**SYSTEM, "name": "example_assistant", "content": "N'Djamena"},
    ]
    files = FILES | {
        YAML: registry(num_few_shot=1, few_shot_jsonl="capitals/shots.jsonl", max_tokens=7, seed=3),
        "registry/data/capitals/shots.jsonl": [{"sample": example}, {"sample": example}],
    }
    found = run(tmp_path, files)
    assert found.items[0]["messages"] == [
        SYSTEM,
        {"role": "user", "content": "Chad"},
        {"role": "assistant", "content": "N'Djamena"},
        {"role": "user", "content": "France"},
    ]
    assert found.manifest["generation"] == {"temperature": 0.0, "max_tokens": 7}
    assert found.report.dropped == {"arguments": 1}


def test_samples_alone_are_matched(tmp_path: Path) -> None:
    found = run(tmp_path, {"capitals/samples.jsonl": [{"input": "France?", "ideal": "Paris"}]}, title="Maps")
    assert (found.manifest["title"], found.items[0]["messages"]) == ("Maps", [{"role": "user", "content": "France?"}])
    assert found.report.notes[0].startswith("The class is taken to be match")


@pytest.mark.parametrize(
    ("kind", "options", "scoring", "comparable"),
    [
        ("includes:Includes", {}, {"scorer": "contains", "ignore_case": False, "references": "references"}, True),
        (
            "includes:Includes",
            {"ignore_case": True},
            {"scorer": "contains", "ignore_case": True, "references": "references"},
            True,
        ),
        ("fuzzy_match:FuzzyMatch", {}, {"scorer": "contains", "ignore_case": True, "references": "references"}, False),
    ],
)
def test_classes(tmp_path: Path, kind: str, options: dict[str, Any], scoring: dict[str, Any], comparable: bool) -> None:
    found = run(tmp_path, FILES | {YAML: registry(f"evals.elsuite.basic.{kind}")}, **options)
    assert (found.manifest["scoring"], found.report.comparable) == (scoring, comparable)


def test_json_answers(tmp_path: Path) -> None:
    found = run(tmp_path, {"a.jsonl": [{"input": "?", "ideal": ['{"a": 1}', '{"a": 2}']}]}, eval_class="json_match")
    assert (found.manifest["scoring"], found.items[0]["target"]) == ({"scorer": "json"}, '{"a": 1}')
    assert (found.report.comparable, found.report.dropped) == (False, {"ideal answers": 1})


@pytest.mark.parametrize(
    ("files", "options", "loc", "message"),
    [
        ({}, {}, ["source"], "must have one file with samples"),
        ({"a.jsonl": SAMPLES, "b.jsonl": SAMPLES}, {}, ["source"], "it has: a.jsonl, b.jsonl"),
        ({"a.jsonl": SAMPLES}, {"eval": "capitals"}, ["import", "eval"], "there is no YAML of the registry"),
        (FILES, {"eval": "captals"}, ["import", "eval"], "no eval is called 'captals'; did you mean"),
        (FILES | {"b.yaml": {"b.v0": {"class": "x"}}}, {}, ["import", "eval"], "is needed, since there are several"),
        (FILES | {YAML: registry("evals.elsuite.x:Graded")}, {}, [YAML, ENTRY, "class"], "line 6: evals.elsuite.x:Graded is not carried over"),
        (FILES | {YAML: registry(samples_jsonl="x.jsonl")}, {}, [YAML, ENTRY, "args", "samples_jsonl"], "line 8: samples_jsonl 'x.jsonl' is not"),
        (FILES | {YAML: registry(num_few_shot=1)}, {}, ["source"], "few_shot_jsonl 'None' is not there"),
        (FILES | {YAML: "a: [b"}, {}, [YAML], "line 1"),
        ({"a.jsonl": [{"input": "x"}]}, {}, ["a.jsonl", 1, "ideal"], "column 'ideal' is missing; the columns are input"),
        ({"a.jsonl": [{"input": "x", "ideal": []}]}, {}, ["a.jsonl", 1, "ideal"], "is empty"),
        ({"a.jsonl": [{"input": [{"role": "me", "content": "x"}], "ideal": "y"}]}, {}, ["a.jsonl", 1, "input"], "the role 'me' in message 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported(
    tmp_path: Path, files: dict[str, Content], options: dict[str, Any], loc: list[str | int], message: str
) -> None:
    found = refusal(tmp_path, files, **options)
    assert (found["loc"], message in found["msg"]) == (loc, True), found
