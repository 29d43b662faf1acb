"""Models with an engine, with a real launcher; the sample endpoint is the engine."""

import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.errors import Conflict
from shared.api import Evaluation, Model
from tests.running import RunningStack


def eventually(what: Callable[[], Any], deadline_s: float = 60) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + deadline_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"still {answer!r} after {deadline_s} s"
        time.sleep(0.1)
    return answer


def processes(model: Model) -> list[int]:
    """What runs of a model's engine: its command line has the model's name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.split(b"=")[0] == model.model.encode() for word in words):
            found.append(int(path.parent.name))
    return found


def said(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    return [event.data.get("message", "") for event in stack.client.events.history(evaluation.id)]


def until_status(stack: RunningStack, model: Model, *statuses: str) -> Model:
    def look() -> Model | None:
        found = stack.client.models.get(model.id)
        return found if found.status in statuses else None

    found: Model = eventually(look)
    return found


def rid_of(stack: RunningStack, model: Model) -> None:
    stack.client.models.delete(model.id)
    eventually(lambda: not processes(model))


def test_a_checkpoint_becomes_a_completed_evaluation(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_sample_engine("tuned 0.26")
    assert (model.status, model.source, model.base_url, model.model) == ("stopped", "trained", None, "tuned-0.26")
    (evaluation,) = stack.evaluate("word-problems", [model], limit=20)
    done = stack.wait([evaluation])[0]
    assert (done.status, done.progress.scored) == ("completed", 20)
    assert any(line.startswith("Starting the engine of model tuned 0.26: ") for line in said(stack, done))
    with zipfile.ZipFile(BytesIO(stack.file(done, "submission.zip"))) as archive:
        kept = json.loads(archive.read("submission.json"))["model"]
    assert model.engine
    assert (kept["engine"], kept["model"]) == (model.engine.model_dump(mode="json"), "tuned-0.26")
    assert "base_url" not in kept
    running = stack.client.models.get(model.id)
    assert (running.status, bool(running.base_url)) == ("running", True)
    assert any("Sample endpoint" in line for line in stack.client.models.log(model.id))
    assert "sample" in {engine.name for engine in stack.client.models.engines()}
    stack.client.models.stop(model.id)
    stopped = until_status(stack, model, "stopped")
    assert stopped.base_url is None
    assert not processes(model)
    rid_of(stack, model)


def test_an_engine_that_fails_ends_what_waits_for_it_with_its_words(stack: RunningStack) -> None:
    stack.push_sample_environment()
    broken = stack.add_sample_engine("broken", "broken")
    (folder,) = [stack.data / "checkpoint"]
    missing = stack.client.models.add("missing", engine={"name": "sample", "checkpoint": f"{folder}-none"})
    first, second = stack.wait(stack.evaluate("word-problems", [broken, missing], limit=5))
    assert (first.status, second.status) == ("failed", "failed")
    assert first.error
    assert first.error.startswith("the engine of model broken failed: ")
    assert "no weights" in first.error
    assert second.error
    assert f"{folder}-none" in second.error
    assert stack.client.models.get(broken.id).status == "failed"
    # A new evaluation is a new try.
    again = stack.wait(stack.evaluate("word-problems", [broken], limit=5))[0]
    assert again.status == "failed"
    assert sum("Starting the engine" in line for line in said(stack, again)) >= 1
    for model in (broken, missing):
        rid_of(stack, model)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with room for one engine."""
    with RunningStack(tmp_path_factory.mktemp("narrow"), ASSAY_ENGINES_AT_ONCE="1") as running:
        running.push_sample_environment()
        yield running


def held(stack: RunningStack, model: Model, limit: int = 40) -> Evaluation:
    """An evaluation in mid-run: calls are under way at the engine, and wait there."""
    stack.client.models.start(model.id)
    base_url = until_status(stack, model, "running").base_url
    assert base_url
    url = base_url.removesuffix("/v1")
    httpx.post(f"{url}/gate", json={"closed": True}).raise_for_status()
    (evaluation,) = stack.evaluate("word-problems", [model], limit=limit)
    httpx.get(f"{url}/wait", params={"in_flight": 10, "timeout_s": 60}, timeout=65).raise_for_status()
    return evaluation


