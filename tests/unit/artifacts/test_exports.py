import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.artifacts.exports import (
    FILE_TYPES,
    DatasetWriter,
    DetailedResultsWriter,
    FileSetWriter,
    PredictionsWriter,
    RowWriter,
    first_miss,
    mean_scores,
)
from shared.jsontexts import to_json
from tests.unit.artifacts.rows import evaluation, item, metrics, result, without_answer, wrong

Row = tuple[dict[str, Any], Sequence[dict[str, Any]]]

ROWS: list[Row] = [
    (item(0), [result(0)]),
    (item(1), [wrong(1)]),
    (item(2), [without_answer(2, "no_answer")]),
    (item(3), [without_answer(3, "model_error", error="HTTP 400: too long", usage=None)]),
    (item(4), [without_answer(4, "infra_error", error="HTTP 503", attempts=5, latency_ms=None, ttft_ms=None)]),
]


def write(writer: RowWriter, rows: Sequence[Row]) -> None:
    for each, results in rows:
        writer.add(each, results)
    writer.close()


def predictions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    out = io.BytesIO()
    write(PredictionsWriter(out), rows)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def detailed(rows: Sequence[Row], **changes: Any) -> dict[str, Any]:
    out = io.BytesIO()
    write(DetailedResultsWriter(out, evaluation(**changes), metrics(duration_s=3.25)), rows)
    parsed: dict[str, Any] = json.loads(out.getvalue())
    return parsed


def dataset(rows: Sequence[Row]) -> list[dict[str, Any]]:
    out = io.BytesIO()
    write(DatasetWriter(out, "ev1"), rows)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def build(folder: Path, rows: Sequence[Row], **changes: Any) -> dict[str, bytes]:
    folder.mkdir()
    manifest = {"dataset": changes.pop("dataset", True)}
    files = FileSetWriter(folder, evaluation(**changes), manifest, metrics())
    for each, results in rows:
        files.add(each, results)
    return {name: path.read_bytes() for name, path in files.close().items()}


def test_predictions_have_a_line_a_sample_with_exactly_the_named_fields() -> None:
    rows = [(item(0), [result(0), wrong(0, 1)]), ROWS[3]]
    lines = predictions(rows)
    assert [(line["item_id"], line["sample"]) for line in lines] == [("q1", 0), ("q1", 1), ("q4", 0)]
    assert [list(line) for line in lines] == [
        [
            "item_id",
            "sample",
            "output",
            "outcome",
            "error",
            "finish_reason",
            "usage",
            "latency_ms",
            "ttft_ms",
            "attempts",
        ]
    ] * 3
    assert lines[0]["usage"] == {"prompt_tokens": 97, "completion_tokens": 46, "total_tokens": 143}
    assert lines[2] | {"usage": None, "error": "HTTP 400: too long", "outcome": "model_error"} == lines[2]


def test_usage_has_the_same_keys_in_the_same_order_whatever_order_they_are_stored_in() -> None:
    turned = result(0, usage={"total_tokens": 3, "completion_tokens": 2, "of_a_newer_version": 1})
    (line,) = predictions([(item(0), [turned])])
    assert list(line["usage"].items()) == [("prompt_tokens", None), ("completion_tokens", 2), ("total_tokens", 3)]


def test_detailed_results_have_what_was_compared() -> None:
    parsed = detailed(ROWS)
    assert list(parsed) == ["evaluation", "metrics", "items"]
    assert len(parsed["items"]) == len(ROWS)
    assert parsed["items"][1] == {
        "item_id": "q2",
        "input": "How much is 1 and 1?",
        "target": "2",
        "prediction": "0",
        "correct": False,
        "scores": {"accuracy": 0.0},
        "outcome": "scored",
    }


def test_detailed_results_leave_out_what_changes_between_rebuilds() -> None:
    parsed = detailed(ROWS)
    assert set(parsed["evaluation"]) == {
        "id",
        "number",
        "environment",
        "environment_version",
        "phase",
        "model",
        "model_name",
        "params",
        "limit",
        "samples_per_item",
        "round",
        "created_at",
    }
    assert parsed["metrics"] == metrics()


