"""Bundles as a whole: what is read from good ones, and what is said of bad ones."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from services.artifacts.bundles import Bundle, Limits, read_bundle
from shared.errors import FieldError, Invalid, TooLarge
from tests.unit.artifacts.test_unpacking import write_zip

ROOT = Path(__file__).parents[3]
ITEMS = '{"id": "a", "question": "1 + 1?", "answer": 2, "kind": "sum"}\n'


def manifest(**changes: Any) -> dict[str, Any]:
    """A good manifest over `dev.jsonl`."""
    return {
        "slug": "sums",
        "title": "Sums",
        "prompt": {"system": "Be brief.", "template": "Q: {{ question }}"},
        "phases": [phase()],
        "scoring": {"scorer": "numeric"},
    } | changes


def phase(**changes: Any) -> dict[str, Any]:
    fields = {"id": "id", "input": "question", "target": "answer"}
    return {"name": "dev", "data": "dev.jsonl", "fields": fields} | changes


def make(tmp_path: Path, text: str | dict[str, Any], **files: str | bytes) -> Path:
    """A zip with the manifest and `files`, whose names have `__` for a dot; with none, `dev.jsonl` with one item."""
    tmp_path.mkdir(exist_ok=True)
    entries = [("environment.yaml", (text if isinstance(text, str) else yaml.safe_dump(text)).encode())]
    for name, content in (files or {"dev__jsonl": ITEMS}).items():
        entries.append((name.replace("__", "."), content.encode() if isinstance(content, str) else content))
    return write_zip(tmp_path / "bundle.zip", entries)


def read(
    tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes
) -> tuple[Bundle, list[dict[str, Any]]]:
    """The bundle, and the first phase's items."""
    bundle = read_bundle(make(tmp_path, text, **files), tmp_path / "out", limits)
    lines = (tmp_path / "out/items-0.jsonl").read_text().splitlines()
    return bundle, [json.loads(line) for line in lines]


def errors(
    tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes
) -> list[FieldError]:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, text, limits, **files)
    assert caught.value.detail.startswith("bundle has ")
    return caught.value.errors


def error(tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes) -> FieldError:
    (only,) = errors(tmp_path, text, limits, **files)
    return only


# Good ones


def test_a_good_bundle(tmp_path: Path) -> None:
    text = manifest(overview="about.md")
    bundle, items = read(tmp_path, text, about__md="# Sums", dev__jsonl=ITEMS, notes__txt="")
    assert bundle.phases == [("dev", 1)]
    assert bundle.overview == "# Sums"
    assert bundle.manifest.slug == "sums"
    assert bundle.warnings == ["notes.txt: nothing in environment.yaml refers to it"]
    assert items == [
        {
            "index": 0,
            "item_id": "a",
            "input": "1 + 1?",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q: 1 + 1?"}],
            "target": "2",
            "hints": {},
            "metadata": {"kind": "sum"},
        }
    ]


def test_a_bundle_survives_the_way_through_json(tmp_path: Path) -> None:
    text = manifest(phases=[phase(start="2025-01-01T00:00:00+02:00")], generation={"stop": ["\n"], "top_k": 5})
    bundle, _ = read(tmp_path, text)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.as_dict()))) == bundle


def test_the_sample_environment_reads(tmp_path: Path) -> None:
    folder = ROOT / "environments" / "word-problems"
    files = [(file.name, file.read_bytes()) for file in folder.iterdir()]
    archive = write_zip(tmp_path / "bundle.zip", files)
    bundle = read_bundle(archive, tmp_path / "out", Limits())
    assert [name for name, items in bundle.phases if items] == [phase.name for phase in bundle.manifest.phases]
    for index, (_, items) in enumerate(bundle.phases):
        assert len((tmp_path / f"out/items-{index}.jsonl").read_text().splitlines()) == items


