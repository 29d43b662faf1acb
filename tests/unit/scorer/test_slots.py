"""Slots are shared by the time that evaluations have had."""

import asyncio

import pytest

from services.scorer.slots import Slots


class Bench:
    """Work whose time goes by only when it is told to."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.slots = Slots(count, lambda: self.now)
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, evaluation: str, seconds: float, times: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._work(evaluation, seconds)) for _ in range(times)]

    async def _work(self, evaluation: str, seconds: float) -> None:
        async with self.slots.slot(evaluation):
            self.order.append(evaluation)
            await asyncio.sleep(0)
            self.now += seconds

    async def done(self) -> list[str]:
        await asyncio.gather(*self.tasks)
        return self.order


async def test_who_has_had_least_is_next() -> None:
    bench = Bench(1)
    bench.ask("slow", 5, times=3)
    bench.ask("quick", 0.5, times=12)
    # The first slow one has the time of ten quick ones.
    assert await bench.done() == ["slow", *["quick"] * 10, "slow", *["quick"] * 2, "slow"]


async def test_one_evaluation_alone_has_all_slots_in_its_own_order() -> None:
    bench = Bench(3)
    bench.ask("only", 1, times=7)
    assert await bench.done() == ["only"] * 7


async def test_who_comes_late_does_not_have_the_time_saved_up() -> None:
    bench = Bench(1)
    bench.ask("first", 5, times=4)
    while bench.order != ["first"] * 2:
        await asyncio.sleep(0)
    bench.ask("late", 5, times=2)
    order = await bench.done()
    assert order == ["first", "first", "first", "late", "first", "late"]


@pytest.mark.parametrize("granted", [True, False])
async def test_who_goes_away_while_it_waits_takes_no_slot(granted: bool) -> None:
    slots = Slots(1)
    entered: list[str] = []
    leave = asyncio.Event()

    async def work(name: str) -> None:
        async with slots.slot(name):
            entered.append(name)
            if name == "holder":
                await leave.wait()

    holder = asyncio.create_task(work("holder"))
    await asyncio.sleep(0)
    gone = asyncio.create_task(work("gone"))
    last = asyncio.create_task(work("last"))
    await asyncio.sleep(0)
    if granted:
        # It is cancelled in the same moment in which it is given the slot.
        leave.set()
        while not holder.done():
            await asyncio.sleep(0)
        gone.cancel()
    else:
        gone.cancel()
        await asyncio.sleep(0)
        leave.set()
    await asyncio.gather(holder, gone, last, return_exceptions=True)
    assert entered == ["holder", "last"]
    async with asyncio.timeout(1), slots.slot("again"):
        pass
