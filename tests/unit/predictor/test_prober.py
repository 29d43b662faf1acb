"""Taking turns at asking models that nobody calls; the bucket is one in memory, with the compare-and-set of the real one."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from services.predictor.prober import AT_ONCE, Prober, learned
from services.predictor.worker import ModelWorker
from shared.contracts import ModelStatus, PacingState, ProbeAnswer
from tests.unit.predictor.servers import Handler, read_request, serving
from tests.unit.predictor.test_endpoint import endpoint

DOWN = PacingState(status=ModelStatus.UNREACHABLE, since=1000.0, at=1000.0, limit=8)
RUNS = PacingState(status=ModelStatus.RUNNING, since=1000.0, at=1000.0, limit=8)


class Bucket:
    def __init__(self) -> None:
        self.entries: dict[str, tuple[bytes, int]] = {}

    def put(self, key: str, state: PacingState) -> None:
        self.entries[key] = (state.model_dump_json().encode(), 1)

    def state(self, key: str) -> PacingState:
        return PacingState.model_validate_json(self.entries[key][0])

    async def get(self, key: str) -> Any:
        value, revision = self.entries[key]
        return SimpleNamespace(value=value, revision=revision)

    async def update(self, key: str, value: bytes, last: int) -> int:
        if self.entries[key][1] != last:
            raise KeyWrongLastSequenceError
        self.entries[key] = (value, last + 1)
        return last + 1


def prober(bucket: Bucket, url: str, states: dict[str, PacingState]) -> Prober:
    workers = {model_id: cast(ModelWorker, SimpleNamespace(endpoint=endpoint(url))) for model_id in states}
    made = Prober(cast(KeyValue, bucket), workers, 60.0)
    for model_id, state in states.items():
        made.seen(model_id, state)
    return made


class Asked:
    """A server that never answers, until it is told to, and how many ask it."""

    def __init__(self) -> None:
        self.now = self.most = self.ever = 0
        self.changed = asyncio.Event()
        self.let_go = asyncio.Semaphore(0)

    @property
    def handler(self) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            self.now += 1
            self.ever += 1
            self.most = max(self.most, self.now)
            self.changed.set()
            try:
                await self.let_go.acquire()
            finally:
                self.now -= 1

        return handle

    async def until(self, ever: int) -> None:
        async with asyncio.timeout(20):
            while self.ever < ever:
                await self.changed.wait()
                self.changed.clear()


async def test_of_many_endpoints_that_hang_no_more_are_asked_at_once_than_may_be() -> None:
    bucket, asked = Bucket(), Asked()
    states = {f"m{at}": DOWN for at in range(3 * AT_ONCE)}
    for model_id, state in states.items():
        bucket.put(model_id, state)
    async with serving(asked.handler) as url:
        asking = prober(bucket, url, states)
        running = asyncio.create_task(asking.run())
        await asked.until(AT_ONCE)
        for _ in range(AT_ONCE):
            asked.let_go.release()
        await asked.until(2 * AT_ONCE)
        running.cancel()
        await asking.stop()
    assert asked.most <= AT_ONCE


async def test_of_two_replicas_one_asks() -> None:
    bucket, asked = Bucket(), Asked()
    states = {f"m{at}": DOWN for at in range(8)}
    for model_id, state in states.items():
        bucket.put(model_id, state)
    async with serving(asked.handler) as url:
        both = [prober(bucket, url, states) for _ in range(2)]
        running = [asyncio.create_task(one.run()) for one in both]
        await asked.until(8)
        # Whoever comes later finds in the bucket that the turn is taken.
        async with asyncio.timeout(20):
            while any(due <= time.time() for one in both for due in one._due.values()):
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        for one in both:
            await one.stop()
    assert asked.ever == 8
    assert {bucket.state(model_id).asks for model_id in states} == {1}


@pytest.mark.parametrize(
    ("state", "answer", "changes"),
    [
        (RUNS, ProbeAnswer(status=ModelStatus.RUNNING, detail="GET /models lists it", listed=True), {}),
        (RUNS, ProbeAnswer(status=ModelStatus.RUNNING, detail="it answers; ...", latency_ms=7.0, listed=False),
         {"unlisted": True, "answer_ms": 7.0, "detail": "it answers; ..."}),
        (RUNS, ProbeAnswer(status=ModelStatus.UNREACHABLE, detail="refused"),
         {"status": ModelStatus.UNREACHABLE, "detail": "refused", "asks": 0}),
        (DOWN.model_copy(update={"asks": 4}), ProbeAnswer(status=ModelStatus.UNREACHABLE, detail="refused"), {"detail": "refused"}),
        (DOWN.model_copy(update={"asks": 4}), ProbeAnswer(status=ModelStatus.RUNNING, detail="it answers", latency_ms=7.0, listed=True),
         {"status": ModelStatus.RUNNING, "detail": "it answers", "asks": 0, "answer_ms": 7.0}),
    ],
)  # fmt: skip
def test_what_is_learned_is_what_is_new(state: PacingState, answer: ProbeAnswer, changes: dict[str, Any]) -> None:
    after = learned(state, answer)
    assert (after is state) == (not changes)
    kept = {"at": state.at, "since": state.since}
    assert after.model_copy(update=kept) == state.model_copy(update=changes)
    assert (after.since != state.since) == ("status" in changes)
