"""Tables as environments."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.artifacts.importers.importing import run, told

ROWS = [{"question": "1 + 1?", "answer": 2}, {"question": "2 + 2?", "answer": 4}]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "question,answer\n1 + 1?,2\n2 + 2?,4\n"


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("sums.jsonl", JSONL),
        ("sums.csv", CSV),
        ("sums.tsv", CSV.replace(",", "\t")),
        ("sums.json", json.dumps(ROWS)),
        ("sums.json", json.dumps({"about": "sums", "data": ROWS})),
        ("sums.parquet", parquet(ROWS)),
    ],
)
def test_every_kind_of_table_gives_the_same_items(tmp_path: Path, name: str, data: str | bytes) -> None:
    bundle, (items,), report = run(tmp_path, {name: data}, format="table")
    assert bundle.manifest.slug == "sums"
    assert bundle.phases == [("sums", 2)]
    assert [(item["item_id"], item["input"], item["target"]) for item in items] == [
        ("1", "1 + 1?", "2"),
        ("2", "2 + 2?", "4"),
    ]
    assert items[0]["messages"] == [{"role": "user", "content": "1 + 1?"}]
    assert bundle.manifest.scoring.scorer == "numeric"
    assert report.source == name
    assert any("'question' was taken as the input" in note for note in report.notes)
    assert any("every target is a number" in note for note in report.notes)


def test_what_the_request_says_is_not_guessed(tmp_path: Path) -> None:
    rows = '{"key": "a", "question": "not this", "text": "Say yes.", "wanted": "yes"}\n'
    bundle, (items,), report = run(
        tmp_path,
        {"rows.jsonl": rows},
        format="table",
        slug="yes",
        title="Yes",
        description="Says yes",
        tags=["easy"],
        fields={"id": "key", "input": "text", "target": "wanted"},
        prompt="Obey: {{ text }}",
        scoring={"scorer": "contains", "ignore_case": False},
        generation={"max_tokens": 5},
        phases={"final": "rows.jsonl"},
    )
    manifest = bundle.manifest
    assert (manifest.slug, manifest.title, manifest.description, manifest.tags) == ("yes", "Yes", "Says yes", ["easy"])
    assert bundle.phases == [("final", 1)]
    assert manifest.scoring.model_dump(exclude_unset=True) == {"scorer": "contains", "ignore_case": False}
    assert manifest.generation.max_tokens == 5
    assert items[0]["item_id"] == "a"
    assert items[0]["messages"] == [{"role": "user", "content": "Obey: Say yes."}]
    assert report.notes == []


def test_each_file_of_a_zip_is_a_phase(tmp_path: Path) -> None:
    files = {"data/dev.jsonl": JSONL, "data/test set.csv": CSV, "README.md": "# Sums"}
    bundle, items, report = run(tmp_path, files, format="table", title="Sums")
    assert bundle.phases == [("dev", 2), ("test set", 2)]
    assert items[0][1]["input"] == items[1][1]["input"] == "2 + 2?"
    assert report.dropped == {"files": 1}


def test_one_file_may_be_two_phases(tmp_path: Path) -> None:
    phases = {"dev": "a.json", "test": "a.json"}
    bundle, _, _ = run(tmp_path, {"a.json": json.dumps(ROWS)}, format="table", phases=phases)
    assert bundle.phases == [("dev", 2), ("test", 2)]


@pytest.mark.parametrize(
    ("name", "data", "fields"),
    [
        ("quiz.jsonl", '{"question": "Sky?", "choices": ["blue", "green"], "answer": 0}\n', {}),
        ("quiz.csv", 'question,options,answer\nSky?,"[""blue"", ""green""]",A\n', {"choices": "options"}),
        ("quiz.csv", "question,A,B,C,answer\nSky?,blue,green,,A\n", {"choices": ["A", "B", "C"]}),
    ],
)
def test_choices_are_shown_by_letter_and_scored_by_choice(
    tmp_path: Path, name: str, data: str, fields: dict[str, Any]
) -> None:
    bundle, (items,), _ = run(tmp_path, {name: data}, format="table", fields=fields)
    assert bundle.manifest.scoring.scorer == "choice"
    assert items[0]["hints"] == {"choices": ["blue", "green"]}
    assert items[0]["messages"][0]["content"].splitlines() == [
        "Sky?",
        "",
        "A. blue",
        "B. green",
        "",
        "Answer with the letter of the right choice alone.",
    ]


def test_a_column_whose_name_is_no_name_in_a_template(tmp_path: Path) -> None:
    _, (items,), _ = run(
        tmp_path, {"a.csv": "The question,answer\nWhy?,so\n"}, format="table", fields={"input": "The question"}
    )
    assert items[0]["messages"][0]["content"] == "Why?"


def test_columns_that_are_numbered_are_a_header(tmp_path: Path) -> None:
    _, (items,), _ = run(tmp_path, {"a.csv": "0,1\nWhy?,4\n"}, format="table", fields={"input": "0", "target": "1"})
    assert (items[0]["messages"][0]["content"], items[0]["target"]) == ("Why?", "4")


@pytest.mark.parametrize(
    ("targets", "scorer"),
    [
        (["1,000", "-3.5", "$ 4", "12 %", "so #### 18"], "numeric"),
        (["1", "one"], "exact_match"),
        (["true", "false"], "exact_match"),
        (["12", "1/2/2026"], "exact_match"),
    ],
)
def test_the_scorer_is_guessed_from_every_target(tmp_path: Path, targets: list[str], scorer: str) -> None:
    rows = "".join(json.dumps({"input": "?", "target": target}) + "\n" for target in targets)
    bundle, _, _ = run(tmp_path, {"a.jsonl": rows}, format="table")
    assert bundle.manifest.scoring.scorer == scorer


WRONG: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "no table": ({"notes.txt": "hello"}, {}, r"notes\.txt: there is no table: send a file that ends in \.jsonl, \.csv"),
    "a table without rows": ({"a.csv": "question,answer\n"}, {}, r"^a\.csv: has no rows$"),
    "an empty file": ({"a.csv": ""}, {}, r"a\.csv: is empty"),
    "a bad line": ({"a.jsonl": JSONL + "{nope\n"}, {}, r"^a\.jsonl\.3: line 3: is not JSON"),
    "a bad row of CSV": ({"a.csv": "a,b\n1,2\n3\n"}, {}, r"^a\.csv\.3: line 3: has 1 cells; the header has 2"),
    "broken JSON": ({"a.json": '[{"question": 1},\n{]'}, {}, r"^a\.json: line 2, column 2: is not JSON"),
    "JSON without rows": ({"a.json": '{"question": 1}'}, {}, r"^a\.json\.1: row 1: is not an object; the file must be an array"),
    "JSON of texts": ({"a.json": '["a"]'}, {}, r"^a\.json\.1: .*must be an array of objects"),
    "no header": ({"a.csv": "1,2.5\n3,4\n"}, {}, r"^a\.csv\.1: line 1: is all numbers, as if it were a row already"),
    "no Parquet": ({"a.parquet": b"PAR1 no"}, {}, r"^a\.parquet: is not readable as Parquet"),
    "an unknown column": (
        {"a.jsonl": JSONL},
        {"fields": {"input": "qestion"}},
        r"^import\.fields\.input: there is no column 'qestion'; did you mean 'question'\? The columns are answer, question$",
    ),
    "an unknown column of choices": (
        {"a.jsonl": JSONL},
        {"fields": {"choices": ["question", "B"]}},
        r"^import\.fields\.choices: there is no column 'B'",
    ),
    "no column that may be the input": (
        {"a.csv": "one,answer\n1,2\n"},
        {},
        r"^import\.fields\.input: is needed: which column is the question: the columns are one, answer$",
    ),
    "no column that may be the target": (
        {"a.csv": "question,two\n1,2\n"},
        {},
        r"^import\.fields\.target: is needed: which column is the answer:",
    ),
    "choices that are no list": (
        {"a.csv": "question,choices,answer\nWhy?,so,A\n"},
        {},
        r"^a\.csv\.2\.choices: line 2: column 'choices' must hold a list of at least two texts",
    ),
    "a target that is empty, in a file that is written anew": (
        {"a.csv": 'question,choices,answer\nWhy?,"[""a"", ""b""]",A\n"How,\nthen?","[""a"", ""b""]",\n'},
        {},
        r"^a\.csv\.jsonl\.3\.answer: line 3: column 'answer' is empty",
    ),
    "a choice without choices": (
        {"a.jsonl": JSONL},
        {"scoring": "choice"},
        r"^import\.fields\.choices: is needed by the scorer 'choice'",
    ),
    "a phase of no file": (
        {"a.jsonl": JSONL},
        {"phases": {"dev": "b.jsonl"}},
        r"^import\.phases\.dev: there is no table 'b\.jsonl'; did you mean 'a\.jsonl'\?",
    ),
    "two files that would be one phase": (
        {"x/a.jsonl": JSONL, "y/a.jsonl": JSONL},
        {},
        r"^import\.phases: is needed: both x/a\.jsonl and y/a\.jsonl would be the phase 'a'",
    ),
    "a title without letters": ({"題.jsonl": JSONL}, {}, r"^import\.slug: is needed"),
    "a row without the target": (
        {"a.jsonl": JSONL + '{"question": "3?"}\n'},
        {},
        r"^a\.jsonl\.3\.answer: line 3: column 'answer' \(fields\.target\) is missing; the columns are question$",
    ),
    "a prompt of unknown names": (
        {"a.jsonl": JSONL},
        {"prompt": "{{ qestion }}"},
        r"^environment\.yaml\.prompt\.template: .*'qestion' is undefined; the columns are question, answer",
    ),
    # What the gateway says of the options.
    "an unknown format": ({"a.jsonl": JSONL}, {"format": "tabel"}, r"^import\.format: unknown format 'tabel'; did you mean 'table'\?"),
    "an unknown option": ({"a.jsonl": JSONL}, {"slugg": "x"}, r"^import\.slugg: unknown key 'slugg'; did you mean 'slug'\?"),
    "an unknown field": (
        {"a.jsonl": JSONL},
        {"fields": {"inputs": "question"}},
        r"^import\.fields\.inputs: unknown key 'inputs'; did you mean 'input'\?",
    ),
    "an unknown scorer": (
        {"a.jsonl": JSONL},
        {"scoring": "numerics"},
        r"^import\.scoring\.scorer: unknown scorer 'numerics'; did you mean 'numeric'\?",
    ),
    "a prompt of two forms": (
        {"a.jsonl": JSONL},
        {"prompt": {"template": "a", "messages": [{"role": "user", "content": "a"}]}},
        r"^import\.prompt: give (either|one of) ",
    ),
    "a bad slug": ({"a.jsonl": JSONL}, {"slug": "No Slug"}, r"^import\.slug: must be 1 to 63 lower-case letters"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    files, options, said = WRONG[case]
    found = told(tmp_path, files, **{"format": "table", **options})
    assert re.search(said, found), found