def test_the_order_within_the_zip_does_not_change_the_version(tmp_path: Path) -> None:
    files = [("environment.yaml", yaml.safe_dump(manifest()).encode()), ("dev.jsonl", ITEMS.encode())]
    versions = {
        read_bundle(write_zip(tmp_path / f"{n}.zip", order), tmp_path / f"out{n}", Limits()).version
        for n, order in enumerate((files, files[::-1], [(f"top/{name}", content) for name, content in files]))
    }
    assert len(versions) == 1


def test_csv(tmp_path: Path) -> None:
    _, items = read(tmp_path, manifest(phases=[phase(data="dev.csv")]), dev__csv='id,question,answer\nx,"1, 2?",3\n')
    assert (items[0]["item_id"], items[0]["input"], items[0]["target"]) == ("x", "1, 2?", "3")


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"id": [7], "question": ["1 + 1?"], "answer": [2.0], "tags": [["a"]]})
    pq.write_table(table, tmp_path / "dev.parquet")
    data = (tmp_path / "dev.parquet").read_bytes()
    _, items = read(tmp_path, manifest(phases=[phase(data="dev.parquet")]), dev__parquet=data)
    assert (items[0]["item_id"], items[0]["target"], items[0]["metadata"]) == ("7", "2", {"tags": ["a"]})


def test_without_an_id_column_items_are_numbered_from_1(tmp_path: Path) -> None:
    text = manifest(phases=[phase(fields={"input": "question", "target": "answer"})])
    _, items = read(tmp_path, text, dev__jsonl=ITEMS + "\n" + ITEMS)
    assert [(item["index"], item["item_id"]) for item in items] == [(0, "1"), (1, "2")]


def test_a_chat_as_input_and_the_fields_in_the_template(tmp_path: Path) -> None:
    prompt = {"messages": [{"role": "user", "content": "{{ input[0].content }} ({{ id }})"}]}
    line = {"id": 1, "question": [{"role": "user", "content": "Hi"}], "answer": "x"}
    _, items = read(tmp_path, manifest(prompt=prompt), dev__jsonl=json.dumps(line))
    assert items[0]["messages"] == [{"role": "user", "content": "Hi (1)"}]
    assert json.loads(items[0]["input"]) == line["question"]


def test_choices_are_hints_and_not_metadata(tmp_path: Path) -> None:
    text = manifest(scoring={"scorer": "choice", "choices": "options"})
    line = '{"id": 1, "question": "?", "answer": 0, "options": ["yes", "no"]}'
    _, items = read(tmp_path, text, dev__jsonl=line)
    assert (items[0]["hints"], items[0]["metadata"], items[0]["target"]) == ({"options": ["yes", "no"]}, {}, "0")
    wrong = error(tmp_path / "wrong", text, dev__jsonl=line.replace('"yes", ', ""))
    assert wrong["loc"] == ["dev.jsonl", 1, "options"]
    assert "list of at least two texts" in wrong["msg"]


def test_aliases_in_the_manifest_are_fine(tmp_path: Path) -> None:
    text = """
slug: sums
title: Sums
prompt: {template: "{{ question }}"}
phases:
  - {name: one, data: dev.jsonl, fields: &fields {input: question, target: answer}}
  - {name: two, data: dev.jsonl, fields: {<<: *fields, id: id}}
scoring: {scorer: numeric}
"""
    bundle, _ = read(tmp_path, text)
    assert bundle.phases == [("one", 1), ("two", 1)]
    assert bundle.manifest.phases[1].fields.id == "id"


# The manifest

