"""A model's calls are shared evenly by its evaluations, whatever their size and whoever owns them. Judged by order, not by time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from shared.api import Evaluation, Model
from tests.running import ROOT, RunningStack

pytestmark = pytest.mark.large

LIMIT = 50
CONCURRENCY = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with RunningStack(tmp_path_factory.mktemp("fair")) as stack:
        stack.push_sample_environment()
        stack.endpoint.behave(latency_ms=10)
        yield stack


@pytest.fixture
def huge(running: RunningStack) -> Iterator[tuple[Model, Evaluation]]:
    """A model with an evaluation of 20,000 samples, well under way."""
    model = running.add_model("sample-80", max_concurrency=CONCURRENCY)
    running.endpoint.reset()
    evaluation = running.evaluate("word-problems", [model], phase="test", samples_per_item=50)[0]
    running.endpoint.wait(requests=100)
    yield model, evaluation
    running.client.evaluations.cancel(evaluation.id)


def database(stack: RunningStack) -> Any:
    return pymongo.MongoClient[dict[str, Any]](stack.embedded.environment["ASSAY_MONGO_URL"])["assay"]


def overtaken(stack: RunningStack, huge: Evaluation, small: Evaluation) -> int:
    """How many results of the huge one landed from the small one's first to its last."""
    results = database(stack)["results"]
    landed = [row["landed_at"] for row in results.find({"evaluation": small.id}, {"landed_at": 1})]
    assert len(landed) == LIMIT
    span = {"$gte": min(landed), "$lte": max(landed)}
    return int(results.count_documents({"evaluation": huge.id, "landed_at": span}))


def test_a_small_evaluation_behind_a_huge_one(running: RunningStack, huge: tuple[Model, Evaluation]) -> None:
    model, large = huge
    small = running.wait(running.evaluate("word-problems", [model], phase="dev", limit=LIMIT))[0]
    assert small.status == "completed"
    # Even shares would be as many; a batch of the scorer at each end comes on top. Behind it all there would be 20,000.
    assert overtaken(running, large, small) < 3 * LIMIT
    assert running.client.evaluations.get(large.id).status == "running"


def test_priority_counts(running: RunningStack, huge: tuple[Model, Evaluation]) -> None:
    model, large = huge
    small = running.wait(running.evaluate("word-problems", [model], phase="dev", limit=LIMIT, priority=10))[0]
    assert overtaken(running, large, small) < LIMIT


def test_evaluations_of_two_orchestrators(running: RunningStack, huge: tuple[Model, Evaluation]) -> None:
    model, large = huge
    second = subprocess.Popen(
        [sys.executable, "-m", "services.orchestrator.app"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **running.embedded.environment},
    )
    try:
        evaluations = database(running)["evaluations"]
        owner = evaluations.find_one({"_id": large.id})["owner"]
        for _ in range(40):
            small = running.wait(running.evaluate("word-problems", [model], phase="dev", limit=LIMIT))[0]
            if evaluations.find_one({"_id": small.id})["owner"] != owner:
                break
        else:
            pytest.fail("the second orchestrator never took an evaluation")
        assert overtaken(running, large, small) < 3 * LIMIT
    finally:
        second.terminate()
        second.wait(20)
