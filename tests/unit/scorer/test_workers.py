"""Worker processes: what takes too long, too much, or kills them costs the one answer that did it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.scorer.scorers import Score
from services.scorer.workers import ScorerFailed, Workers, WorkersAway
from shared.contracts import Outcome, Prediction
from shared.scoring import Scoring

pytestmark = pytest.mark.usefixtures("plugins")


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    found = Workers(2, memory_bytes=512 * 1024**2)
    yield found
    await found.stop()


def prediction(output: str, outcome: Outcome = Outcome.SCORED, **options: Any) -> Prediction:
    fields = {"evaluation": "e1", "model": "m1", "index": 0, "item_id": "1", "target": "yes", "output": output}
    scoring = {"scorer": "awkward", **options}
    return Prediction.model_validate({**fields, "scoring": scoring, "outcome": outcome})


async def test_an_answer_is_scored(workers: Workers) -> None:
    assert await workers.score(prediction("yes")) == Score("yes", "yes", True, {})
    counted = await workers.score(prediction("a b c", scorer="word_count", slack=1).model_copy(update={"target": "4"}))
    assert counted == Score("3", "4", True, {"closeness": 0.75}, "3 words")


async def test_what_was_not_answered_is_not_looked_at(workers: Workers) -> None:
    assert await workers.score(prediction("loop", Outcome.MODEL_ERROR)) == Score(None, "yes", False, {})
    assert not workers.running


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("loop", "Not scored: it takes more than 0.2 s of CPU time"),
        ("eat", "Not scored: it takes more than 536,870,912 bytes of memory"),
        ("die 11", "Not scored: it makes the scorer crash (code -11)"),
        ("die 9", "Not scored: it makes the scorer crash (code -9)"),
    ],
)
async def test_an_answer_over_a_limit_is_wrong_with_the_reason(workers: Workers, output: str, says: str) -> None:
    awkward: dict[str, Any] = {"time_limit_s": 0.2} if output == "loop" else {}
    scored, other = await asyncio.gather(
        workers.score(prediction(output, **awkward)), workers.score(prediction("yes", **awkward))
    )
    assert (scored.correct, scored.prediction, scored.detail) == (False, None, says)
    assert other.correct
    assert (await workers.score(prediction("yes"))).correct


async def test_what_waits_without_end_is_given_up(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.workers.WALL_EXTRA_S", 0.3)
    scored = await workers.score(prediction("sleep", time_limit_s=0.02))
    assert scored.detail == "Not scored: it does not end (limit: 0.02 s of CPU time)"


async def test_a_worker_that_somebody_killed_is_not_the_answers_fault(workers: Workers, tmp_path: Path) -> None:
    output = f"die-once {tmp_path / 'seen'}"
    assert (await workers.score(prediction(output))) == Score(output, "yes", False, {})


async def test_what_a_scorer_prints_does_not_get_in_between(workers: Workers) -> None:
    assert await workers.score(prediction("print")) == Score("print", "yes", False, {})


@pytest.mark.parametrize(
    ("output", "says"),
    [("raise", "LookupError: no such thing"), ("nan", "awkward gave no score"), ("junk", "awkward gave no score")],
)
async def test_a_scorer_that_fails_by_itself_is_not_the_answers_fault(workers: Workers, output: str, says: str) -> None:
    with pytest.raises(ScorerFailed, match=says):
        await workers.score(prediction(output))
    assert (await workers.score(prediction("yes"))).correct


async def test_a_worker_knows_no_secret(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_S3_SECRET_KEY", "hush")
    names = (await workers.score(prediction("secrets"))).prediction or ""
    assert "PATH" in names.split()
    assert "ASSAY" not in names


async def test_workers_are_started_when_they_are_needed_and_used_again(workers: Workers) -> None:
    assert not workers.running
    pids = {(await workers.score(prediction("pid"))).prediction for _ in range(3)}
    assert len(pids) == 1
    assert len(workers.running) == 1
    await asyncio.gather(*(workers.score(prediction("pid")) for _ in range(9)))
    assert len(workers.running) == 2


async def test_a_scoring_that_is_given_up_leaves_no_process(workers: Workers, tmp_path: Path) -> None:
    pid = int((await workers.score(prediction("pid"))).prediction or 0)
    begun = tmp_path / "begun"
    work = asyncio.create_task(workers.score(prediction(f"sleep {begun}")))
    async with asyncio.timeout(10):
        while not begun.exists():
            await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert (await workers.score(prediction("yes"))).correct


async def test_a_target_is_checked(workers: Workers) -> None:
    scoring: Scoring = TypeAdapter(Scoring).validate_python({"scorer": "word_count"})
    assert await workers.check_target("3", scoring, {}) is None
    assert await workers.check_target("many", scoring, {}) == "the target 'many' is no number of words from 1 on"


async def test_a_worker_that_cannot_start_is_nobodys_fault(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "orjson.py").write_text("raise ImportError('none here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkersAway, match="does not start"):
        await workers.score(prediction("yes"))


BRACES = "$" + "{" * 5000 + "1" + "}" * 5000 + "$"
PATTERN = {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}


@pytest.mark.parametrize(
    ("scoring", "target", "output", "scores"),
    [
        ({"scorer": "math"}, "3", "$10^{10^{10}}$", {}),
        ({"scorer": "math"}, "3", "It is 9**9**9**9.", {}),
        ({"scorer": "math"}, "3", BRACES, {}),
        (
            {"scorer": "json", "schema": PATTERN},
            '{"a": "b"}',
            f'{{"a": "{"a" * 40}b"}}',
            {"score": 0, "valid": 0, "fields": 0},
        ),
        ({"scorer": "rouge"}, "b " * 2000, "a " * 50_000, {"rouge1": 0, "rouge2": 0, "rougeL": 0}),
    ],
)
async def test_the_librarys_worst_cases_end_as_wrong_answers(
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
    scoring: dict[str, Any],
    target: str,
    output: str,
    scores: dict[str, float],
) -> None:
    monkeypatch.setattr("services.scorer.scorers.WORKER_TIME_LIMIT_S", 0.5)
    limit: dict[str, Any] = {"time_limit_s": 0.5} if scoring["scorer"] == "math" else {}
    scored = await workers.score(prediction(output, **scoring, **limit).model_copy(update={"target": target}))
    assert (scored.prediction, scored.correct, scored.scores) == (None, False, scores)
    assert (scored.detail or "").startswith("Not scored: it takes more than ")


PIECES = ["(", "[", "{", r"\frac{", "$", r"\boxed{", "9", "9,", "answer is ", "1/", "^", '"', '{"a":', "a ", "é"]


async def test_a_hundred_kilobytes_of_one_thing_end(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.scorers.WORKER_TIME_LIMIT_S", 0.5)
    limited: dict[str, Any] = {"scorer": "math", "time_limit_s": 0.5}
    asked = [
        prediction(piece * (100_000 // len(piece)), **scoring).model_copy(update={"target": "3"})
        for piece in PIECES
        for scoring in (limited, {"scorer": "json"}, {"scorer": "rouge"}, {"scorer": "bleu"})
    ]
    found = await asyncio.gather(*map(workers.score, asked))
    assert not any(scored.correct for scored in found)