GOOD = yaml.safe_dump(manifest(), sort_keys=False)


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("slug: [a\ntitle: b\n", "line 2, column 6: expected ',' or ']', but got ':'"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("\tslug: a", "line 1, column 1: found character '\\t' that cannot start any token"),
        ("- a", "is not YAML: it must be a mapping with slug, title, prompt, phases and scoring"),
        ("", "is not YAML: it must be a mapping with slug, title, prompt, phases and scoring"),
        ("slug: a\nslug: b", "line 2, column 1: the key 'slug' is given twice"),
        ("slug: a\n5: b", "line 2, column 1: a key must be text; put it in quotes"),
        ("slug: .inf", "line 1, column 7: a number must be finite"),
        ('slug: "\\ud800"', "line 1, column 7: half of a surrogate pair is not Unicode text"),
        ('"\\ud800": a', "line 1, column 1: half of a surrogate pair is not Unicode text"),
        ("slug: 2025-13-45", "is not YAML: a value does not fit its type: month must be in 1..12"),
        ("slug: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &a [*a]", "nested deeper than 64 levels, or within itself"),
        ("a: " + "[" * 5000, "is nested deeper than 64 levels"),
        ("a: 1\n---\nb: 1", "but found another document"),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, msg: str) -> None:
    found = error(tmp_path, text)
    assert found["loc"] == ["environment.yaml"]
    assert msg in found["msg"]


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    text = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "more than 100,000 values" in error(tmp_path, text)["msg"]


def test_a_manifest_that_is_not_utf8(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [("environment.yaml", b"title: \xff")])
    with pytest.raises(Invalid, match="is not UTF-8: byte 0xff at position 8"):
        read_bundle(archive, tmp_path / "out", Limits())


@pytest.mark.parametrize(
    ("old", "new", "loc", "msg"),
    [
        (
            "title: Sums\n",
            "titel: Sums\ntitle: Sums\n",
            ["titel"],
            "line 2: unknown key 'titel'; did you mean 'title'?",
        ),
        (
            "numeric",
            "numeric\n  tolerence: 1",
            ["scoring", "tolerence"],
            "line 15: unknown key 'tolerence'; did you mean 'tolerance'? The keys here are scorer, tolerance",
        ),
        (
            "    id: id",
            "    colour: id",
            ["phases", 0, "fields", "colour"],
            "line 10: unknown key 'colour'; the keys here are id, input, target",
        ),
        ("numeric", "numerik", ["scoring", "scorer"], "line 14: unknown scorer 'numerik'; did you mean 'numeric'?"),
        ("scorer: numeric", "{}", ["scoring", "scorer"], "line 13: scorer is missing; scorer is one of choice,"),
        ("title: Sums\n", "", ["title"], "title is missing"),
        ("    target: answer\n", "    target: [a]\n", ["phases", 0, "fields", "target"], "line 12: Input should be a"),
        ("slug: sums", "slug: My Sums", ["slug"], "line 1: String should match pattern"),
        ("slug: sums", "generation: {stop: 5}\nslug: sums", ["generation", "stop"], "should be a valid list"),
        ("system: Be", "messages: []\n  system: Be", ["prompt", "messages"], "line 4: List should have at least 1"),
    ],
)
def test_what_does_not_fit_the_manifest(tmp_path: Path, old: str, new: str, loc: list[Any], msg: str) -> None:
    assert old in GOOD
    found = error(tmp_path, GOOD.replace(old, new))
    assert found["loc"] == ["environment.yaml", *loc]
    assert msg in found["msg"]


def test_all_errors_of_a_manifest_are_said_at_once(tmp_path: Path) -> None:
    found = errors(tmp_path, manifest(slug="A B", scoring={"scorer": "nope"}, more=1))
    assert [one["loc"][1] for one in found] == ["slug", "scoring", "more"]


# Files


def test_a_missing_data_file_is_named_and_other_phases_are_read(tmp_path: Path) -> None:
    phases = [phase(name="test", data="tests.jsonl"), phase()]
    found = errors(tmp_path, manifest(phases=phases), dev__jsonl="{", test__jsonl=ITEMS)
    assert found[0]["loc"] == ["environment.yaml", "phases", 0, "data"]
    assert found[0]["msg"] == (
        "there is no file 'tests.jsonl' in the bundle; did you mean 'test.jsonl'? The bundle has dev.jsonl, test.jsonl"
    )
    assert found[1]["loc"] == ["dev.jsonl", 1]


