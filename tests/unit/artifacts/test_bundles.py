"""Bundles as a whole: what is read from good ones, and what is said of bad ones."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from services.artifacts.bundles import Bundle, Limits, read_bundle
from shared.errors import TooLarge
from tests.unit.artifacts.bundles import ITEMS, error, errors, manifest, phase, read, write_zip

ROOT = Path(__file__).parents[3]
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
            "line": 1,
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
    assert [(item["index"], item["line"], item["item_id"]) for item in items] == [(0, 1, "1"), (1, 3, "2")]


def test_an_items_own_chat_is_its_messages(tmp_path: Path) -> None:
    text = manifest(prompt={"chat": "question"})
    chat = [{"role": "system", "content": "{{ no template }}"}, {"role": "user", "content": "1 + 1?", "name": "x"}]
    lines = "".join(json.dumps({"id": n, "question": q, "answer": 2}) + "\n" for n, q in enumerate((chat, chat[1:])))
    _, items = read(tmp_path, text, dev__jsonl=lines)
    assert items[0]["messages"] == [chat[0], {"role": "user", "content": "1 + 1?"}]
    assert items[1]["messages"] == [{"role": "user", "content": "1 + 1?"}]


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ("1 + 1?", "must hold a list of chat messages"),
        ([], "must hold a list of chat messages"),
        ([{"role": "user", "content": ["x"]}], "message 1 is not of the form"),
        ([{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}], "the role 'tool' in message 2"),
        ([{"role": "user", "content": " "}], "no text at all"),
    ],
)
def test_a_column_that_holds_no_chat(tmp_path: Path, chat: object, message: str) -> None:
    line = json.dumps({"id": 1, "question": "q", "chat": chat, "answer": 2})
    found = error(tmp_path, manifest(prompt={"chat": "chat"}), dev__jsonl=line)
    assert (found["loc"], message in found["msg"]) == (["dev.jsonl", 1, "chat"], True)


def test_references_are_hints(tmp_path: Path) -> None:
    text = manifest(scoring={"scorer": "exact_match", "references": "also"})
    values = [["two", 2], '["zwei"]', "deux", None]
    lines = "".join(json.dumps({"id": n, "question": "q", "answer": 2, "also": v}) + "\n" for n, v in enumerate(values))
    _, items = read(tmp_path, text, dev__jsonl=lines)
    assert [item["hints"]["also"] for item in items] == [["two", "2"], ["zwei"], ["deux"], []]


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


# Files


def test_a_missing_data_file_is_named_and_other_phases_are_read(tmp_path: Path) -> None:
    phases = [phase(name="test", data="tests.jsonl"), phase()]
    found = errors(tmp_path, manifest(phases=phases), dev__jsonl="{", test__jsonl=ITEMS)
    assert found[0]["loc"] == ["environment.yaml", "phases", 0, "data"]
    assert found[0]["msg"] == (
        "line 2: there is no file 'tests.jsonl' in the bundle; did you mean 'test.jsonl'? The bundle has dev.jsonl, test.jsonl"
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
    assert found == {
        "loc": ["dev.jsonl", 3],
        "msg": "line 3: is not JSON: Expecting value at column 1",
        "text": "nope",
    }


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
        "line 9: line 1 of the template: 'q' is undefined; "
        "the columns are id, question, answer, kind (with dev.jsonl, line 1)"
    )
    assert found["text"] == "template: '{{ q }}'"


def test_an_endless_template_is_ended(tmp_path: Path) -> None:
    loop = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
    data = ITEMS + ITEMS.replace('"a"', '"b"')
    found = error(tmp_path, manifest(prompt={"template": loop}), Limits(render_s=0.2), dev__jsonl=data)
    assert found["msg"].startswith("line 9: takes more than 0.2 s for one item")


def test_a_template_with_a_syntax_error_does_not_hide_errors_in_the_data(tmp_path: Path) -> None:
    prompt = {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "a\n{% endif %}"}]}
    found = errors(tmp_path, manifest(prompt=prompt), dev__jsonl="nope")
    assert found[0]["loc"] == ["environment.yaml", "prompt", "messages", 1, "content"]
    assert found[0]["msg"].startswith("line 12: line 2 of the template: Encountered unknown tag 'endif'")
    assert found[1]["loc"] == ["dev.jsonl", 1]


# Sizes


def test_an_item_must_fit_a_message(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "question": "x", "answer": "y" * 2000, "more": "z" * 2000})
    found = error(tmp_path, manifest(), Limits(max_job_bytes=1000), dev__jsonl=line)
    assert found["loc"] == ["dev.jsonl", 1]
    assert "at most 1,000 are taken" in found["msg"]
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
