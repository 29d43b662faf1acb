"""What an item costs: the CPU time of each process of the stack, and each step by itself."""

from collections.abc import Callable, Mapping
from pathlib import Path

import uvloop

from bench import steps
from bench.fixtures import Bench, BenchError
from bench.memory import cpu_s
from bench.results import Section, Table
from bench.timing import evaluate

CONCURRENCY = 64

WHAT = f"""The first table is the CPU time (user and system) of every process of the stack over one evaluation against an endpoint
without latency, {CONCURRENCY} at once, from the POST to `completed`, in seconds for each 1,000 items; the endpoint and the client are not in it.
The second is each step of an item by itself, in one process and batched as the services batch it: *CPU* is what it costs that
process, *wall* has the other side's work (nats-server, mongod, the endpoint) and waiting in it, all on the same cores."""


def usage(bench: Bench) -> dict[tuple[str, int], float]:
    """CPU seconds so far by part and process id."""
    return {
        (row.part, row.pid): cpu_s(Path(f"/proc/{row.pid}/stat").read_text()) for row in bench.stack.status() if row.pid
    }


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """One evaluation for the processes, `rounds` rounds of each step."""
    bench.behave()
    model = bench.add_model(CONCURRENCY)
    evaluate(bench.client, model.id, min(items, 500))
    before = usage(bench)
    took_s = evaluate(bench.client, model.id, items).completed_s
    after = usage(bench)
    if before.keys() != after.keys():
        raise BenchError("a process of the stack was started again meanwhile; its log says why")
    say(f"cost: {items:,} items in {took_s:.2f} s")
    spent = {part: after[part, pid] - before[part, pid] for part, pid in before}
    found = uvloop.run(steps.measure(bench, rounds, say))
    return Section("cost", "Cost", WHAT, [processes_table(items, took_s, spent), steps_table(found)])


def processes_table(items: int, took_s: float, spent: Mapping[str, float]) -> Table:
    """CPU seconds by part, and all together."""
    rows = [*spent.items(), ("all", sum(spent.values()))]
    return Table(
        f"CPU by process, {items:,} items in {took_s:.2f} s",
        ["process", "CPU s / 1,000 items", "share", "cores"],
        [
            [
                part,
                f"{1000 * seconds / items:.3f}",
                f"{100 * seconds / max(sum(spent.values()), 1e-9):.0f} %",
                f"{seconds / took_s:.2f}",
            ]
            for part, seconds in rows
        ],
    )


def steps_table(found: list[steps.Cost]) -> Table:
    """Microseconds by step."""
    return Table(
        "Steps, µs an item",
        ["step", "CPU", "wall"],
        [[cost.step, f"{cost.cpu_us:.1f}", f"{cost.wall_us:.1f}"] for cost in found],
    )