@pytest.mark.parametrize("name", ["/etc/passwd", "../bundle.zip", "../../bundle.zip"])
def test_only_files_of_the_bundle_are_read(tmp_path: Path, name: str) -> None:
    assert "there is no file" in error(tmp_path, manifest(overview=name))["msg"]
    assert "there is no file" in error(tmp_path / "data", manifest(phases=[phase(data=name)]))["msg"]


def test_the_overview(tmp_path: Path) -> None:
    assert error(tmp_path, manifest(overview="a.md"))["loc"] == ["environment.yaml", "overview"]
    for number, (content, msg) in enumerate([(b"\xff", "is not UTF-8"), (b"x" * 101, "is larger than 100 bytes")]):
        folder = tmp_path / str(number)
        limits = Limits(max_overview_bytes=100)
        found = error(folder, manifest(overview="a.md"), limits, a__md=content, dev__jsonl=ITEMS)
        assert found["loc"] == ["a.md"]
        assert msg in found["msg"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_phase_without_items(tmp_path: Path, content: str) -> None:
    assert error(tmp_path, manifest(), dev__jsonl=content) == {"loc": ["dev.jsonl"], "msg": "has no items"}


# Items


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    found = error(tmp_path, manifest(), dev__jsonl=ITEMS + "\nnope\n" + ITEMS.replace('"a"', '"b"'))
    assert found == {"loc": ["dev.jsonl", 3], "msg": "line 3: is not JSON: Expecting value at column 1"}


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    found = error(tmp_path, manifest(), dev__jsonl=ITEMS + '{"id": "b", "question": "?"}')
    assert found["loc"] == ["dev.jsonl", 2, "answer"]
    assert found["msg"] == "line 2: column 'answer' (fields.target) is missing; the columns are id, question"


def test_a_column_that_every_row_lacks_leaves_room_for_other_errors(tmp_path: Path) -> None:
    data = "id,question\n" + "".join(f"{n},?\n" for n in range(100)) + "1,?,!\n"
    found = errors(tmp_path, manifest(phases=[phase(data="dev.csv")]), dev__csv=data)
    assert [one["loc"] for one in found] == [*(["dev.csv", n, "answer"] for n in (2, 3, 4)), ["dev.csv", 102]]


def test_ids_differ_within_a_phase(tmp_path: Path) -> None:
    data = ITEMS + ITEMS.replace('"a"', "7") + ITEMS.replace('"a"', '"7"')
    found = error(tmp_path, manifest(), dev__jsonl=data)
    assert found["loc"] == ["dev.jsonl", 3, "id"]
    assert found["msg"] == "line 3: the id '7' is that of line 2 too; ids must differ within a phase"


@pytest.mark.parametrize(
    ("old", "new", "column", "msg"),
    [
        ('"a"', '""', "id", "column 'id' is empty"),
        ('"a"', f'"{"x" * 257}"', "id", "column 'id' has 257 characters; an id has at most 256"),
        ("2", "[2]", "answer", "column 'answer' holds a list; a text, a number, true or false is needed"),
        ("2", "null", "answer", "column 'answer' holds null; a text, a number, true or false is needed"),
        ('"1 + 1?"', '{"a": 1}', "question", "column 'question' holds an object"),
        ('"1 + 1?"', "[1]", "question", "column 'question' holds a list that is no chat"),
    ],
)
def test_values_that_are_refused(tmp_path: Path, old: str, new: str, column: str, msg: str) -> None:
    found = error(tmp_path, manifest(), dev__jsonl=ITEMS.replace(old, new, 1))
    assert found["loc"] == ["dev.jsonl", 1, column]
    assert msg in found["msg"]


def test_twenty_errors_are_enough(tmp_path: Path) -> None:
    found = errors(tmp_path, manifest(), dev__jsonl="nope\n" * 1000)
    assert [one["loc"] for one in found] == [*(["dev.jsonl", n] for n in range(1, 21)), ["dev.jsonl"]]
    assert found[-1]["msg"] == "... and more"


def test_messages_are_bounded(tmp_path: Path) -> None:
    found = error(tmp_path, manifest(), dev__jsonl=json.dumps({"x" * 10_000: 1, "id": 1, "question": "?"}))
    assert len(found["msg"]) < 2100


# Prompts


def test_an_undefined_name_is_said_once_with_the_columns(tmp_path: Path) -> None:
    found = error(tmp_path, manifest(prompt={"template": "{{ q }}"}), dev__jsonl=ITEMS + ITEMS.replace('"a"', '"b"'))
    assert found["loc"] == ["environment.yaml", "prompt", "template"]
    assert found["msg"] == (
        "line 1: 'q' is undefined; the columns are id, question, answer, kind (with dev.jsonl, line 1)"
    )


def test_an_endless_template_is_ended(tmp_path: Path) -> None:
    loop = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
    data = ITEMS + ITEMS.replace('"a"', '"b"')
    found = error(tmp_path, manifest(prompt={"template": loop}), Limits(render_s=0.2), dev__jsonl=data)
    assert found["msg"].startswith("takes more than 0.2 s for one item")


def test_a_template_with_a_syntax_error_does_not_hide_errors_in_the_data(tmp_path: Path) -> None:
    prompt = {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "a\n{% endif %}"}]}
    found = errors(tmp_path, manifest(prompt=prompt), dev__jsonl="nope")
    assert found[0]["loc"] == ["environment.yaml", "prompt", "messages", 1, "content"]
    assert found[0]["msg"].startswith("line 2: Encountered unknown tag 'endif'")
    assert found[1]["loc"] == ["dev.jsonl", 1]


