"""Wall time against the ideal where the endpoint takes its time: how much of it Assay adds."""

import math
from collections.abc import Callable
from statistics import median

import uvloop

from bench.fixtures import Bench
from bench.loops import aiohttp_loop
from bench.results import Section, Table
from bench.timing import Timing, evaluate

LATENCY_S = 0.5

GSM8K = 1_319
"""As many items as GSM8K's test set has."""

ITEMS = 10 * GSM8K
CASES = {64: GSM8K, 256: GSM8K, 1_024: ITEMS}
"""Items by concurrency: a wide model needs more of them, or there would be no more than a wave or two."""

WHAT = f"""How close an evaluation comes to the time that nobody can beat: every call takes {LATENCY_S * 1000:g} ms, so `ceil(items / concurrency)`
waves of calls, one after the other. The ratio is to that ideal, 1.00 being perfect. *Last result stored* counts from the POST, so
the making of the submission, dispatch, calls, scoring and storing are in it; *completed* adds metrics and files. The bare aiohttp
loop shows what the endpoint and the machine allow. Medians of the rounds."""


def ideal_s(items: int, concurrency: int, latency_s: float) -> float:
    """Seconds that `items` calls of `latency_s` take at least, `concurrency` at once."""
    return math.ceil(items / concurrency) * latency_s


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Each concurrency in turn, `rounds` times, beside the bare loop; `items` is the most that any has."""
    cases = {concurrency: min(items, most) for concurrency, most in CASES.items()}
    models = {concurrency: bench.add_model(concurrency) for concurrency in cases}
    loops: dict[int, list[float]] = {concurrency: [] for concurrency in cases}
    timings: dict[int, list[Timing]] = {concurrency: [] for concurrency in cases}
    bench.behave()
    for model in models.values():
        evaluate(bench.client, model.id, min(items, 500))
    bench.behave(latency_ms=LATENCY_S * 1000)
    for number in range(1, rounds + 1):
        for concurrency, count in cases.items():
            bodies = bench.workload.bodies(count)
            loops[concurrency].append(uvloop.run(aiohttp_loop(bench.base_url, bodies, concurrency)))
            timings[concurrency].append(evaluate(bench.client, models[concurrency].id, count))
            took = timings[concurrency][-1].stored_s
            ideal = ideal_s(count, concurrency, LATENCY_S)
            say(f"latency, round {number} of {rounds}, {concurrency} at once: {took:.2f} s, ideal {ideal:.2f} s")
    bench.behave()
    return Section("latency", "Latency", WHAT, [table(loops, timings)])


def table(loops: dict[int, list[float]], timings: dict[int, list[Timing]]) -> Table:
    """A row for each way and concurrency."""
    rows = []
    for concurrency, found in timings.items():
        items = found[0].items
        ideal = ideal_s(items, concurrency, LATENCY_S)
        ways = {
            "bare aiohttp loop": loops[concurrency],
            "Assay, POST to last result stored": [timing.stored_s for timing in found],
            "Assay, POST to completed": [timing.completed_s for timing in found],
        }
        rows += [
            [
                f"{items:,} items, {concurrency:,} at once: {way}",
                f"{ideal:.2f}",
                f"{median(seconds):.2f}",
                f"{min(seconds):.2f} to {max(seconds):.2f}",
                f"{median(seconds) / ideal:.2f}",
            ]
            for way, seconds in ways.items()
        ]
    return Table(
        f"{LATENCY_S * 1000:g} ms a call",
        ["", "ideal s", "s", "lowest to highest", "x ideal"],
        rows,
    )
