"""An endpoint that stays away: after a set wait what is missing ends as `infra_error`, and a redrive makes it whole."""

import json
import time

from deploy.embedded.ports import free
from shared.api import Evaluation, Model
from tests.running import EndpointProcess, RunningStack


def said(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    return [event.data.get("message", "") for event in stack.client.events.history(evaluation.id)]


def same(stack: RunningStack, evaluation: Evaluation, undisturbed: Evaluation) -> None:
    """Rows, scores and files are those of an undisturbed run."""
    assert evaluation.status == "completed"
    assert stack.rows(evaluation) == stack.rows(undisturbed)
    assert evaluation.metrics
    assert undisturbed.metrics
    varying = ("duration_s", "items_per_s", "latency_ms", "ttft_ms", "attempts", "retries")
    for name in evaluation.metrics.keys() | undisturbed.metrics.keys():
        if not name.startswith(varying):
            assert evaluation.metrics.get(name) == undisturbed.metrics.get(name), name
    wanted = stack.file(undisturbed, "dataset.jsonl").replace(undisturbed.id.encode(), evaluation.id.encode())
    assert stack.file(evaluation, "dataset.jsonl") == wanted
    lines = [
        [{name: line[name] for name in ("item_id", "sample", "output", "outcome", "error")} for line in found]
        for found in (stack.lines(evaluation, "predictions.jsonl"), stack.lines(undisturbed, "predictions.jsonl"))
    ]
    assert lines[0] == lines[1]
    details = [json.loads(stack.file(one, "detailed_results.json"))["items"] for one in (evaluation, undisturbed)]
    assert details[0] == details[1]


def evaluated(stack: RunningStack, model: Model, phase: str) -> Evaluation:
    return stack.wait(stack.evaluate("word-problems", [model], phase=phase))[0]


def test_a_model_that_never_came_up(stack: RunningStack) -> None:
    stack.push_sample_environment()
    undisturbed = evaluated(stack, stack.add_model("sample-80"), "dev")
    (port,) = free(1)
    model = stack.client.models.add("late", base_url=f"http://127.0.0.1:{port}/v1", model="sample-80")
    stack.arm("orchestrator.giving_up")
    done = stack.wait(stack.evaluate("word-problems", [model], phase="dev", unreachable_wait_s=1))[0]
    assert not stack.armed("orchestrator.giving_up"), "nothing has died there"
    assert done.status == "completed"
    assert (done.progress.done, done.progress.infra_error) == (100, 100)
    rows = list(stack.client.evaluations.results(done.id))
    assert {(row.outcome, row.attempts, row.correct) for row in rows} == {("infra_error", 0, False)}
    assert all(row.error and row.error.startswith("model late was unreachable for 1 s: ") for row in rows)
    assert [row.target for row in rows] == [row.target for row in stack.client.evaluations.results(undisturbed.id)]
    assert done.metrics
    assert done.metrics["coverage"] == 0
    assert done.metrics["bounds"]["accuracy"] == [0, 1]
    log = said(stack, done)
    assert sum(line.startswith("Waiting for model late until ") for line in log) == 1
    assert sum(line.startswith("Giving up: model late was unreachable for 1 s") for line in log) == 1

    endpoint = EndpointProcess("--port", str(port))
    try:
        stack.client.models.probe(model.id)
        stack.client.evaluations.redrive(done.id)
        again = stack.wait([done])[0]
    finally:
        endpoint.stop()
    assert again.round == 1
    same(stack, again, undisturbed)


def test_a_model_that_goes_away_in_the_middle(stack: RunningStack) -> None:
    stack.push_sample_environment()
    undisturbed = evaluated(stack, stack.add_model("sample-80"), "test")
    (port,) = free(1)
    endpoint = EndpointProcess("--port", str(port))
    try:
        model = stack.client.models.add(
            "leaver", base_url=endpoint.base_url, model="sample-80", max_concurrency=8, max_attempts=50
        )
        endpoint.behave(latency_ms=20)
        evaluation = stack.evaluate("word-problems", [model], phase="test", unreachable_wait_s=2)[0]
        endpoint.wait(requests=100)
    finally:
        endpoint.stop()
    # What its controller said a moment before may still come after what the first probe finds.
    deadline = time.monotonic() + 15
    while stack.client.models.probe(model.id).status != "unreachable":
        assert time.monotonic() < deadline, "an endpoint that is gone is never found to be so"
    done = stack.wait([evaluation])[0]
    assert done.status == "completed"
    called = done.progress.done - done.progress.infra_error
    assert done.progress.done == 400
    assert 90 <= called < 200
    rows = list(stack.client.evaluations.results(done.id))
    assert sum(row.attempts == 0 for row in rows) == done.progress.infra_error
    assert done.metrics
    assert done.metrics["coverage"] == called / 400
    worst, best = done.metrics["bounds"]["accuracy"]
    assert undisturbed.metrics
    assert worst <= undisturbed.metrics["accuracy"] <= best
    assert best - worst == (400 - called) / 400

    # Still away: the next round waits as long, and gives up as well.
    stack.client.evaluations.redrive(done.id)
    second = stack.wait([done])[0]
    assert (second.round, second.progress.infra_error) == (1, done.progress.infra_error)
    assert sum(line.startswith("Giving up: ") for line in said(stack, second)) == 2

    endpoint = EndpointProcess("--port", str(port))
    try:
        stack.client.models.probe(model.id)
        stack.client.evaluations.redrive(done.id)
        again = stack.wait([done])[0]
        asked = endpoint.stats()["sample-80"]["distinct"] - 1  # a probe's tiny question
    finally:
        endpoint.stop()
    assert again.round == 2
    assert asked == done.progress.infra_error, "a redrive calls only what ended in infra_error"
    same(stack, again, undisturbed)
