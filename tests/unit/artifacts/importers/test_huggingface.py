"""Datasets of the Hub from their files, with presets and without."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.artifacts.bundles import Limits, read_bundle
from services.artifacts.importers.presets import PRESETS
from services.scorer.scorers import score
from shared.errors import FieldError
from shared.imports import HuggingFaceImport
from tests.e2e.test_gsm8k import MANIFEST
from tests.unit.artifacts.bundles import write_zip
from tests.unit.artifacts.importers import sources
from tests.unit.artifacts.importers.sources import Content, Import

MATHS = [{"question": f"What is {n} + {n}?", "answer": f"{n} + {n} = {2 * n}\n#### {2 * n}"} for n in range(1, 6)]
MMLU = [
    {"question": "2 + 2?", "subject": "elementary_mathematics", "choices": ["4", "2", "0", "1"], "answer": 0},
    {
        "question": "Largest planet?",
        "subject": "astronomy",
        "choices": ["Mars", "Venus", "Jupiter", "Earth"],
        "answer": 2,
    },
]
ARC = [
    {
        "id": "a1",
        "question": "What melts?",
        "choices": {"text": ["ice", "rock", "air"], "label": ["A", "B", "C"]},
        "answerKey": "A",
    },
    {
        "id": "a2",
        "question": "What flies?",
        "choices": {"text": ["rock", "owl"], "label": ["1", "2"]},
        "answerKey": "2",
    },
]
TRUTH = [
    {
        "question": "What happens if you crack your knuckles?",
        "mc1_targets": {"choices": ["Nothing much", "Arthritis", "They break"], "labels": [1, 0, 0]},
        "mc2_targets": {"choices": ["x"], "labels": [1]},
    }
]
FEW = {"preset": "gsm8k", "num_fewshot": 2}
TWO = {"choices": ["a", "b"], "labels": [1, 1]}
CODE = [
    {
        "task_id": "Own/0",
        "prompt": 'def double(x):\n    """Twice x."""\n',
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
        "entry_point": "double",
    }
]


def run(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> Import:
    return sources.run(tmp_path, files, format="huggingface", **options)


def refusal(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> FieldError:
    return sources.refusal(tmp_path, files, format="huggingface", **options)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def by_hand(tmp_path: Path, data: bytes) -> list[str]:
    """The hashes of the items of the bundle that somebody wrote for GSM8K."""
    archive = write_zip(tmp_path / "hand.zip", [("environment.yaml", MANIFEST.encode()), ("test.jsonl", data)])
    return read_bundle(archive, tmp_path / "hand", Limits()).items_sha256


@pytest.mark.parametrize("name", ["test.jsonl", "gsm8k/main/test-00000-of-00001.parquet"])
def test_gsm8k_is_what_one_would_write_by_hand(tmp_path: Path, name: str) -> None:
    data: Content = parquet(MATHS) if name.endswith(".parquet") else MATHS
    found = run(tmp_path, {name: data, "main/README.md": "# GSM8K"}, preset="gsm8k")
    assert found.bundle.items_sha256 == by_hand(tmp_path, "".join(json.dumps(row) + "\n" for row in MATHS).encode())
    assert (found.manifest["slug"], found.bundle.phases) == ("gsm8k", [("test", 5)])
    assert not found.report.comparable
    assert "Without examples; the usual number is 5 (num_fewshot)." in found.report.notes


def test_the_real_gsm8k_is_what_one_would_write_by_hand(tmp_path: Path, gsm8k: Path) -> None:
    found = run(tmp_path, {"test.jsonl": gsm8k.read_bytes()}, preset="gsm8k")
    assert found.bundle.items_sha256 == by_hand(tmp_path, gsm8k.read_bytes())
    assert found.bundle.phases == [("test", 1319)]


def test_examples_are_turns_of_the_chat(tmp_path: Path) -> None:
    found = run(tmp_path, {"train.jsonl": MATHS[:3], "test.jsonl": MATHS[3:]}, preset="gsm8k", num_fewshot=2)
    ask = "Solve this problem. End with the answer as a number.\n\n"
    assert found.items[0]["messages"] == [
        {"role": "user", "content": f"{ask}What is 1 + 1?"},
        {"role": "assistant", "content": "1 + 1 = 2\n#### 2"},
        {"role": "user", "content": f"{ask}What is 2 + 2?"},
        {"role": "assistant", "content": "2 + 2 = 4\n#### 4"},
        {"role": "user", "content": f"{ask}What is 4 + 4?"},
    ]
    assert found.items[0]["metadata"] == {}


def test_mmlu(tmp_path: Path) -> None:
    found = run(tmp_path, {"all/test.parquet": parquet(MMLU)}, preset="mmlu")
    assert found.items[0]["messages"][0]["content"] == (
        "This is a question about elementary mathematics.\n\n2 + 2?\n\nA. 4\nB. 2\nC. 0\nD. 1\n\n"
        "Answer with the letter of the right choice."
    )
    assert [(item["target"], item["hints"]["choices"]) for item in found.items] == [
        ("A", MMLU[0]["choices"]),
        ("C", MMLU[1]["choices"]),
    ]
    assert score("It's A.", "A", found.bundle.manifest.scoring, found.items[0]["hints"]).correct


def test_mmlu_s_examples_are_of_the_same_subject(tmp_path: Path) -> None:
    dev = [row | {"question": f"{row['question']} ({n})"} for n in range(3) for row in MMLU]
    found = run(tmp_path, {"test.jsonl": MMLU, "dev.jsonl": dev}, preset="mmlu", num_fewshot=2)
    asked = [[message["content"].splitlines()[2] for message in item["messages"][::2]] for item in found.items]
    assert asked == [
        ["2 + 2? (0)", "2 + 2? (1)", "2 + 2?"],
        ["Largest planet? (0)", "Largest planet? (1)", "Largest planet?"],
    ]
    assert [message["content"] for message in found.items[1]["messages"][1::2]] == ["C", "C"]


@pytest.mark.parametrize("preset", ["arc_easy", "arc_challenge"])
def test_arc(tmp_path: Path, preset: str) -> None:
    found = run(tmp_path, {"ARC-Easy/test.jsonl": ARC, "ARC-Challenge/test.jsonl": ARC}, preset=preset)
    assert found.column("item_id") == ["a1", "a2"]
    assert [(item["target"], item["hints"]["choices"]) for item in found.items] == [
        ("A", ["ice", "rock", "air"]),
        ("B", ["rock", "owl"]),
    ]
    assert "log-likelihoods" in found.report.comparable_why


def test_truthfulqa_does_not_always_put_the_right_one_first(tmp_path: Path) -> None:
    rows = [TRUTH[0] | {"question": f"Question {n}?"} for n in range(20)]
    found = run(tmp_path / "one", {"validation.jsonl": rows}, preset="truthfulqa_mc1")
    assert {item["target"] for item in found.items} == {"A", "B", "C"}
    for item in found.items:
        assert item["hints"]["choices"]["ABC".index(item["target"])] == "Nothing much"
    assert (
        run(tmp_path / "again", {"validation.jsonl": rows}, preset="truthfulqa_mc1").bundle.version
        == found.bundle.version
    )


def test_humaneval(tmp_path: Path) -> None:
    found = run(tmp_path, {"test.jsonl": CODE}, preset="humaneval")
    assert found.manifest["scoring"] == {"scorer": "code", "prompt": "prompt"}
    assert (found.items[0]["item_id"], found.items[0]["target"]) == ("Own/0", "    return 2 * x\n")
    assert found.items[0]["hints"] == {key: CODE[0][key] for key in ("test", "entry_point", "prompt")}
    assert found.items[0]["messages"][0]["content"].endswith('```python\ndef double(x):\n    """Twice x."""\n\n```')
    assert found.report.comparable


def test_every_preset_can_be_asked_for_and_is_in_the_docs() -> None:
    offered = HuggingFaceImport.model_json_schema()["properties"]["preset"]["anyOf"][0]["enum"]
    assert offered == list(PRESETS)
    docs = (Path(__file__).parents[4] / "docs" / "importing.md").read_text()
    assert [name for name in offered if f"`{name}`" not in docs] == []


def test_any_other_dataset_is_a_table(tmp_path: Path) -> None:
    rows = [{"q": "1 + 1?", "a": 2}, {"q": "2 + 2?", "a": 4}]
    files = {"data/train-00000-of-00001.parquet": parquet(rows), "data/test-00000-of-00002.parquet": parquet(rows[:1])}
    files["data/test-00001-of-00002.parquet"] = parquet(rows[1:])
    found = run(
        tmp_path / "one", files, fields={"input": "q", "target": "a"}, title="Sums", generation={"max_tokens": 9}
    )
    assert found.bundle.phases == [("test", 2)]
    assert (found.column("input"), found.column("target")) == (["1 + 1?", "2 + 2?"], ["2", "4"])
    assert found.manifest["generation"] == {"max_tokens": 9}
    other = run(
        tmp_path / "two",
        files,
        split="train",
        dataset="me/sums",
        fields={"input": "q", "target": "a"},
        scoring="contains",
    )
    assert (other.manifest["title"], other.bundle.phases) == ("sums", [("train", 2)])
    assert other.manifest["scoring"] == {"scorer": "contains"}


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_other_names_of_a_split(tmp_path: Path, name: str) -> None:
    found = run(tmp_path, {f"{name}.jsonl": TRUTH, "train.jsonl": MATHS}, preset="truthfulqa_mc1")
    assert found.bundle.phases == [("validation", 1)]


@pytest.mark.parametrize(
    ("files", "options", "loc", "message"),
    [
        ({"a.txt": "x"}, {"preset": "gsm8k"}, ["source"], "has no data files"),
        ({"a.jsonl": MATHS, "b.jsonl": MATHS}, {"preset": "gsm8k"}, ["import", "split"], "named after the split 'test'; there are: a.jsonl, b.jsonl"),
        ({"a.jsonl": MATHS, "b.jsonl": MATHS}, {}, ["import", "split"], "which of these is evaluated? a.jsonl, b.jsonl"),
        ({"test.jsonl": MATHS}, {"preset": "gsm8k", "scoring": "contains"}, ["import", "scoring"], "does not go with a preset"),
        ({"test.jsonl": MATHS}, {"num_fewshot": 2}, ["import", "num_fewshot"], "needs a preset"),
        ({"test.jsonl": MATHS}, FEW, ["import", "fewshot_split"], "train has no file"),
        ({"test.jsonl": MATHS}, FEW | {"fewshot_split": "test"}, ["import", "fewshot_split"], "test is the split that is evaluated"),
        ({"test.jsonl": MATHS, "train.jsonl": MATHS}, {"preset": "gsm8k", "num_fewshot": 6}, ["import", "num_fewshot"], "is 6, and train has 5 rows"),
        ({"test.jsonl": CODE}, {"preset": "humaneval", "num_fewshot": 1}, ["import", "num_fewshot"], "is 0 for this preset"),
        ({"test.jsonl": "{"}, {"preset": "gsm8k"}, ["test.jsonl", 1], "is not JSON"),
        ({"test.jsonl": ""}, {"preset": "gsm8k"}, ["test.jsonl"], "has no rows"),
        ({"test.jsonl": MATHS[:1]}, {"preset": "humaneval"}, ["test.jsonl", 1, "task_id"], "column 'task_id' is missing; the columns are question,"),
        ({"test.jsonl": [MMLU[0] | {"answer": 4}]}, {"preset": "mmlu"}, ["test.jsonl", 1, "answer"], "is 4; the choices are 0 to 3"),
        ({"test.jsonl": [MMLU[0] | {"answer": "E"}]}, {"preset": "mmlu"}, ["test.jsonl", 1, "answer"], "is -1; the choices are 0 to 3"),
        ({"test.jsonl": [MMLU[0] | {"choices": "4"}]}, {"preset": "mmlu"}, ["test.jsonl", 1, "choices"], "must hold a list of 2 to 26 texts"),
        ({"test.jsonl": [ARC[0] | {"answerKey": "9"}]}, {"preset": "arc_easy"}, ["test.jsonl", 1, "answerKey"], "holds '9'; the labels are A, B, C"),
        ({"test.jsonl": [ARC[0] | {"choices": ["x"]}]}, {"preset": "arc_easy"}, ["test.jsonl", 1, "choices"], 'must hold {"text"'),
        ({"a.jsonl": [{"question": "?", "mc1_targets": TWO}]}, {"preset": "truthfulqa_mc1"}, ["a.jsonl", 1, "mc1_targets"], "with one label 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported(
    tmp_path: Path, files: dict[str, Content], options: dict[str, Any], loc: list[str | int], message: str
) -> None:
    found = refusal(tmp_path, files, **options)
    assert (found["loc"], message in found["msg"]) == (loc, True), found
