"""SIGKILL at named points, of every process and of the stores: the same rows and the same score as undisturbed."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.api import Evaluation, Model
from tests.running import RunningStack

pytestmark = pytest.mark.large

POINTS = [
    "predictor.called",  # after the call, before the publish
    "predictor.published",  # after the publish, before the acknowledgement
    "scorer.written",  # after the write, before the acknowledgement
    "scorer.scored",  # after the metrics are stored, before that is said
    "orchestrator.dispatching",  # in mid-dispatch
    "orchestrator.completing",  # before the status is recorded
    "orchestrator.announced",  # after an event was published, before that is recorded
    "orchestrator.completed",  # after the status is recorded, before it is announced
    "artifacts.between_files",
    "artifacts.recorded",  # after the files are stored, before `completed`
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("kills")) as stack:
        stack.push_sample_environment()
        yield stack


@pytest.fixture(scope="module")
def model(running: RunningStack) -> Model:
    return running.add_model("sample-80", max_concurrency=16)


@pytest.fixture(scope="module")
def undisturbed(running: RunningStack, model: Model) -> Evaluation:
    return running.wait(running.evaluate("word-problems", [model], phase="test"))[0]


def same(running: RunningStack, evaluation: Evaluation, undisturbed: Evaluation) -> None:
    """Rows, scores and log are those of the undisturbed run; nothing is said twice."""
    assert evaluation.status == "completed"
    assert running.rows(evaluation) == running.rows(undisturbed)
    assert evaluation.metrics is not None
    assert undisturbed.metrics is not None
    for name in ("accuracy", "accuracy_ci95", "exact_match", "answer_rate", "coverage", "correct", "total"):
        assert evaluation.metrics[name] == undisturbed.metrics[name], name
    assert running.file(evaluation, "dataset.jsonl") == running.file(undisturbed, "dataset.jsonl").replace(
        undisturbed.id.encode(), evaluation.id.encode()
    )
    events = list(running.client.events.history(evaluation.id))
    assert len({event.id for event in events}) == len(events)
    kinds = [event.type.rpartition(".")[2] for event in events]
    assert kinds[0] == "queued"
    assert kinds[-1] == "completed"
    assert [kind for kind in kinds if kind not in ("log", "progress")] == [
        "queued",
        "started",
        "scoring",
        "scored",
        "completed",
    ]


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_a_named_point(
    running: RunningStack, model: Model, undisturbed: Evaluation, point: str
) -> None:
    running.arm(point)
    evaluation = running.wait(running.evaluate("word-problems", [model], phase="test"))[0]
    assert not running.armed(point), "nothing has died there"
    same(running, evaluation, undisturbed)


@pytest.mark.parametrize("part", ["mongo", "nats", "objects", "predictor", "scorer", "orchestrator", "gateway"])
def test_a_part_killed_in_the_middle(running: RunningStack, model: Model, undisturbed: Evaluation, part: str) -> None:
    running.endpoint.reset()
    running.endpoint.behave(latency_ms=30)
    started = running.evaluate("word-problems", [model], phase="test")
    running.endpoint.wait(requests=100)
    running.kill(part)
    evaluation = running.wait(started)[0]
    running.endpoint.behave()
    same(running, evaluation, undisturbed)


def test_the_broker_killed_twice_while_every_call_is_under_way(
    running: RunningStack, model: Model, undisturbed: Evaluation
) -> None:
    running.endpoint.gate(closed=True)
    started = running.evaluate("word-problems", [model], phase="test")
    running.endpoint.wait(in_flight=16)
    running.kill("nats")
    running.endpoint.gate(closed=False)
    running.endpoint.wait(requests=60)
    running.kill("nats")
    same(running, running.wait(started)[0], undisturbed)


@contextmanager
def second_orchestrator(running: RunningStack) -> Iterator[Iterator[str]]:
    """One more orchestrator; gives the lines of its log as they come."""
    with running.one_more("orchestrator") as log:
        try:
            yield log
        finally:
            running.kill("orchestrator", signal.SIGCONT)


def test_an_owner_that_only_slept_lets_go(running: RunningStack, model: Model, undisturbed: Evaluation) -> None:
    """SIGSTOP is worse than SIGKILL: the former owner wakes up, still believes, and must find that its epoch is over."""
    running.endpoint.gate(closed=True)
    started = running.evaluate("word-problems", [model], phase="test")
    running.endpoint.wait(in_flight=16)
    with second_orchestrator(running) as log:
        running.kill("orchestrator", signal.SIGSTOP)
        assert any(f"took over #{started[0].number} " in line for line in log)
        running.endpoint.gate(closed=False)
        running.endpoint.wait(requests=100)
        running.kill("orchestrator", signal.SIGCONT)
        same(running, running.wait(started)[0], undisturbed)


def test_an_owner_that_slept_until_the_end_says_nothing_more(
    running: RunningStack, model: Model, undisturbed: Evaluation
) -> None:
    """What landed meanwhile reaches it all at once when it wakes up, and would be news, had the log not ended."""
    running.endpoint.gate(closed=True)
    started = running.evaluate("word-problems", [model], phase="test")
    running.endpoint.wait(in_flight=16)
    with second_orchestrator(running) as log:
        running.kill("orchestrator", signal.SIGSTOP)
        assert any(f"took over #{started[0].number} " in line for line in log)
        running.endpoint.gate(closed=False)
        evaluation = running.wait(started)[0]
        running.kill("orchestrator", signal.SIGCONT)
        woken = running.data / "logs" / "orchestrator.log"
        while f"{evaluation.id} was taken over" not in woken.read_text():
            time.sleep(0.05)
        same(running, evaluation, undisturbed)
