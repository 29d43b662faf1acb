"""How long a small evaluation takes behind a huge one of the same model, against the time that its share of the calls allows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median

from assay.errors import Conflict
from bench.fixtures import SLUG, Bench, BenchError
from bench.results import Section, Table
from bench.timing import evaluate
from shared.api import Evaluation, Model
from shared.contracts import Status

CONCURRENCY = 64
LATENCY_MS = 100
SMALL = 500

WHAT = f"""A small evaluation ({SMALL} items) alone, and started while a huge one of the same model is under way: {CONCURRENCY} calls at once, each of
{LATENCY_MS} ms. *Its share* is what its priority comes to of the model's calls; *ideal* is the time alone, of which the calls take that much
longer. Served in the order of arrival it would wait for the whole of the huge one. Medians of the rounds."""


@contextmanager
def under_way(bench: Bench, model: Model, items: int) -> Iterator[Evaluation]:
    """An evaluation of `items` of which some calls have been answered; cancelled in the end."""
    huge = bench.client.evaluations.start(SLUG, [model.id], limit=items).evaluations[0]
    try:
        for event in bench.client.events(huge.id, types=["assay.evaluation.progress"]):
            if event.data["done"] >= 2 * CONCURRENCY:
                break
        yield huge
    finally:
        with suppress(Conflict):  # it is over
            bench.client.evaluations.cancel(huge.id)


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Alone, then behind an evaluation of `items` that is cancelled when the small one has completed."""
    bench.behave(latency_ms=LATENCY_MS)
    model = bench.add_model(CONCURRENCY)
    small = min(SMALL, items)
    alone: list[float] = []
    behind: dict[int, list[float]] = {1: [], 4: []}
    called_s = small * LATENCY_MS / 1000 / CONCURRENCY
    try:
        for number in range(1, rounds + 1):
            alone.append(evaluate(bench.client, model.id, small).completed_s)
            for priority, found in behind.items():
                with under_way(bench, model, items) as huge:
                    found.append(evaluate(bench.client, model.id, small, priority=priority).completed_s)
                    if bench.client.evaluations.get(huge.id).status is Status.COMPLETED:
                        raise BenchError("the huge evaluation was over before the small one: give more --items")
            say(f"fairness, round {number} of {rounds}: alone {alone[-1]:.2f} s, behind {behind[1][-1]:.2f} s")
    finally:
        bench.behave()
    base = median(alone)
    rows = [["alone", "1.00", f"{base:.2f}", f"{base:.2f}", "1.00"]]
    for priority, found in behind.items():
        share = priority / (priority + 1)
        ideal = base + called_s * (1 / share - 1)
        took = median(found)
        rows.append(
            [f"behind, priority {priority} to 1", f"{share:.2f}", f"{ideal:.2f}", f"{took:.2f}", f"{took / ideal:.2f}"]
        )
    return Section(
        "fairness", "Fair share", WHAT, [Table(f"{small} items", ["", "its share", "ideal s", "s", "x ideal"], rows)]
    )
