"""A million items: whether memory and the cost of an item grow with the size of the run."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.fixtures import Workload, problems, started, write_bundle
from bench.memory import MB, Sample, Watch, cpu_between, most_between, peaks
from bench.results import Section, Table
from bench.timing import Timing, evaluate

ITEMS = 1_000_000
QUICK_ITEMS = 20_000
CONCURRENCY = 64
DIFFERENT = 1_000
"""Questions that are asked over and over: the endpoint and this process need not hold a million."""

SLOWEST_PER_S = 200
"""An evaluation slower than this is given up."""

WHAT = f"""One evaluation of very many items against an endpoint without latency, {CONCURRENCY} at once, on a stack of its own that
starts empty: the bundle is uploaded, validated and registered, the evaluation runs to `completed`. Rates are those of stored
results by the evaluation's own progress events; the count of all results at the end, which comes once, is a row of its own. CPU is user
and system time. Memory is resident memory (VmRSS), looked at each second; *peak* is the kernel's own high-water mark
(VmHWM). A *child* is a process that a part started: a bundle is read in one."""


def rows(items: int) -> Iterator[dict[str, str]]:
    """So many rows with ids of their own, one after the other."""
    some = problems(min(items, DIFFERENT))
    for number in range(items):
        yield {**some[number % len(some)], "id": f"m-{number}"}


def rate(timing: Timing, first: int, last: int) -> float:
    """Results stored per second from the `first` one to the `last`."""
    return (last - first) / (timing.at(last) - timing.at(first))


def measure(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Once, however many rounds are asked for: it takes its time."""
    few = min(items, DIFFERENT)
    answers = Workload.make(folder / "answers", few)
    write_bundle(folder / "bundle", rows(items))
    with started(folder, answers) as bench, Watch(bench.stack) as watch:
        began = time.time()
        bench.client.environments.push(folder / "bundle")
        uploaded = time.time()
        say(f"million: {items:,} items uploaded, validated and registered in {uploaded - began:.0f} s")
        model = bench.add_model(CONCURRENCY)
        posted = time.time()
        timing = evaluate(bench.client, model.id, items, max(600.0, items / SLOWEST_PER_S))
        completed = time.time()
        say(f"million: completed in {timing.completed_s:.0f} s")
    tenth = max(1, items // 10)
    spans = {
        "upload": (began, uploaded),
        f"first {tenth:,}": (posted + timing.started_s, posted + timing.at(tenth)),
        f"last {tenth:,}": (posted + timing.at(timing.told - tenth), posted + timing.at(timing.told)),
        "metrics and files": (posted + timing.stored_s, completed),
    }
    return Section(
        "million",
        f"{items:,} items",
        WHAT,
        [
            rates_table(timing, tenth, uploaded - began),
            cpu_table(watch.samples, spans, timing, tenth),
            memory_table(watch.samples, spans),
        ],
    )


def rates_table(timing: Timing, tenth: int, upload_s: float) -> Table:
    """How long, and how fast at the beginning and at the end."""
    items = timing.items
    told = timing.told
    first, last = rate(timing, 0, tenth), rate(timing, told - tenth, told)
    return Table(
        f"{items:,} items, {CONCURRENCY} at once, no latency",
        ["", "s", "items/s", "x first"],
        [
            ["bundle uploaded, validated, registered", f"{upload_s:.1f}", f"{items / upload_s:,.0f}", ""],
            [f"first {tenth:,}", f"{timing.at(tenth) - timing.at(0):.1f}", f"{first:,.0f}", "1.00"],
            [
                f"last {tenth:,}",
                f"{timing.at(told) - timing.at(told - tenth):.1f}",
                f"{last:,.0f}",
                f"{last / first:.2f}",
            ],
            ["all results counted, which decides", f"{timing.stored_s - timing.at(told):.1f}", "", ""],
            ["POST to last result stored", f"{timing.stored_s:.1f}", f"{items / timing.stored_s:,.0f}", ""],
            ["last result stored to completed", f"{timing.completed_s - timing.stored_s:.1f}", "", ""],
        ],
    )


def cpu_table(samples: Sequence[Sample], spans: dict[str, tuple[float, float]], timing: Timing, tenth: int) -> Table:
    """Where an item's time goes at the beginning and at the end: µs of CPU an item, by process."""
    first, last = (span for name, span in spans.items() if name.startswith(("first", "last")))
    rates = rate(timing, 0, tenth), rate(timing, timing.told - tenth, timing.told)
    rows: list[tuple[str, float, float]] = []
    for name in peaks(samples):
        before, after = (
            1e6 * cpu_between(samples, name, *span) / per_s for span, per_s in zip((first, last), rates, strict=True)
        )
        if max(before, after) >= 1:
            rows.append((name, before, after))
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    return Table(
        "CPU by process, µs an item",
        ["process", f"first {tenth:,}", f"last {tenth:,}", "more"],
        [[name, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}"] for name, before, after in rows],
    )


def memory_table(samples: Sequence[Sample], spans: dict[str, tuple[float, float]]) -> Table:
    """MB by process and span."""

    def cell(held: int | None) -> str:
        return "" if held is None else f"{held / MB:,.0f}"

    return Table(
        "Resident memory, MB (10⁶ bytes)",
        ["process", *spans, "peak"],
        [
            [name, *(cell(most_between(samples, name, *span)) for span in spans.values()), cell(peak)]
            for name, peak in peaks(samples).items()
        ],
    )
