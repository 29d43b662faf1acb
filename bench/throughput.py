"""Items per second, from the POST to `completed`, against an endpoint that answers at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import uvloop

from bench.fixtures import Bench
from bench.loops import aiohttp_loop, httpx_loop
from bench.results import Section, Table
from bench.timing import Timing, evaluate

CONCURRENCY = 64
HTTPX_ITEMS = 1_500
"""Plain httpx manages a few hundred calls a second: more would only take longer."""

WHAT = f"""How fast items pass when the endpoint takes no time, {CONCURRENCY} at once: what is measured is Assay's own work, and this is its upper
bound. *Completed* is the whole evaluation from the POST until its files are stored and verified; *last result stored* leaves the
metrics and files out; *steady* is the rate between 10 % and 90 % of progress. The bare loops make the same calls to the same
endpoint with {CONCURRENCY} connections on the same event loop (uvloop) and do nothing else: they dispatch, score, store and survive nothing.
Medians of the rounds, in each of which every row was measured once."""


@dataclass
class Rounds:
    """What each round found: items per second of the loops, and Assay's timings."""

    aiohttp: list[float] = field(default_factory=list)
    httpx: list[float] = field(default_factory=list)
    assay: list[Timing] = field(default_factory=list)


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """All ways in turn, `rounds` times."""
    bench.behave()
    model = bench.add_model(CONCURRENCY)
    bodies = bench.workload.bodies(items)
    few = bodies[:HTTPX_ITEMS]
    # The endpoint looks every problem up once, the services import and connect what they need.
    uvloop.run(aiohttp_loop(bench.base_url, bodies, CONCURRENCY))
    evaluate(bench.client, model.id, min(items, 500))
    found = Rounds()
    for number in range(1, rounds + 1):
        found.aiohttp.append(items / uvloop.run(aiohttp_loop(bench.base_url, bodies, CONCURRENCY)))
        found.httpx.append(len(few) / uvloop.run(httpx_loop(bench.base_url, few, CONCURRENCY)))
        found.assay.append(evaluate(bench.client, model.id, items))
        say(f"throughput, round {number} of {rounds}: {items / found.assay[-1].completed_s:,.0f} items/s to completed")
    return Section("throughput", "Throughput", WHAT, [table(items, len(few), found), parts_table(found.assay)])


def table(items: int, few: int, found: Rounds) -> Table:
    """The rates, their spread over the rounds, and their ratios to the loops."""
    aiohttp, httpx = median(found.aiohttp), median(found.httpx)
    rows = {
        "Assay, POST to completed": [items / timing.completed_s for timing in found.assay],
        "Assay, POST to last result stored": [items / timing.stored_s for timing in found.assay],
        "Assay, steady": [timing.steady_per_s for timing in found.assay],
        "bare aiohttp loop": found.aiohttp,
        f"plain httpx loop ({few:,} items)": found.httpx,
    }
    return Table(
        f"{items:,} items, {CONCURRENCY} at once, no latency, {len(found.assay)} rounds",
        ["", "items/s", "lowest to highest", "x aiohttp", "x httpx"],
        [
            [
                name,
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{median(rates) / aiohttp:.2f}",
                f"{median(rates) / httpx:.2f}",
            ]
            for name, rates in rows.items()
        ],
    )


def parts_table(timings: list[Timing]) -> Table:
    """Where an evaluation's time goes."""
    spans = {
        "POST to running (submission stored)": [timing.started_s for timing in timings],
        "running to last result stored": [timing.stored_s - timing.started_s for timing in timings],
        "last result stored to completed (metrics, files)": [
            timing.completed_s - timing.stored_s for timing in timings
        ],
        "all": [timing.completed_s for timing in timings],
    }
    return Table(
        "Where the time goes, seconds",
        ["", "median", "lowest to highest"],
        [[name, f"{median(s):.2f}", f"{min(s):.2f} to {max(s):.2f}"] for name, s in spans.items()],
    )
