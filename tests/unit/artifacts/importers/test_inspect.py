"""Inspect's sample files: what is carried over from good ones, and what is said of others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.scorer.scorers import score
from services.scorer.verdicts import read
from shared.errors import FieldError
from shared.rendering import Source, Templates
from shared.scoring import JudgeScoring
from tests.unit.artifacts.importers import sources
from tests.unit.artifacts.importers.sources import Content, Import

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "And in Peru?"}]},
]
SAMPLES: list[Any] = [
    {"id": "fr", "input": "What is the capital of France?", "target": "Paris", "metadata": {"level": 1}},
    {"id": "pe", "input": CHAT, "target": ["Lima", "Ciudad de los Reyes"], "metadata": {"level": 2}},
]
IMAGE = [{"role": "user", "content": [{"type": "image", "image": "x"}]}]
PICK: list[Any] = [{"input": "Which is a fruit?", "choices": ["rock", "pear"], "target": "B"}]


def run(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> Import:
    return sources.run(tmp_path, files, format="inspect", **options)


def refusal(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> FieldError:
    return sources.refusal(tmp_path, files, format="inspect", **options)


@pytest.mark.parametrize("name", ["capital_cities.jsonl", "capital_cities.json"])
def test_samples_with_text_and_chat(tmp_path: Path, name: str) -> None:
    found = run(tmp_path, {name: SAMPLES}, scorer="includes", system="You know maps.")
    assert (found.manifest["title"], found.bundle.phases) == ("capital cities", [("capital_cities", 2)])
    assert found.column("item_id") == ["fr", "pe"]
    system = {"role": "system", "content": "You know maps."}
    assert found.items[0]["messages"] == [system, {"role": "user", "content": SAMPLES[0]["input"]}]
    assert found.items[1]["messages"] == [system, CHAT[0], {"role": "user", "content": "And in Peru?"}]
    assert found.column("metadata") == [{"metadata": {"level": 1}}, {"metadata": {"level": 2}}]
    assert found.manifest["scoring"] == {"scorer": "contains", "ignore_case": True, "references": "references"}
    assert found.items[1]["hints"] == {"references": ["Ciudad de los Reyes"]}
    assert (found.report.comparable, found.report.notes) == (True, [])


def test_plain_samples_keep_a_template(tmp_path: Path) -> None:
    found = run(tmp_path, {"a.jsonl": SAMPLES[:1]}, generation={"max_tokens": 9})
    assert found.manifest["prompt"] == {"template": "{{ input }}"}
    assert found.manifest["generation"] == {"max_tokens": 9}
    assert found.report.notes == ["The scorer is guessed from the samples: match. The option scorer says another one."]


def test_choices_are_asked_for_by_letter(tmp_path: Path) -> None:
    chat = {"input": [*CHAT, {"role": "assistant", "content": "Hm."}], "choices": "Lima, Cusco", "target": "A"}
    found = run(tmp_path, {"a.jsonl": [*PICK, chat]})
    assert found.items[0]["messages"] == [
        {
            "role": "user",
            "content": "Which is a fruit?\n\nA. rock\nB. pear\n\nAnswer with the letter of the right choice.",
        }
    ]
    assert found.items[1]["messages"][1]["content"].startswith("And in Peru?\n\nA. Lima\nB. Cusco\n")
    assert found.manifest["scoring"] == {"scorer": "choice", "choices": "choices"}
    assert score("ANSWER: B", found.items[0]["target"], found.bundle.manifest.scoring, found.items[0]["hints"]).correct
    assert not found.report.comparable


def test_several_right_choices_are_left_out(tmp_path: Path) -> None:
    found = run(tmp_path, {"a.jsonl": [*PICK, PICK[0] | {"target": ["A", "B"]}, PICK[0] | {"target": "AB"}]})
    assert (len(found.items), found.report.dropped) == (1, {"samples with several right choices": 2})


def test_fields_and_phases_are_mapped(tmp_path: Path) -> None:
    rows = [{"n": 7, "q": "1 + 1?", "a": 2, "level": "easy", "x": 1}]
    fields = {"id": "n", "input": "q", "target": "a", "metadata": ["level"]}
    files: dict[str, Content] = {"one.csv": "q,a,n,level\n1 + 1?,2,7,easy\n", "two.jsonl": rows}
    found = run(tmp_path, files, fields=fields, phases={"final": "two.jsonl", "dev": "one.csv"}, scorer="match")
    assert found.bundle.phases == [("final", 1), ("dev", 1)]
    assert found.items[0]["item_id"] == "7"
    assert found.items[0]["target"] == "2"
    assert found.items[0]["metadata"] == {"metadata": {"level": "easy"}}


@pytest.mark.parametrize(
    ("options", "scoring", "comparable"),
    [
        ({"scorer": "match"}, {"scorer": "contains", "location": "end", "ignore_case": True, "ignore_punctuation": True}, True),
        ({"scorer": "match", "location": "any"}, {"scorer": "contains", "location": "any", "ignore_case": True, "ignore_punctuation": True}, True),
        ({"scorer": "match", "location": "exact", "ignore_case": False}, {"scorer": "exact_match", "ignore_case": False}, False),
        ({"scorer": "match", "numeric": True}, {"scorer": "numeric"}, False),
        ({"scorer": "exact"}, {"scorer": "exact_match", "ignore_case": True, "ignore_punctuation": True}, False),
        ({"scorer": "f1"}, {"scorer": "f1"}, False),
        ({"scorer": "pattern", "pattern": r"is (\w+)"}, {"scorer": "regex", "pattern": r"is (\w+)", "which": "first", "ignore_case": True}, True),
    ],
)  # fmt: skip
def test_scorers(tmp_path: Path, options: dict[str, Any], scoring: dict[str, Any], comparable: bool) -> None:
    found = run(tmp_path, {"a.jsonl": [{"input": "1 + 1?", "target": "2"}]}, **options)
    assert (found.manifest["scoring"], found.report.comparable) == (scoring, comparable)
    assert found.report.comparable_why


@pytest.mark.parametrize("scorer", ["model_graded_qa", "model_graded_fact"])
def test_a_judge_grades(tmp_path: Path, scorer: str) -> None:
    found = run(tmp_path, {"a.jsonl": SAMPLES}, scorer=scorer)
    scoring = found.bundle.manifest.scoring
    assert isinstance(scoring, JudgeScoring)
    assert scoring.scale == (0, 1)
    values = {"input": "Capital of Peru?", "target": "Lima", "output": "It's {{ Lima }}"}
    rubric = Templates([Source(["rubric"], "user", scoring.rubric)], time_limit_s=1, max_bytes=10_000)
    (asked,) = rubric.render(values, list(values))
    assert "Question:\nCapital of Peru?\n" in asked["content"]
    assert "Answer:\nIt's {{ Lima }}\n====" in asked["content"]
    assert read("Right.\nVerdict: 1", scoring, swapped=False) == 1.0
    assert found.report.notes == ["Only the first of several targets counts with this scorer."]
    assert not found.report.comparable


def test_a_sandbox_is_said_to_be_missing(tmp_path: Path) -> None:
    found = run(tmp_path, {"a.jsonl": [{"input": "x", "target": "y", "sandbox": "docker", "files": {"a": "b"}}]})
    assert (found.report.comparable, found.report.dropped) == (False, {"sandbox": 1, "files": 1})
    assert found.report.comparable_why.startswith("Samples need what is left out.")


@pytest.mark.parametrize(
    ("files", "options", "loc", "message"),
    [
        ({"a.txt": "x"}, {}, ["source"], "has no file with samples"),
        ({"a.jsonl": "{"}, {}, ["a.jsonl", 1], "is not JSON"),
        ({"a.json": "[1]"}, {}, ["a.json", 1], "is not an object"),
        ({"a.jsonl": [{"question": "x", "target": "y"}]}, {}, ["a.jsonl", 1, "input"], "column 'input' is missing; the columns are question, target"),
        ({"a.jsonl": [{"input": "x"}]}, {}, ["a.jsonl", 1, "target"], "column 'target' is missing"),
        ({"a.jsonl": [{"input": "x", "target": []}]}, {}, ["a.jsonl", 1, "target"], "is empty"),
        ({"a.jsonl": [{"input": [{"role": "tool", "content": "x"}], "target": "y"}]}, {}, ["a.jsonl", 1, "input"], "the role 'tool' in message 1"),
        ({"a.jsonl": [{"input": IMAGE, "target": "y"}]}, {}, ["a.jsonl", 1, "input"], "other than text"),
        ({"a.jsonl": [PICK[0] | {"target": "pear"}]}, {}, ["a.jsonl", 1, "target"], "holds 'pear'; the letter of a choice is needed"),
        ({"a.jsonl": [PICK[0] | {"target": "C"}]}, {}, ["a.jsonl", 1, "target"], "is 2; the choices are 0 to 1"),
        ({"a.jsonl": SAMPLES, "b/a.json": SAMPLES}, {}, ["import", "phases"], "both a.jsonl and b/a.json would be the phase 'a'"),
        ({"a.jsonl": SAMPLES}, {"scorer": "choice"}, ["import", "scorer"], "no sample has any"),
        ({"a.jsonl": SAMPLES}, {"scorer": "pattern"}, ["import", "pattern"], "is needed"),
        ({"a.jsonl": SAMPLES}, {"phases": {"dev": "b.jsonl"}}, ["import", "phases", "dev"], "there is no data file 'b.jsonl'; there are: a.jsonl"),
        ({"a.jsonl": [{"input": "x", "target": "y", "metadata": "{"}]}, {}, ["a.jsonl", 1, "metadata"], "not JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported(
    tmp_path: Path, files: dict[str, Content], options: dict[str, Any], loc: list[str | int], message: str
) -> None:
    found = refusal(tmp_path, files, **options)
    assert (found["loc"], message in found["msg"]) == (loc, True), found
