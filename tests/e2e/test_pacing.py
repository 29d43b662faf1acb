"""Concurrency, pauses and budgets of calls over two predictors, judged by the endpoint's own counters."""

import os
import signal

import httpx
import pytest

from deploy.embedded.ports import free
from shared.api import Evaluation, Model
from tests.running import EndpointProcess, RunningStack


def statuses(stack: RunningStack, model: Model, until: str) -> list[str]:
    """What the model's events said, up to the first that says `until`."""
    said: list[str] = []
    for event in stack.client.events(types=["assay.model.status"], after="0"):
        if event.data["model"] == model.id:
            said.append(event.data["status"])
            if said[-1] == until and len(said) > 1:
                break
    return said


@pytest.mark.large
def test_auto_stays_under_what_the_endpoint_bears_while_its_controller_is_killed(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95", max_concurrency="auto", max_attempts=20)
    assert model.pacing is not None
    assert (model.pacing.mode, model.pacing.limit) == ("auto", 8)
    stack.endpoint.reset()
    stack.endpoint.behave(latency_ms=100, max_concurrent=20, retry_after_s=None)
    try:
        evaluation = stack.evaluate("word-problems", [model], phase="test", samples_per_item=10)[0]
        # One of the two controls; whichever it is, the other goes on from what it has stored.
        stack.endpoint.wait(requests=1500)
        before = stack.client.models.get(model.id).pacing
        os.kill(stack.pids("predictor")[0], signal.SIGKILL)
        stack.endpoint.wait(requests=2200)
        os.kill(stack.pids("predictor")[1], signal.SIGKILL)
        done = stack.wait([evaluation])[0]
    finally:
        stack.endpoint.behave()
    stats = stack.endpoint.stats()["sample-95"]
    assert done.progress.scored == 4000
    assert before is not None
    assert before.limit > 8
    after = stack.client.models.get(model.id).pacing
    assert after is not None
    assert after.limit <= 24
    assert stats["refused_429"] < 0.05 * stats["requests"]
    assert stats["max_in_flight"] > 15


def test_an_endpoint_that_goes_down_pauses_its_model_and_burns_few_attempts(stack: RunningStack) -> None:
    stack.push_sample_environment()
    (port,) = free(1)
    endpoint = EndpointProcess("--port", str(port))
    endpoint.behave(latency_ms=50)
    model = stack.client.models.add(
        "mortal", base_url=endpoint.base_url, model="sample-95", max_concurrency=16, max_attempts=2
    )
    evaluation = stack.evaluate("word-problems", [model], phase="test", samples_per_item=3)[0]
    endpoint.wait(requests=100)
    endpoint.kill()
    assert statuses(stack, model, "unreachable")[-1] == "unreachable"
    down = stack.client.models.get(model.id)
    assert "refused" in down.status_detail
    for event in stack.client.events(evaluation.id, types=["assay.evaluation.log"]):
        if "the model is unreachable" in event.data["message"]:
            break
    again = EndpointProcess("--port", str(port))
    try:
        done = stack.wait([evaluation])[0]
    finally:
        again.stop()
    assert statuses(stack, model, "running")[-1] == "running"
    # With two attempts each, only those that failed before anybody knew may have used both.
    assert done.progress.infra_error <= 10
    assert done.progress.scored + done.progress.infra_error == 1200
    attempts = [row.attempts for row in stack.client.evaluations.results(done.id)]
    assert max(attempts) <= 3


def test_an_endpoint_whose_every_call_fails_is_paused_though_it_lists_its_models(stack: RunningStack) -> None:
    stack.push_sample_environment()
    endpoint = EndpointProcess()
    model = stack.client.models.add(
        "half", base_url=endpoint.base_url, model="sample-95", max_concurrency=16, max_attempts=3
    )
    assert model.status == "running"
    endpoint.behave(error_500_rate=1.0)
    try:
        evaluation = stack.evaluate("word-problems", [model], phase="test")[0]
        assert statuses(stack, model, "unreachable")[-1] == "unreachable"
        calls = endpoint.stats()["sample-95"]["requests"]
        endpoint.behave()
        done = stack.wait([evaluation])[0]
    finally:
        endpoint.stop()
    assert calls < 100
    assert done.progress.scored >= 390


def test_a_pause_that_the_endpoint_asks_for_is_kept_by_all_replicas(stack: RunningStack) -> None:
    stack.push_sample_environment()
    endpoint = EndpointProcess()
    endpoint.behave(latency_ms=20, rate_limit_per_s=20, retry_after_s=8)
    model = stack.client.models.add(
        "polite", base_url=endpoint.base_url, model="sample-95", max_concurrency=16, max_attempts=20
    )
    try:
        evaluation = stack.evaluate("word-problems", [model], limit=60)[0]
        assert statuses(stack, model, "paused")[-1] == "paused"
        refused = endpoint.stats()["sample-95"]["refused_429"]
        endpoint.behave(latency_ms=20)
        done = stack.wait([evaluation])[0]
    finally:
        endpoint.stop()
    # What was under way when the first was refused, and nothing after.
    assert refused <= 16
    assert done.progress.scored == 60


def test_requests_per_minute_hold_over_two_predictors_with_retries(stack: RunningStack) -> None:
    stack.push_sample_environment()
    endpoint = EndpointProcess()
    model = stack.client.models.add(
        "budget", base_url=endpoint.base_url, model="sample-95", requests_per_minute=1200, max_attempts=10
    )
    endpoint.reset()
    endpoint.behave(error_500_rate=0.2)
    try:
        done = stack.wait(stack.evaluate("word-problems", [model], limit=100))[0]
        stats = endpoint.stats()["sample-95"]
    finally:
        endpoint.stop()
    assert done.progress.scored == 100
    assert stats["requests"] > 100
    took_s = seconds(done)
    # 20 a second, of which one second's worth may come at once.
    assert stats["requests"] <= 20 * (took_s + 1) + 1


def seconds(evaluation: Evaluation) -> float:
    assert evaluation.started_at is not None
    assert evaluation.finished_at is not None
    return (evaluation.finished_at - evaluation.started_at).total_seconds()


@pytest.mark.parametrize("wrong", ["fast", "16", 0, 5000, 1.5, True, None])
def test_a_concurrency_that_is_none_is_refused_in_one_sentence(stack: RunningStack, wrong: object) -> None:
    model = {"name": "x", "base_url": stack.endpoint.base_url, "model": "sample-95", "max_concurrency": wrong}
    answer = httpx.post(f"{stack.url}/v1/models", json=model)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith('max_concurrency: must be a whole number from 1 to 4096, or "auto"')