@pytest.mark.large
@pytest.mark.parametrize("killed", ["engine", "launcher"])
def test_a_kill_in_mid_run_is_made_good(narrow: RunningStack, killed: str) -> None:
    model = narrow.add_sample_engine(f"killed-{killed}")
    evaluation = held(narrow, model)
    before = narrow.client.models.get(model.id).base_url
    if killed == "launcher":
        narrow.kill("launcher")
    else:
        for pid in processes(model):
            os.kill(pid, signal.SIGKILL)
    done = narrow.wait([evaluation])[0]
    assert (done.status, done.progress.scored, done.progress.infra_error) == ("completed", 40, 0)
    after = narrow.client.models.get(model.id).base_url
    assert after
    assert after != before
    narrow.client.models.stop(model.id)
    until_status(narrow, model, "stopped")
    rid_of(narrow, model)


@pytest.mark.large
def test_an_engine_that_cannot_be_kept_up_ends_the_rest_as_infra_error(narrow: RunningStack) -> None:
    model = narrow.add_sample_engine("dies")
    evaluation = held(narrow, model)

    def failed() -> bool:
        for pid in processes(model):
            os.kill(pid, signal.SIGKILL)
        return narrow.client.models.get(model.id).status == "failed"

    eventually(failed)
    done = narrow.wait([evaluation])[0]
    assert (done.status, done.progress.infra_error) == ("completed", 40)
    rows = list(narrow.client.evaluations.results(done.id))
    assert any("the engine of model dies failed" in (row.error or "") for row in rows)
    narrow.client.evaluations.redrive(done.id)
    whole = narrow.wait([done])[0]
    assert (whole.status, whole.progress.scored) == ("completed", 40)
    narrow.client.models.stop(model.id)
    rid_of(narrow, model)


@pytest.mark.large
def test_the_second_of_two_waits_for_room_and_then_runs(narrow: RunningStack) -> None:
    first, second = (
        narrow.add_sample_engine("first", idle_stop_s=10),
        narrow.add_sample_engine("second", idle_stop_s=10),
    )
    holding = held(narrow, first)
    with pytest.raises(Conflict, match=f"evaluation #{holding.number} needs the engine of model first"):
        narrow.client.models.stop(first.id)
    (waiting,) = narrow.evaluate("word-problems", [second], limit=10)
    eventually(lambda: any("waits for room: 1 of 1 engines run: first" in line for line in said(narrow, waiting)))
    assert narrow.client.evaluations.get(waiting.id).status == "queued"
    url = str(narrow.client.models.get(first.id).base_url).removesuffix("/v1")
    httpx.post(f"{url}/gate", json={"closed": False}).raise_for_status()
    assert [done.status for done in narrow.wait([holding, waiting])] == ["completed", "completed"]
    # Nobody needs it any more.
    until_status(narrow, second, "stopped")
    for model in (first, second):
        rid_of(narrow, model)


@pytest.mark.large
def test_an_engine_that_never_answers_fails_and_one_that_is_not_needed_any_more_goes(narrow: RunningStack) -> None:
    mute = narrow.add_sample_engine("mute", "mute", start_timeout_s=2)
    failed = narrow.wait(narrow.evaluate("word-problems", [mute], limit=5))[0]
    assert failed.status == "failed"
    assert failed.error
    assert "did not answer within 2 s" in failed.error
    slow = narrow.add_sample_engine("slow", "mute", idle_stop_s=10)
    (evaluation,) = narrow.evaluate("word-problems", [slow], limit=5)
    eventually(lambda: processes(slow))
    assert narrow.client.evaluations.cancel(evaluation.id).status == "cancelled"
    until_status(narrow, slow, "stopped")
    for model in (mute, slow):
        rid_of(narrow, model)
