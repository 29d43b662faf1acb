"""GSM8K as an environment, three models at once: every number agrees with the endpoint's own count of right answers."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.api import Evaluation
from tests.running import EndpointProcess, RunningStack

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
def endpoint(gsm8k: Path) -> Iterator[EndpointProcess]:
    endpoint = EndpointProcess("--answers", str(gsm8k))
    yield endpoint
    endpoint.stop()


@pytest.fixture(scope="module")
def completed(
    stack: RunningStack, endpoint: EndpointProcess, gsm8k: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Evaluation]]:
    """By three predictors: the stack's two, and one more."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "environment.yaml").write_text(MANIFEST)
    (folder / "test.jsonl").write_bytes(gsm8k.read_bytes())
    stack.client.environments.push(folder)
    endpoint.behave(latency_ms=2, jitter_ms=3)
    models = [
        stack.client.models.add(name, base_url=endpoint.base_url, model=name, max_concurrency=concurrency)
        for name, concurrency in zip(MODELS, (7, 16, 32), strict=True)
    ]
    assert len(stack.pids("predictor")) == 2
    with stack.one_more("predictor") as log:
        waits_for = {model.id for model in models}
        while waits_for:
            line = next(log)
            waits_for = {model_id for model_id in waits_for if f"working for model {model_id} " not in line}
        endpoint.reset()  # a model that is registered is asked something tiny
        yield stack.wait(stack.evaluate("gsm8k", models), timeout=110)
    for model in models:
        stack.remove_model(model.id)


def test_all_complete(completed: list[Evaluation]) -> None:
    assert [evaluation.status for evaluation in completed] == ["completed"] * 3
    assert [evaluation.progress.done for evaluation in completed] == [1319] * 3


def test_each_accuracy_is_exactly_what_the_endpoint_answered_right(
    endpoint: EndpointProcess, completed: list[Evaluation]
) -> None:
    stats = endpoint.stats()
    for name, evaluation in zip(MODELS, completed, strict=True):
        assert evaluation.metrics is not None
        assert evaluation.metrics["correct"] == stats[name]["right"]
        assert evaluation.metrics["accuracy"] == stats[name]["right"] / 1319
        assert 0 < stats[name]["wrong"] < 1319
        assert stats[name]["requests"] == 1319


def test_calls_at_once_never_exceed_the_models_concurrency_with_three_predictors(
    endpoint: EndpointProcess, completed: list[Evaluation]
) -> None:
    stats = endpoint.stats()
    for name, concurrency in zip(MODELS, (7, 16, 32), strict=True):
        assert 1 < stats[name]["max_in_flight"] <= concurrency


def test_each_item_has_one_row(stack: RunningStack, completed: list[Evaluation]) -> None:
    for evaluation in completed:
        rows = stack.rows(evaluation)
        assert [row["item_id"] for row in rows] == [str(number) for number in range(1, 1320)]


def test_all_files_agree_with_each_other(stack: RunningStack, completed: list[Evaluation], gsm8k: Path) -> None:
    gold = [json.loads(line) for line in gsm8k.read_text().splitlines()]
    for evaluation in completed:
        assert evaluation.metrics is not None
        names = {file.name: file for file in stack.client.evaluations.files(evaluation.id)}
        assert list(names) == [
            "submission.zip",
            "predictions.jsonl",
            "scoring_output.zip",
            "detailed_results.json",
            "detailed_results.html",
            "dataset.jsonl",
        ]
        predictions = stack.lines(evaluation, "predictions.jsonl")
        detailed = json.loads(stack.file(evaluation, "detailed_results.json"))
        dataset = stack.lines(evaluation, "dataset.jsonl")
        rows = stack.rows(evaluation)
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
        with zipfile.ZipFile(io.BytesIO(stack.file(evaluation, "scoring_output.zip"))) as archive:
            scores = json.loads(archive.read("scores.json"))
            assert scores["correct"] == len(rows) - len(misses) == evaluation.metrics["correct"]
        with zipfile.ZipFile(io.BytesIO(stack.file(evaluation, "submission.zip"))) as archive:
            submission = json.loads(archive.read("submission.json"))
            assert submission["item_ids"] == [row["item_id"] for row in rows]
            assert submission["environment"] == {"slug": "gsm8k", "version": evaluation.environment_version}
        for name, file in names.items():
            assert len(stack.file(evaluation, name)) == file.size


def test_the_leaderboard_ranks_them(stack: RunningStack, completed: list[Evaluation]) -> None:
    rows = stack.client.environments.leaderboard("gsm8k", "test").items
    assert [row.model_name for row in rows] == list(MODELS)
    assert [row.rank for row in rows] == [1, 2, 3]
    assert all(row.accuracy_ci95 is not None and row.accuracy_ci95[0] < (row.accuracy or 0) for row in rows)