# Sizes


def test_an_item_must_fit_a_message(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "question": "x", "answer": "y" * 2000, "more": "z" * 2000})
    found = error(tmp_path, manifest(), Limits(max_job_bytes=1000), dev__jsonl=line)
    assert found["loc"] == ["dev.jsonl", 1]
    assert "at most 1,000 fit a message" in found["msg"]
    bundle, _ = read(tmp_path / "fits", manifest(), Limits(max_job_bytes=3000), dev__jsonl=line)
    assert bundle.phases == [("dev", 1)]
    assert "at most 4,000" in error(tmp_path / "whole", manifest(), Limits(max_item_bytes=4000), dev__jsonl=line)["msg"]


def test_the_number_of_items_is_bounded(tmp_path: Path) -> None:
    fields = {"input": "question", "target": "answer"}
    text = manifest(phases=[phase(fields=fields)])
    bundle, _ = read(tmp_path, text, Limits(max_items=3), dev__jsonl=ITEMS * 3)
    assert bundle.phases == [("dev", 3)]
    found = error(tmp_path / "more", text, Limits(max_items=3), dev__jsonl=ITEMS * 4)
    assert found == {"loc": ["dev.jsonl"], "msg": "has more than 3 items"}


def test_what_is_too_large_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="bundle is larger than 10 bytes"):
        read(tmp_path, manifest(), Limits(max_archive_bytes=10))
    with pytest.raises(TooLarge, match="bundle unpacks to more than 10 bytes"):
        read(tmp_path, manifest(), Limits(max_unpacked_bytes=10))
    with pytest.raises(TooLarge, match="items with their prompts are larger than 10 bytes"):
        read(tmp_path / "items", manifest(), Limits(max_items_bytes=10))
    found = error(tmp_path / "manifest", manifest(), Limits(max_manifest_bytes=10))
    assert found == {"loc": ["environment.yaml"], "msg": "is larger than 10 bytes"}
