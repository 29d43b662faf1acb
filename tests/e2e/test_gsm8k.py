"""GSM8K as an environment, three models at once: every number agrees with the endpoint's own count of right answers."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.api import Evaluation
from tests.running import RunningStack

MODELS = ("sample-95", "sample-80", "sample-60")

MANIFEST = """
slug: gsm8k
title: GSM8K
prompt:
  template: |-
    Solve this problem. End with the answer as a number.

    {{ question }}
phases:
  - name: test
    data: test.jsonl
    fields: {input: question, target: answer}
scoring: {scorer: numeric}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, gsm8k: Path) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("gsm8k"), predictors=3, endpoint=["--answers", str(gsm8k)]) as stack:
        yield stack


@pytest.fixture(scope="module")
def completed(running: RunningStack, gsm8k: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "environment.yaml").write_text(MANIFEST)
    (folder / "test.jsonl").write_bytes(gsm8k.read_bytes())
    running.client.environments.push(folder)
    running.endpoint.behave(latency_ms=2, jitter_ms=3)
    models = [
        running.add_model(name, max_concurrency=concurrency)
        for name, concurrency in zip(MODELS, (7, 16, 32), strict=True)
    ]
    running.endpoint.reset()  # a model that is registered is asked something tiny
    return running.wait(running.evaluate("gsm8k", models), timeout=110)


def test_all_complete(completed: list[Evaluation]) -> None:
    assert [evaluation.status for evaluation in completed] == ["completed"] * 3
    assert [evaluation.progress.done for evaluation in completed] == [1319] * 3


def test_each_accuracy_is_exactly_what_the_endpoint_answered_right(
    running: RunningStack, completed: list[Evaluation]
) -> None:
    stats = running.endpoint.stats()
    for name, evaluation in zip(MODELS, completed, strict=True):
        assert evaluation.metrics is not None
        assert evaluation.metrics["correct"] == stats[name]["right"]
        assert evaluation.metrics["accuracy"] == stats[name]["right"] / 1319
        assert 0 < stats[name]["wrong"] < 1319
        assert stats[name]["requests"] == 1319


def test_calls_at_once_never_exceed_the_models_concurrency_with_three_predictors(
    running: RunningStack, completed: list[Evaluation]
) -> None:
    stats = running.endpoint.stats()
    assert len(running.pids("predictor")) == 3
    for name, concurrency in zip(MODELS, (7, 16, 32), strict=True):
        assert 1 < stats[name]["max_in_flight"] <= concurrency


def test_each_item_has_one_row(running: RunningStack, completed: list[Evaluation]) -> None:
    for evaluation in completed:
        rows = running.rows(evaluation)
        assert [row["item_id"] for row in rows] == [str(number) for number in range(1, 1320)]


def test_all_files_agree_with_each_other(running: RunningStack, completed: list[Evaluation], gsm8k: Path) -> None:
    gold = [json.loads(line) for line in gsm8k.read_text().splitlines()]
    for evaluation in completed:
        assert evaluation.metrics is not None
        names = {file.name: file for file in running.client.evaluations.files(evaluation.id)}
        assert list(names) == [
            "submission.zip",
            "predictions.jsonl",
            "scoring_output.zip",
            "detailed_results.json",
            "detailed_results.html",
            "dataset.jsonl",
        ]
        predictions = running.lines(evaluation, "predictions.jsonl")
        detailed = json.loads(running.file(evaluation, "detailed_results.json"))
        dataset = running.lines(evaluation, "dataset.jsonl")
        rows = running.rows(evaluation)
        assert [line["item_id"] for line in predictions] == [row["item_id"] for row in rows]
        assert [line["output"] for line in predictions] == [row["output"] for row in rows]
        assert [(item["item_id"], item["correct"]) for item in detailed["items"]] == [
            (row["item_id"], row["correct"]) for row in rows
        ]
        misses = [row["item_id"] for row in rows if not row["correct"]]
        assert [line["metadata"]["item_id"] for line in dataset] == misses
        assert all(
            line["messages"][-1]
            == {"role": "assistant", "content": gold[int(line["metadata"]["item_id"]) - 1]["answer"]}
            for line in dataset
        )
        with zipfile.ZipFile(io.BytesIO(running.file(evaluation, "scoring_output.zip"))) as archive:
            scores = json.loads(archive.read("scores.json"))
            assert scores["correct"] == len(rows) - len(misses) == evaluation.metrics["correct"]
        with zipfile.ZipFile(io.BytesIO(running.file(evaluation, "submission.zip"))) as archive:
            submission = json.loads(archive.read("submission.json"))
            assert submission["item_ids"] == [row["item_id"] for row in rows]
            assert submission["environment"] == {"slug": "gsm8k", "version": evaluation.environment_version}
        for name, file in names.items():
            assert len(running.file(evaluation, name)) == file.size


def test_the_leaderboard_ranks_them(running: RunningStack, completed: list[Evaluation]) -> None:
    rows = running.client.environments.leaderboard("gsm8k", "test").items
    assert [row.model_name for row in rows] == list(MODELS)
    assert [row.rank for row in rows] == [1, 2, 3]
    assert all(row.accuracy_ci95 is not None and row.accuracy_ci95[0] < (row.accuracy or 0) for row in rows)
