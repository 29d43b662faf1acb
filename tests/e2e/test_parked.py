"""Messages that are themselves bad are parked: kept with the reason, shown, replayed; and no evaluation hangs on them."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import nats
import pytest
from nats.js import JetStreamContext

import assay.errors
from shared import subjects
from shared.api import Evaluation, Parked
from tests.running import RunningStack

GARBAGE = b'{"evaluation": 1'


def on_broker(stack: RunningStack, work: Callable[[JetStreamContext], Awaitable[None]]) -> None:
    """Do something that no service would, as a stranger on the broker."""
    told = stack.embedded.environment

    async def connected() -> None:
        async with await nats.connect(told["ASSAY_NATS_URL"], token=told["ASSAY_NATS_TOKEN"]) as connection:
            await work(connection.jetstream())

    asyncio.run(connected())


def parked(stack: RunningStack, evaluation: Evaluation) -> list[Parked]:
    return list(stack.client.parked.list(evaluation.number))


def test_garbage_is_parked_and_the_rest_goes_on(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-80", max_concurrency=8)
    stack.endpoint.gate(closed=True)
    started = stack.evaluate("word-problems", [model], phase="dev")
    evaluation = started[0]
    stack.endpoint.wait(model="sample-80", in_flight=8)
    steps = subjects.lifecycle(evaluation.id, "landed")

    async def publish(js: JetStreamContext) -> None:
        await js.publish(subjects.job(model.id, evaluation.id), GARBAGE)
        await js.publish(subjects.prediction(evaluation.id), GARBAGE, headers={"Nats-Msg-Id": "a:b:c"})
        await js.publish(steps, GARBAGE)

    on_broker(stack, publish)
    stack.endpoint.gate(closed=False)
    done = stack.wait(started)[0]
    assert done.status == "completed"
    assert done.progress.scored == 100

    found = {entry.subject: entry for entry in parked(stack, evaluation)}
    assert {subject: entry.parked_by for subject, entry in found.items()} == {
        subjects.job(model.id, evaluation.id): "predictor",
        subjects.prediction(evaluation.id): "scorer",
        steps: "scorer",
    }
    prediction = found[subjects.prediction(evaluation.id)]
    assert prediction.reason.startswith("the prediction cannot be read: the body: Invalid JSON")
    assert (prediction.message_id, prediction.size, prediction.evaluation) == ("a:b:c", len(GARBAGE), evaluation.id)

    # Nothing waits for it any more.
    with pytest.raises(assay.errors.Conflict, match=f"#{done.number} is completed and waits for no message"):
        stack.client.parked.replay(prediction.id)
    # A step is asked for by nobody in particular, so it may always be replayed; this one is as bad as before.
    step = found[steps]
    assert stack.client.parked.replay(step.id).id == step.id
    again = step
    while again.id == step.id:
        again = next((entry for entry in parked(stack, evaluation) if entry.subject == steps), step)
    assert int(again.id) > int(step.id)

    for entry in parked(stack, evaluation):
        stack.client.parked.discard(entry.id)
    assert parked(stack, evaluation) == []
    with pytest.raises(assay.errors.NotFound, match=f"no parked message {again.id}"):
        stack.client.parked.replay(again.id)
    with pytest.raises(assay.errors.NotFound, match="no parked message x"):
        stack.client.parked.discard("x")


def test_a_sample_whose_messages_are_bad_each_time_ends_with_the_reason_and_can_be_redriven(
    stack: RunningStack,
) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-80", max_concurrency=8)
    undisturbed = stack.wait(stack.evaluate("word-problems", [model], phase="dev"))[0]
    stack.kill("predictor", signal.SIGSTOP)
    try:
        started = stack.evaluate("word-problems", [model], phase="dev")
        evaluation = started[0]
        for event in stack.client.events(evaluation.id):
            if event.type.endswith(".started"):
                break
        job = subjects.job(model.id, evaluation.id)

        async def spoil(js: JetStreamContext) -> None:
            """The second item's job is lost, and its predictions are garbage twice; the third one's once."""
            position = 1
            for index in range(3):
                message = None
                while message is None:
                    try:
                        message = await js.get_msg(subjects.JOBS, seq=position, next=True, subject=job)
                    except nats.js.errors.NotFoundError:
                        await asyncio.sleep(0.05)
                assert message.seq
                position = message.seq + 1
                for dispatch in range(index and 3 - index):
                    identity = f"{evaluation.id}:{index}:0:0:{dispatch}"
                    await js.publish(subjects.prediction(evaluation.id), GARBAGE, headers={"Nats-Msg-Id": identity})
                if index:
                    await js.delete_msg(subjects.JOBS, message.seq)

        on_broker(stack, spoil)
    finally:
        stack.kill("predictor", signal.SIGCONT)
    done = stack.wait(started)[0]
    assert done.status == "completed"
    assert (done.progress.done, done.progress.infra_error) == (100, 1)
    rows = list(stack.client.evaluations.results(done.id))
    assert (rows[1].outcome, rows[1].attempts) == ("infra_error", 0)
    assert rows[1].error
    assert rows[1].error.startswith("its messages were parked: the prediction cannot be read")
    assert rows[2].outcome == "scored"
    assert done.metrics
    assert done.metrics["coverage"] == 0.99

    stack.client.evaluations.redrive(done.id)
    again = stack.wait([done])[0]
    assert again.progress.infra_error == 0
    assert stack.rows(again) == stack.rows(undisturbed)
