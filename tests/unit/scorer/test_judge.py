"""What is published for a judge, and what becomes a result without it."""

import asyncio
from typing import Any, cast

import pytest

from services.scorer import judge as module
from services.scorer.judge import Judge
from services.scorer.judging import step
from services.scorer.lane import Landing
from services.scorer.scorers import Score
from services.scorer.workers import OverLimit, Workers
from shared.contracts import Job, Outcome, Prediction
from shared.large import HEADER, LargeMessages
from shared.publisher import NotTaken, Publisher
from shared.scoring import JudgeScoring

ANSWER = Prediction(
    evaluation="e1",
    model="m1",
    index=4,
    item_id="i4",
    target="12",
    hints={"input": "7 + 5?"},
    scoring=JudgeScoring(scorer="judge", rubric="{{ output }}"),
    judge="m2",
    outcome=Outcome.SCORED,
    output="It is 12.",
)


class InProcess:
    """Workers that work here; with `limit`, nothing stays below it."""

    def __init__(self, limit: str | None = None) -> None:
        self._limit = limit

    async def judge(self, prediction: Prediction) -> dict[str, Any]:
        if self._limit:
            raise OverLimit(self._limit)
        assert isinstance(prediction.scoring, JudgeScoring)
        return step(prediction.scoring, prediction.model_dump(mode="json", exclude={"scoring"}))


class Broker:
    """Refuses as often as it is told to; keeps what it takes."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.taken: list[tuple[str, bytes, str, dict[str, str] | None]] = []

    def publish(
        self, subject: str, payload: bytes, message_id: str, headers: dict[str, str] | None = None
    ) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refusals:
            self.refusals -= 1
            done.set_exception(NotTaken("the stream refuses: maximum bytes exceeded"))
        else:
            self.taken.append((subject, payload, message_id, headers))
            done.set_result(None)
        return done


class Store:
    """Keeps bodies above a limit."""

    def __init__(self, limit: int = 10**6) -> None:
        self._limit = limit
        self.bodies: list[bytes] = []

    def too_large(self, body: bytes) -> bool:
        return len(body) > self._limit

    async def put(self, stream: str, evaluation: str, message_id: str, body: bytes) -> dict[str, str]:
        self.bodies.append(body)
        return {HEADER: f"messages/{evaluation}/{stream}/{message_id}"}


def judge(broker: Broker, store: Store | None = None, limit: str | None = None) -> Judge:
    return Judge(cast(Workers, InProcess(limit)), cast(Publisher, broker), cast(LargeMessages, store or Store()))


async def test_a_question_is_published_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0)
    broker = Broker(refusals=3)
    assert await judge(broker).score(ANSWER) is None
    ((subject, payload, message_id, headers),) = broker.taken
    assert (subject, message_id, headers) == ("jobs.m2.e1.judge", "e1:4:0:0:0:judge:0", None)
    job = Job.model_validate_json(payload)
    assert job.judging
    assert (job.messages[0].content, job.judging.answer.output) == ("It is 12.", "It is 12.")


async def test_a_large_question_is_stored_once_and_published_without_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0)
    broker, store = Broker(refusals=1), Store(limit=10)
    assert await judge(broker, store).score(ANSWER) is None
    (body,) = store.bodies
    assert Job.model_validate_json(body).judge == "m2"
    ((_, payload, _, headers),) = broker.taken
    assert payload == b""
    assert headers == {HEADER: "messages/e1/JOBS/e1:4:0:0:0:judge:0"}


async def test_what_is_over_a_limit_counts_nothing_and_says_why() -> None:
    broker = Broker()
    found = await judge(broker, limit="it takes more than 5 s of CPU time").score(ANSWER)
    assert isinstance(found, Landing)
    assert found.prediction.output == "It is 12."
    assert found.score == Score(
        prediction="It is 12.",
        target="12",
        correct=False,
        scores={"judge": 0.0},
        detail="Not judged: it takes more than 5 s of CPU time",
    )
    assert broker.taken == []


@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.MODEL_ERROR])
async def test_where_there_is_no_answer_nobody_is_asked(outcome: Outcome) -> None:
    broker = Broker()
    found = await judge(broker).score(ANSWER.model_copy(update={"outcome": outcome, "output": ""}))
    assert isinstance(found, Score)
    assert (found.correct, found.scores, broker.taken) == (False, {}, [])
