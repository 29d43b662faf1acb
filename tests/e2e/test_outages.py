"""Parts away for longer than every time-out, and streams without room: nothing lost, nobody crashes, and `/readyz` says which it is."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from shared import subjects
from shared.api import Evaluation, Model
from tests.e2e.test_kills import same
from tests.running import RunningStack

pytestmark = [
    pytest.mark.large,
    pytest.mark.timeout(300),
]  # an outage and what comes after it, on a machine that others use

OUTAGE_S = 20.0
"""Above every time-out and lease. That a part is away for so long is what is tested, so it is waited for."""

SERVICES = ("orchestrator", "predictor", "scorer", "artifacts", "launcher", "gateway")
NAMES = {"nats": "nats", "mongo": "mongodb", "objects": "objects"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    # So little that neither a window of jobs nor the predictions of it fit.
    with RunningStack(tmp_path_factory.mktemp("outages"), ASSAY_JOBS_MAX_BYTES=str(1024**2)) as stack:
        stack.push_sample_environment()
        yield stack


@pytest.fixture(scope="module")
def model(running: RunningStack) -> Model:
    return running.add_model("sample-80", max_concurrency=16)


@pytest.fixture(scope="module")
def undisturbed(running: RunningStack, model: Model) -> Evaluation:
    return running.wait(running.evaluate("word-problems", [model], phase="test"))[0]


def until_unready(running: RunningStack, name: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(f"{running.url}/readyz", timeout=30)
        if answer.status_code == 503 and name in answer.json()["detail"]:
            return
        time.sleep(0.1)
    pytest.fail(f"/readyz never named {name}")


@pytest.mark.parametrize("how", ["down", "frozen"])
@pytest.mark.parametrize("part", NAMES)
def test_an_outage(running: RunningStack, model: Model, undisturbed: Evaluation, part: str, how: str) -> None:
    running.until_ready()
    running.endpoint.reset()
    running.endpoint.behave(latency_ms=30)
    before = {service: running.pids(service) for service in SERVICES}
    started = running.evaluate("word-problems", [model], phase="test")
    running.endpoint.wait(requests=100)
    if how == "down":
        running.take_down(part)
    else:
        running.kill(part, signal.SIGSTOP)
    try:
        until_unready(running, NAMES[part])
        time.sleep(OUTAGE_S)
    finally:
        if how == "down":
            running.bring_up(part)
        else:
            running.kill(part, signal.SIGCONT)
    running.until_ready()
    evaluation = running.wait(started, timeout=120)[0]
    running.endpoint.behave()
    same(running, evaluation, undisturbed)
    assert {service: running.pids(service) for service in SERVICES} == before, "a service has died"


def logged(running: RunningStack, service: str) -> str:
    return "".join(path.read_text() for path in (running.data / "logs").glob(f"{service}*.log"))


def test_streams_without_room_are_back_pressure(running: RunningStack) -> None:
    running.until_ready()
    wide = running.add_model("sample-95", max_concurrency=2000)
    running.endpoint.reset()
    running.kill("scorer", signal.SIGSTOP)
    try:
        started = running.evaluate("word-problems", [wide], phase="test", samples_per_item=10)
        # Far fewer predictions fit than calls are made.
        deadline = time.monotonic() + 60
        while "cannot publish a prediction: the stream refuses" not in logged(running, "predictor"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        running.kill("scorer", signal.SIGCONT)
    done = running.wait(started, timeout=120)[0]
    assert done.status == "completed"
    assert done.progress.scored == 4000
    assert "are not taken: the stream refuses" in logged(running, "orchestrator")


def test_streams_that_lost_their_place_are_worked_off_from_their_beginning(
    running: RunningStack, model: Model, undisturbed: Evaluation
) -> None:
    """As a nats-server that is killed on a full disk may leave them: empty, counting from 1, their consumers far ahead."""
    running.until_ready()
    running.endpoint.behave()
    running.take_down("nats")
    for stream in (subjects.JOBS, subjects.PREDICTIONS):
        for block in (running.data / "nats/jetstream/$G/streams" / stream / "msgs").iterdir():
            block.unlink()
    running.bring_up("nats")
    running.until_ready()
    same(running, running.wait(running.evaluate("word-problems", [model], phase="test"))[0], undisturbed)
