"""An owner that dies between any two writes, and messages, entries and consumers that are lost: each status goes on by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

import assay.errors
from deploy.embedded.ports import free
from shared import subjects
from shared.api import Evaluation, Model
from tests.e2e.test_giving_up import same as same_rows
from tests.e2e.test_kills import same
from tests.running import EndpointProcess, RunningStack

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("reconcile")) as stack:
        stack.push_sample_environment()
        yield stack


@pytest.fixture(scope="module")
def model(running: RunningStack) -> Model:
    return running.add_model("sample-80", max_concurrency=16)


@pytest.fixture(scope="module")
def undisturbed(running: RunningStack, model: Model) -> Evaluation:
    return running.wait(running.evaluate("word-problems", [model], phase="test"))[0]


def on_broker(running: RunningStack, work: Callable[[JetStreamContext], Awaitable[None]]) -> None:
    told = running.embedded.environment

    async def connected() -> None:
        async with await nats.connect(told["ASSAY_NATS_URL"], token=told["ASSAY_NATS_TOKEN"]) as connection:
            await work(connection.jetstream())

    asyncio.run(connected())


@pytest.mark.parametrize(
    "point",
    [
        "orchestrator.created",  # evaluations are written, nobody was told
        "orchestrator.asked_created",  # the submission is asked for
        "orchestrator.asked_landed",  # the metrics are asked for
        "orchestrator.closing",  # the log is archived, before that is recorded
    ],
)
def test_an_owner_that_dies(running: RunningStack, model: Model, undisturbed: Evaluation, point: str) -> None:
    running.arm(point)
    evaluation = running.wait(running.evaluate("word-problems", [model], phase="test"))[0]
    # Its last word is said before it is closed.
    while running.armed(point):
        assert running.client.evaluations.get(evaluation.id).status == "completed"
    running.until_ready()
    same(running, evaluation, undisturbed)


def test_an_owner_that_dies_while_it_cancels(running: RunningStack, model: Model) -> None:
    running.endpoint.gate(closed=True)
    try:
        evaluation = running.evaluate("word-problems", [model], phase="test")[0]
        running.endpoint.wait(in_flight=16)
        running.arm("orchestrator.ending")
        with suppress(assay.errors.AssayError):
            running.client.evaluations.cancel(evaluation.id)
        done = running.wait([evaluation])[0]
    finally:
        running.endpoint.gate(closed=False)
    assert not running.armed("orchestrator.ending")
    running.until_ready()
    assert done.status == "cancelled"
    kinds = [event.type.rpartition(".")[2] for event in running.client.events.history(evaluation.id)]
    assert kinds.count("cancelled") == 1
    assert kinds[-1] == "cancelled"


def test_an_owner_that_dies_while_it_redrives(running: RunningStack, undisturbed: Evaluation) -> None:
    (port,) = free(1)
    away = running.client.models.add("away", base_url=f"http://127.0.0.1:{port}/v1", model="sample-80")
    started = running.evaluate("word-problems", [away], phase="test", unreachable_wait_s=0)
    assert running.wait(started)[0].progress.infra_error == 400
    endpoint = EndpointProcess("--port", str(port))
    try:
        running.client.models.probe(away.id)
        running.arm("orchestrator.redriven")
        # The repeat of the request finds that it was done.
        with suppress(assay.errors.Conflict):
            running.client.evaluations.redrive(started[0].id)
        again = running.wait(started)[0]
    finally:
        endpoint.stop()
    assert not running.armed("orchestrator.redriven")
    running.until_ready()
    assert again.round == 1
    same_rows(running, again, undisturbed)


@pytest.mark.parametrize("verb", ["created", "scored"])
def test_a_step_that_is_lost_is_asked_for_again(
    running: RunningStack, model: Model, undisturbed: Evaluation, verb: str
) -> None:
    """Who does it is down, the message that asks for it is deleted, and there is nothing for it when it is back."""
    if verb == "scored":
        running.endpoint.gate(closed=True)
    try:
        if verb == "created":
            running.take_down("artifacts")
        evaluation = running.evaluate("word-problems", [model], phase="test")[0]
        if verb == "scored":
            running.endpoint.wait(in_flight=16)
            running.take_down("artifacts")
            running.endpoint.gate(closed=False)

        async def lose(js: JetStreamContext) -> None:
            while True:
                try:
                    message = await js.get_last_msg(subjects.LIFECYCLE, subjects.lifecycle(evaluation.id, verb))
                except NotFoundError:
                    await asyncio.sleep(0.05)
                else:
                    break
            assert message.seq
            await js.delete_msg(subjects.LIFECYCLE, message.seq)

        on_broker(running, lose)
    finally:
        running.endpoint.gate(closed=False)
        running.bring_up("artifacts")
    same(running, running.wait([evaluation])[0], undisturbed)


def test_a_lost_consumer_and_a_lost_entry_of_a_model(
    running: RunningStack, model: Model, undisturbed: Evaluation
) -> None:
    running.endpoint.gate(closed=True)
    try:
        started = running.evaluate("word-problems", [model], phase="test")
        running.endpoint.wait(in_flight=16)

        async def lose(js: JetStreamContext) -> None:
            await js.delete_consumer(subjects.JOBS, subjects.model_consumer(model.id))
            await (await js.key_value(subjects.KV_MODELS)).delete(model.id)

        on_broker(running, lose)
    finally:
        running.endpoint.gate(closed=False)
    same(running, running.wait(started)[0], undisturbed)
