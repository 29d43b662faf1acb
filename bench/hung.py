"""A hung model beside a healthy one: whether it slows its neighbour."""

from collections.abc import Callable, Sequence
from statistics import median

import httpx

from bench.fixtures import HUNG, SLUG, Bench, BenchError
from bench.results import Section, Table
from bench.timing import Timing, evaluate
from shared.api import Model

CONCURRENCY = 64
LATENCIES_MS = (0, 50)
CALL_TIMEOUT_S = 60
"""Of the hung model: longer than the healthy evaluation takes, so that all its calls hang from its beginning to its end."""

WAIT_S = 60.0
POLL_S = 0.1

WHAT = f"""A healthy model, {CONCURRENCY} at once, by itself and beside a model whose endpoint takes every call and never answers,
{CONCURRENCY} at once too and with an evaluation as large on it. Both in each round, in turns as to which comes first;
*slower* is the median over the rounds of one pair's ratio, from the POST to the last result stored and to `completed`. That
all calls of the hung model hang before and after the healthy evaluation is asked of the endpoint."""

Pair = tuple[Timing, Timing]
"""Alone, and beside the hung model."""


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """`rounds` pairs for each latency."""
    healthy = bench.add_model(CONCURRENCY)
    bench.behave()
    evaluate(bench.client, healthy.id, min(items, 500))
    found: dict[int, list[Pair]] = {}
    for latency_ms in LATENCIES_MS:
        bench.behave(latency_ms=latency_ms)
        bench.behave(model=HUNG, hang_rate=1)
        found[latency_ms] = [pair(bench, healthy, items, number) for number in range(rounds)]
        say(
            f"hung, {latency_ms} ms a call: {slower(found[latency_ms], lambda timing: timing.stored_s):+.1%} beside a hung model"
        )
    bench.behave()
    return Section("hung", "A hung neighbour", WHAT, [table(items, found)])


def pair(bench: Bench, healthy: Model, items: int, number: int) -> Pair:
    """One evaluation alone and one beside a hung model; the hung one first where `number` is odd."""
    if number % 2:
        beside = beside_hung(bench, healthy, items)
        return evaluate(bench.client, healthy.id, items), beside
    return evaluate(bench.client, healthy.id, items), beside_hung(bench, healthy, items)


def beside_hung(bench: Bench, healthy: Model, items: int) -> Timing:
    """An evaluation of the healthy model while every slot of a hung one is taken. Raises `BenchError` where that did not hang."""
    hung = bench.add_model(CONCURRENCY, HUNG, timeout_s=CALL_TIMEOUT_S)
    stuck = bench.client.evaluations.start(SLUG, [hung.id], limit=items).evaluations[0]
    wait_in_flight(bench, CONCURRENCY)
    timing = evaluate(bench.client, healthy.id, items)
    counts = httpx.get(f"{bench.endpoint}/stats").raise_for_status().json()["models"][HUNG]
    if counts["in_flight"] != CONCURRENCY:
        raise BenchError(f"{counts['in_flight']} of {CONCURRENCY} calls of the hung model still hang at the end")
    bench.client.evaluations.cancel(stuck.id)
    bench.client.models.delete(hung.id)  # with it the calls that hang end
    wait_in_flight(bench, 0)
    return timing


def wait_in_flight(bench: Bench, count: int) -> None:
    """Until so many calls of the hung model are under way."""
    asked = {"model": HUNG, "in_flight": str(count), "timeout_s": f"{WAIT_S:g}"}
    answer = httpx.get(f"{bench.endpoint}/wait", params=asked, timeout=WAIT_S + 10)
    if answer.status_code == httpx.codes.REQUEST_TIMEOUT:
        raise BenchError(f"the hung model did not come to {count} calls under way within {WAIT_S:g} s")
    answer.raise_for_status()


def slower(pairs: Sequence[Pair], seconds: Callable[[Timing], float]) -> float:
    """By how much the evaluation beside the hung model took longer: 0.05 is 5 %."""
    return median(seconds(beside) / seconds(alone) - 1 for alone, beside in pairs)


def table(items: int, found: dict[int, list[Pair]]) -> Table:
    """Rows by latency and end of the measurement."""
    ends: dict[str, Callable[[Timing], float]] = {
        "last result stored": lambda timing: timing.stored_s,
        "completed": lambda timing: timing.completed_s,
    }
    rows = []
    for latency_ms, pairs in found.items():
        for end, seconds in ends.items():
            ratios = [seconds(beside) / seconds(alone) - 1 for alone, beside in pairs]
            rows.append(
                [
                    f"{latency_ms} ms a call, POST to {end}",
                    f"{median(seconds(alone) for alone, _ in pairs):.2f}",
                    f"{median(seconds(beside) for _, beside in pairs):.2f}",
                    f"{100 * slower(pairs, seconds):+.1f} %",
                    f"{100 * min(ratios):+.1f} to {100 * max(ratios):+.1f} %",
                ]
            )
    return Table(
        f"{items:,} items, {CONCURRENCY} at once, {len(next(iter(found.values())))} rounds",
        ["healthy model", "alone s", "beside s", "slower", "lowest to highest"],
        rows,
    )
