"""Cancel in the middle."""

import time

from tests.chaos.gathering import persist
from tests.running import RunningStack


def test_only_the_calls_under_way_are_still_made_and_others_are_unharmed(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-80", max_concurrency=8)
    other = stack.add_model("sample-60", max_concurrency=8)
    stack.endpoint.reset()
    stack.endpoint.gate(closed=True)
    doomed = stack.evaluate("word-problems", [model], phase="test")[0]
    stack.endpoint.wait(model="sample-80", in_flight=8)
    neighbours = stack.evaluate("word-problems", [model, other], phase="dev")

    asked_at = time.monotonic()
    cancelled = stack.client.evaluations.cancel(doomed.id)
    assert cancelled.status == "cancelled"
    assert time.monotonic() - asked_at < 2

    stack.endpoint.gate(closed=False)
    done = stack.wait(neighbours)
    assert [evaluation.status for evaluation in done] == ["completed", "completed"]
    assert [evaluation.progress.done for evaluation in done] == [100, 100]
    stats = stack.endpoint.stats()
    assert stats["sample-80"]["requests"] == 8 + 100
    assert stats["sample-60"]["requests"] == 100

    # What was under way has landed, and has changed no status.
    after = stack.client.evaluations.get(doomed.id)
    assert after.status == "cancelled"
    assert after.finished_at is not None
    last = list(stack.client.events.history(doomed.id))[-1]
    assert last.type == "assay.evaluation.cancelled"


def test_a_cancelled_evaluation_is_cancelled_once_and_a_completed_one_never(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95", max_concurrency=8)
    stack.endpoint.gate(closed=True)
    evaluation = stack.evaluate("word-problems", [model], phase="dev")[0]
    assert stack.client.evaluations.cancel(evaluation.number).status == "cancelled"
    assert stack.client.evaluations.cancel(evaluation.number).status == "cancelled"
    stack.endpoint.gate(closed=False)


def test_what_landed_while_the_owner_was_dead_is_counted_in_a_cancelled_evaluation(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-60", max_concurrency=8)
    stack.endpoint.reset()
    stack.endpoint.gate(closed=True)
    evaluation = stack.evaluate("word-problems", [model], phase="test")[0]
    stack.endpoint.wait(model="sample-60", in_flight=8)
    stack.kill("orchestrator")
    stack.endpoint.gate(closed=False)
    # Twice the concurrency was dispatched; the rest is not, for want of an orchestrator.
    stack.endpoint.wait(model="sample-60", answered=16)
    # What the next orchestrator sends waits, or all might be answered before it hears of the cancel.
    stack.endpoint.gate(closed=True)
    try:
        persist(lambda: stack.client.evaluations.cancel(evaluation.id), time.monotonic() + 60)
        after = stack.wait([evaluation])[0]
        assert after.status == "cancelled"
        assert after.progress.done >= 16
        assert after.progress.done == len(list(stack.client.evaluations.results(evaluation.id)))
    finally:
        stack.endpoint.gate(closed=False)
