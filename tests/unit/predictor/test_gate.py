"""The gate: who may start a call, and when."""

import asyncio

import pytest

from services.predictor.answers import Trouble
from services.predictor.gate import SUSPECT_FAILING, SUSPECT_UNREACHABLE, Gate
from shared.contracts import ModelStatus


def never() -> bool:
    return False


async def entering(gate: Gate, count: int = 1) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(gate.enter(never)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_an_open_gate_is_not_asked() -> None:
    gate = Gate(lambda: 0)
    assert not gate.shut
    assert await gate.enter(never) is True


async def test_a_paused_model_holds_its_calls_until_it_runs() -> None:
    gate = Gate(lambda: 0)
    gate.set_status(ModelStatus.UNREACHABLE, "connection refused")
    assert gate.shut
    assert gate.why == "the model is unreachable (connection refused)"
    tasks = await entering(gate, 3)
    assert gate.waiting == 3
    gate.set_status(ModelStatus.RUNNING, "")
    assert await asyncio.gather(*tasks) == [True] * 3
    assert not gate.shut


async def test_a_job_that_nobody_waits_for_leaves_at_once() -> None:
    gate = Gate(lambda: 0)
    gate.set_status(ModelStatus.UNREACHABLE, "")
    given_up: set[str] = set()
    one = asyncio.create_task(gate.enter(lambda: "one" in given_up))
    two = asyncio.create_task(gate.enter(lambda: "two" in given_up))
    await asyncio.sleep(0)
    given_up.add("one")
    gate.wake()
    assert await one is False
    await asyncio.sleep(0)
    assert not two.done()
    gate.set_status(ModelStatus.RUNNING, "")
    assert await two is True


async def test_a_retry_after_holds_and_passes_and_only_a_longer_one_is_news() -> None:
    gate = Gate(lambda: 0)
    assert gate.hold(0.05)
    assert not gate.hold(0.01)
    assert gate.shut
    (task,) = await entering(gate)
    assert not task.done()
    assert await task is True
    assert gate.held_s == 0
    assert not gate.closed


async def test_grants_let_in_as_many_as_they_are() -> None:
    gate = Gate(lambda: 0)
    gate.pace(True)
    tasks = await entering(gate, 5)
    gate.grant(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(task.done() for task in tasks) == 2
    assert (gate.waiting, gate.tokens) == (3, 0)
    gate.grant(4)
    await asyncio.gather(*tasks)
    assert gate.tokens == 1
    gate.pace(False)
    assert not gate.shut


@pytest.mark.parametrize(
    ("trouble", "enough"),
    [
        (Trouble.UNREACHABLE, SUSPECT_UNREACHABLE),
        (Trouble.FAILING, SUSPECT_FAILING),
        (Trouble.OVERLOADED, SUSPECT_FAILING),
    ],
)
async def test_failures_in_turn_are_suspicious_and_an_answer_clears_it(trouble: Trouble, enough: int) -> None:
    gate = Gate(lambda: 0)
    for _ in range(enough - 1):
        gate.failed(trouble, first=True)
    assert not gate.down
    gate.failed(trouble, first=True)
    assert gate.down
    assert gate.shut
    gate.answered()
    assert not gate.down
    assert not gate.shut


async def test_a_sample_that_fails_again_and_again_is_no_evidence() -> None:
    gate = Gate(lambda: 0)
    for _ in range(100):
        gate.failed(Trouble.FAILING, first=False)
    assert not gate.shut


async def test_after_a_pause_no_more_calls_begin_than_were_served_beside_those_refused() -> None:
    under_way = 10
    gate = Gate(lambda: under_way)
    gate.hold(0.3)  # longer than a starved loop takes to have them all waiting
    under_way = 0
    entered = 0

    async def call() -> None:
        nonlocal entered, under_way
        await gate.enter(lambda: False)
        entered += 1
        under_way += 1

    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(call()) for _ in range(16)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert entered == 9  # of the ten one may have been refused a moment later
        assert gate.shut
        under_way -= 1
        gate.ended()
        while entered < 10:
            await asyncio.sleep(0)
        # The limit has followed by now.
        await asyncio.gather(*waiting)
    assert entered == 16
    assert not gate.shut


async def test_refusals_that_come_again_and_again_do_not_shrink_the_room_to_one_call() -> None:
    under_way = 10
    gate = Gate(lambda: under_way)

    async def call() -> None:
        nonlocal under_way
        await gate.enter(never)
        under_way += 1

    async with asyncio.timeout(5):
        for _ in range(5):
            gate.hold(0.1)
            under_way = 0
            waiting = [asyncio.create_task(call()) for _ in range(12)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert under_way == 9
            gate.abandon()
            await asyncio.gather(*waiting, return_exceptions=True)