def test_detailed_results_of_several_samples_have_sample_0_and_means() -> None:
    samples = [wrong(0), result(0, 1), without_answer(0, "no_answer", 2), without_answer(0, "infra_error", 3)]
    (entry,) = detailed([(item(0), samples)], samples_per_item=4)["items"]
    assert (entry["prediction"], entry["correct"], entry["outcome"]) == ("0", False, "scored")
    assert entry["scores"] == {"accuracy": pytest.approx(1 / 3)}
    assert [(each["sample"], each["correct"], each["outcome"]) for each in entry["samples"]] == [
        (0, False, "scored"),
        (1, True, "scored"),
        (2, False, "no_answer"),
        (3, False, "infra_error"),
    ]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([without_answer(0, "infra_error")], {}),
        (
            [result(0, scores={"f1": 0.1}), result(0, 1, scores={"f1": 0.2}), result(0, 2, scores={"f1": 0.3})],
            {"f1": 0.2},
        ),
        ([result(0, scores={"b": 1.0, "a": 0.5}), result(0, 1, scores={"b": 0.0})], {"a": 0.25, "b": 0.5}),
    ],
)
def test_mean_scores_are_over_called_samples(results: list[dict[str, Any]], expected: dict[str, float]) -> None:
    means = mean_scores(results)
    assert means == pytest.approx(expected)
    assert list(means) == sorted(means)


def test_dataset_has_the_misses_with_the_gold_answer() -> None:
    lines = dataset(ROWS)
    assert [line["metadata"]["item_id"] for line in lines] == ["q2", "q3", "q4"]
    assert lines[0] == {
        "messages": [
            {"role": "system", "content": "Answer with a number."},
            {"role": "user", "content": "How much is 1 and 1?"},
            {"role": "assistant", "content": "It is one more.\n#### 2"},
        ],
        "metadata": {"evaluation": "ev1", "item_id": "q2", "rejected": "None."},
    }
    assert [line["metadata"]["rejected"] for line in lines[1:]] == ["", ""]


def test_dataset_has_one_line_for_an_item_missed_in_several_samples() -> None:
    samples = [
        result(0),
        without_answer(0, "infra_error", 1),
        wrong(0, 2, output="third"),
        wrong(0, 3, output="fourth"),
    ]
    (line,) = dataset([(item(0), samples)])
    assert line["metadata"]["rejected"] == "third"


def test_an_item_that_was_never_answered_or_always_right_is_no_miss() -> None:
    assert first_miss([without_answer(0, "infra_error"), result(0, 1)]) is None


def test_file_set_agrees_with_itself(tmp_path: Path) -> None:
    files = build(tmp_path / "a", ROWS)
    lines = [json.loads(line) for line in files["predictions.jsonl"].splitlines()]
    items = json.loads(files["detailed_results.json"])["items"]
    misses = [json.loads(line) for line in files["dataset.jsonl"].splitlines()]
    assert [line["item_id"] for line in lines] == [each["item_id"] for each in items] == ["q1", "q2", "q3", "q4", "q5"]
    assert [line["outcome"] for line in lines] == [each["outcome"] for each in items]
    assert [each["metadata"]["item_id"] for each in misses] == [
        each["item_id"] for each in items if not each["correct"] and each["outcome"] != "infra_error"
    ]
    assert files["detailed_results.html"].count(b"<tbody") == len(items)
    assert set(files) <= set(FILE_TYPES)


def test_file_set_is_the_same_on_every_rebuild(tmp_path: Path) -> None:
    first = build(tmp_path / "a", ROWS)
    moved_on = {"status": "completed", "finished_at": "2025-06-01T11:00:00Z", "files": [{"name": "x"}], "priority": 7}
    reordered = [
        (dict(reversed(each.items())), [dict(reversed(one.items())) for one in results]) for each, results in ROWS
    ]
    again = build(tmp_path / "b", reordered, **moved_on, params={"max_tokens": 512, "temperature": 0.0})
    assert first == again


