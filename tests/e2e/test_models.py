"""Models: endpoints that misbehave, keys that stay secret, predictors that come and go."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.embedded.ports import free
from services.predictor.discovery import PORTS
from tests.running import ROOT, EndpointProcess, RunningStack


def test_a_model_that_does_not_answer_is_registered_and_its_evaluation_waits(stack: RunningStack) -> None:
    stack.push_sample_environment()
    (port,) = free(1)
    model = stack.client.models.add("late", base_url=f"http://127.0.0.1:{port}/v1", model="sample-95")
    assert model.status == "unreachable"
    assert "refused" in model.status_detail
    evaluation = stack.evaluate("word-problems", [model], limit=10)[0]
    for event in stack.client.events(evaluation.id):
        if "Waiting for model late" in event.data.get("message", ""):
            break
    assert stack.client.evaluations.get(evaluation.id).status == "queued"
    endpoint = EndpointProcess("--port", str(port))
    try:
        done = stack.wait([evaluation])[0]
    finally:
        endpoint.stop()
    assert done.status == "completed"
    assert done.progress.scored == 10
    assert stack.client.models.get(model.id).status == "running"


def test_a_wrong_key_is_told_by_the_probe(stack: RunningStack) -> None:
    endpoint = EndpointProcess("--api-key", "right")
    try:
        model = stack.client.models.add("locked", base_url=endpoint.base_url, model="sample-95", api_key="wrong")
    finally:
        endpoint.stop()
    assert model.status == "unreachable"
    assert "401" in model.status_detail


@pytest.mark.parametrize(
    ("behaviour", "settings"),
    [
        ({"error_500_rate": 0.2, "html_errors": True}, {}),
        ({"cut_rate": 0.15, "malformed_rate": 0.15}, {}),
        ({"max_concurrent": 3, "retry_after_s": 0}, {}),
        ({"token_ms": 1, "reasoning": True}, {"stream": True}),
        ({"cut_rate": 0.2}, {"stream": True}),
        ({"no_usage": True, "finish_reason": None}, {"api": "completions"}),
        ({"hang_rate": 0.1}, {"timeout_s": 0.5}),
    ],
)
def test_an_endpoint_as_they_are_changes_no_score(
    stack: RunningStack, behaviour: dict[str, Any], settings: dict[str, Any]
) -> None:
    stack.push_sample_environment()
    reference = stack.wait(stack.evaluate("word-problems", [stack.add_model("sample-80")], limit=60))[0]
    model = stack.add_model("sample-80", max_attempts=12, **settings)
    stack.endpoint.behave(**behaviour)
    try:
        done = stack.wait(stack.evaluate("word-problems", [model], limit=60))[0]
    finally:
        stack.endpoint.behave()
    assert done.metrics is not None
    assert reference.metrics is not None
    assert done.progress.scored == 60
    assert done.metrics["correct"] == reference.metrics["correct"]
    if settings.get("stream"):
        assert done.metrics["ttft_ms"]["p50"] > 0
    if "no_usage" in behaviour:
        assert done.metrics["tokens"]["unreported"] == 60
    if "reasoning" in behaviour:
        # What was thought is kept with the answer, and apart from it.
        case = httpx.get(f"{stack.url}/v1/evaluations/{done.id}/results/0").json()["samples"][0]
        line = json.loads(stack.file(done, "predictions.jsonl").splitlines()[0])
        assert case["reasoning"] == line["reasoning"]
        assert case["reasoning"]
        assert case["reasoning"] not in case["output"]


def test_outcomes_are_told_apart_and_a_redrive_calls_only_what_failed(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-80", max_attempts=1)
    rows = list(stack.client.environments.items("word-problems", "dev"))
    stack.endpoint.reset()
    stack.endpoint.behave(error_500_rate=0.3, empty_rate=0.1, error_400=rows[0].input[:60], seed=7)
    first = stack.wait(stack.evaluate("word-problems", [model], phase="dev"))[0]
    stack.endpoint.behave()
    assert first.metrics is not None
    failed = first.progress.infra_error
    assert failed > 0
    assert first.progress.no_answer > 0
    assert first.progress.model_error >= 1
    assert first.metrics["coverage"] == (100 - failed) / 100
    worst, best = first.metrics["bounds"]["accuracy"]
    assert worst == first.metrics["correct"] / 100
    assert best == (first.metrics["correct"] + failed) / 100
    stats = stack.endpoint.stats()["sample-80"]
    assert stats["errors_500"] == failed

    again = stack.client.evaluations.redrive(first.id)
    assert again.status == "running"
    # The former round's scores and files are served meanwhile.
    assert again.metrics == first.metrics
    second = stack.wait([again])[0]
    assert second.round == 1
    assert second.metrics is not None
    assert second.progress.infra_error == 0
    assert second.metrics["coverage"] == 1
    assert worst <= second.metrics["accuracy"] <= best
    assert stack.endpoint.stats()["sample-80"]["requests"] == 100 + failed
    assert len(stack.lines(second, "predictions.jsonl")) == 100


def test_several_samples_an_item_are_one_row(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-80")
    done = stack.wait(stack.evaluate("word-problems", [model], limit=10, samples_per_item=3))[0]
    assert done.progress.total == 30
    rows = list(stack.client.evaluations.results(done.id))
    assert len(rows) == 10
    assert all(row.samples is not None and [sample.sample for sample in row.samples] == [0, 1, 2] for row in rows)
    assert len(stack.lines(done, "predictions.jsonl")) == 30


def test_requests_per_minute_bound_the_fleet(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95", requests_per_minute=600)
    done = stack.wait(stack.evaluate("word-problems", [model], limit=40))[0]
    assert done.started_at is not None
    assert done.finished_at is not None
    # 10 a second, of which one second's worth may come at once.
    assert (done.finished_at - done.started_at).total_seconds() >= 2.9


def test_a_predictor_started_by_hand_in_mid_run_takes_its_share(stack: RunningStack, tmp_path: Path) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95", max_concurrency=12)
    stack.endpoint.gate(closed=True)
    evaluation = stack.evaluate("word-problems", [model], phase="test")[0]
    stack.endpoint.wait(in_flight=12)
    needed = ("ASSAY_NATS_URL", "ASSAY_NATS_TOKEN", "ASSAY_S3_ENDPOINT", "ASSAY_S3_ACCESS_KEY", "ASSAY_S3_SECRET_KEY")
    settings = {name: stack.embedded.environment[name] for name in needed}
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "predictor.called").touch()
    environment = {"PATH": os.environ["PATH"], "ASSAY_FAULTS": str(faults), **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.predictor.app"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert any(model.id in line for line in process.stdout), "it has not taken up the model"
        stack.endpoint.gate(closed=False)
        # It dies at its first call, by which it has shown that it takes its share; what it held is taken over.
        assert process.wait(30) == -9
    finally:
        process.kill()
    done = stack.wait([evaluation])[0]
    assert done.progress.scored == 400


def test_models_are_called_through_the_router_with_the_callers_token(stack: RunningStack) -> None:
    stack.push_sample_environment()
    token = "hf_not-to-be-seen-0987654321"
    router = stack.environment["ASSAY_HF_ROUTER_URL"]
    endpoint = EndpointProcess("--port", router.removesuffix("/v1").rsplit(":", 1)[1], "--api-key", token)
    try:
        model = stack.client.models.add("routed", model="sample-95", source="huggingface", api_key=token)
        assert (model.base_url, model.status, model.has_api_key) == (router, "running", True)
        done = stack.wait(stack.evaluate("word-problems", [model], limit=10))[0]
    finally:
        endpoint.stop()
    assert (done.status, done.progress.scored) == ("completed", 10)
    stack.remove_model(model.id)


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def test_every_model_of_an_endpoint_is_registered_in_one_step_and_evaluated(stack: RunningStack) -> None:
    stack.push_sample_environment()
    port = next(port for port in PORTS if is_free(port))
    endpoint = EndpointProcess("--port", str(port), "--models", "one", "two")
    try:
        found = {server.base_url: server for server in stack.client.models.discover()}
        assert (found[endpoint.base_url].models, found[endpoint.base_url].registered) == (["one", "two"], [])
        assert f"{stack.url}/v1" not in found
        added = stack.client.models.add_all(endpoint.base_url)
        assert [(model.name, model.model, model.status) for model in added.registered] == [
            ("one", "one", "running"),
            ("two", "two", "running"),
        ]
        again = stack.client.models.add_all(endpoint.base_url, ["two"])
        assert (again.registered, [model.id for model in again.present]) == ([], [added.registered[1].id])
        (server,) = [one for one in stack.client.models.discover() if one.base_url == endpoint.base_url]
        assert server.registered == ["one", "two"]
        done = stack.wait(stack.evaluate("word-problems", added.registered, limit=5))
    finally:
        endpoint.stop()
    assert [evaluation.status for evaluation in done] == ["completed"] * 2
    for model in added.registered:
        stack.remove_model(model.id)