def test_file_set_without_rows_is_valid(tmp_path: Path) -> None:
    files = build(tmp_path / "a", [])
    assert json.loads(files["detailed_results.json"])["items"] == []
    assert files["predictions.jsonl"] == files["dataset.jsonl"] == b""
    assert b"There are no test cases" in files["detailed_results.html"]


def test_file_set_has_no_dataset_where_the_manifest_says_so(tmp_path: Path) -> None:
    files = build(tmp_path / "a", ROWS, dataset=False)
    assert set(files) == {"predictions.jsonl", "detailed_results.json", "detailed_results.html"}
    assert not (tmp_path / "a" / "dataset.jsonl").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(item(1), [result(1)]), (item(0), [result(0)])], "'q1': index 0 after 1"),
        ([(item(0), [result(0)]), (item(0), [result(0)])], "'q1': index 0 after 0"),
        ([(item(0), [])], "'q1': expected one result of index 0 for each sample from 0 to 0"),
        ([(item(0), [result(0), result(0, 1)])], r"got \(index, sample\) \[\(0, 0\), \(0, 1\)\]"),
        ([(item(0), [result(1)])], r"got \(index, sample\) \[\(1, 0\)\]"),
    ],
)
def test_file_set_refuses_rows_that_would_make_wrong_files(tmp_path: Path, rows: list[Row], message: str) -> None:
    def write_all() -> None:
        with FileSetWriter(tmp_path, evaluation(), {}, metrics()) as files:
            for each, results in rows:
                files.add(each, results)

    with pytest.raises(ValueError, match=message):
        write_all()
    assert list(tmp_path.iterdir()) == []


def test_file_set_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "detailed_results.html").mkdir()
    with pytest.raises(IsADirectoryError):
        FileSetWriter(tmp_path, evaluation(), {}, metrics())
    assert [path.name for path in tmp_path.iterdir()] == ["detailed_results.html"]


HOSTILE = "<script>alert(1)</script>\x00\x1b[31m\u202eevil\u202c \ud800 \"'\\ \u2028 end\r\n"


def test_hostile_text_stays_text_on_one_line() -> None:
    answer = wrong(0, item_id=HOSTILE, output=HOSTILE, prediction=HOSTILE)
    rows = [(item(0, input=HOSTILE, item_id=HOSTILE, target=HOSTILE), [answer])]
    expected = HOSTILE.replace("\ud800", "\ufffd")
    (line,) = predictions(rows)
    assert (line["item_id"], line["output"]) == (expected, expected)
    (entry,) = detailed(rows)["items"]
    assert (entry["item_id"], entry["input"], entry["prediction"]) == (expected, expected, expected)
    (miss,) = dataset(rows)
    assert miss["messages"][-1]["content"] == miss["metadata"]["rejected"] == expected


def test_json_of_what_has_no_json() -> None:
    assert to_json({"a": float("nan"), "b": float("inf"), "\udfff": ["\ud83d", 0.1]}) == (
        b'{"a":null,"b":null,"\xef\xbf\xbd":["\xef\xbf\xbd",0.1]}'
    )
    with pytest.raises(orjson.JSONEncodeError):
        to_json({"a": object()})


def test_hidden_targets_stand_in_no_file_and_there_is_no_dataset(tmp_path: Path) -> None:
    gold = "zyzzyva"
    rows: list[Row] = [
        ({**item(0), "target": gold}, [{**wrong(0), "target": gold, "detail": f"it is {gold}"}]),
        ({**item(1), "target": gold}, [{**without_answer(1, "no_answer"), "target": gold}]),
    ]
    with FileSetWriter(tmp_path, evaluation(), {}, metrics(), hide_targets=True) as files:
        for each, results in rows:
            files.add(each, results)
        paths = files.close()
    assert sorted(paths) == ["detailed_results.html", "detailed_results.json", "predictions.jsonl"]
    for path in paths.values():
        assert gold not in path.read_text(), path.name
    assert [entry["target"] for entry in json.loads(paths["detailed_results.json"].read_text())["items"]] == [None] * 2
    assert "(hidden)" in paths["detailed_results.html"].read_text()
