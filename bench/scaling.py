"""One predictor and two, where predictors are what holds an evaluation up."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.fixtures import STOP_S, Bench, BenchError, running
from bench.results import Section, Table
from bench.throttle import Throttle, cpu_time_s
from bench.timing import Timing, evaluate
from deploy.embedded.programs import ROOT, SERVICES

ITEMS = 10_000
CONCURRENCY = 64
SHARE = 0.1
"""Of a core, for each predictor: two of them, what they cause elsewhere and the endpoint then fit two cores."""

START_S = 30.0
POLL_S = 0.05

WHAT = f"""The same evaluation with one predictor and with a second one that is started while the stack runs, in turns, against an
endpoint without latency, {CONCURRENCY} at once. Everything shares this machine's cores, and predictors take the smaller part
of the work, so more of them would only find no core to run on. Therefore each predictor is held to {100 * SHARE:.0f} % of a
core (it is stopped with SIGSTOP while it has used more), as if it had a small machine of its own, and all else to nothing:
then predictors are what the rate depends on, and the others are the same in both rows. *Predictors used* and *idle* show
whether that was so: each predictor at its limit, cores left over. *Steady* is the rate between 10 % and 90 % of progress."""


@dataclass(frozen=True)
class Run:
    """An evaluation's timing, the cores that each predictor used, and the cores that were idle."""

    timing: Timing
    used: Sequence[float]
    idle: float


def idle_s(stat: str, ticks_per_s: int) -> float:
    """Seconds in which the cores had nothing to do, all added up, from the text of `/proc/stat` (proc(5))."""
    fields = stat.splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / ticks_per_s


def measure(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """One predictor and two in turn, `rounds` times."""
    one: list[Run] = []
    two: list[Run] = []
    with running(folder, items, predictors=1) as bench:
        first = next(row.pid for row in bench.stack.status() if row.part.startswith("predictor"))
        assert first
        model = bench.add_model(CONCURRENCY)
        evaluate(bench.client, model.id, min(items, 500))
        for number in range(1, rounds + 1):
            one.append(throttled(bench, model.id, items, [first]))
            with another_predictor(bench, model.id, folder / f"predictor-{number}.log") as second:
                two.append(throttled(bench, model.id, items, [first, second]))
            ratio = two[-1].timing.steady_per_s / one[-1].timing.steady_per_s
            say(f"scaling, round {number} of {rounds}: {ratio:.2f} times with two predictors")
    return Section("scaling", "Scaling", WHAT, [table(items, one, two)])


def throttled(bench: Bench, model_id: str, items: int, predictors: Sequence[int]) -> Run:
    """One evaluation while each predictor has its share and no more."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    with Throttle(predictors, SHARE):
        used, idle, at = [cpu_time_s(pid) for pid in predictors], idle_s(_stat(), ticks_per_s), time.monotonic()
        timing = evaluate(bench.client, model_id, items)
        passed = time.monotonic() - at
    return Run(
        timing,
        [(cpu_time_s(pid) - before) / passed for pid, before in zip(predictors, used, strict=True)],
        (idle_s(_stat(), ticks_per_s) - idle) / passed,
    )


@contextmanager
def another_predictor(bench: Bench, model_id: str, log: Path) -> Iterator[int]:
    """One predictor more, started by hand as the README says; its process id, once it works for the model."""
    environment = {**os.environ, **bench.stack.environment}
    command = [sys.executable, "-m", SERVICES["predictor"]]
    with log.open("wb") as out, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out) as child:
        try:
            deadline = time.monotonic() + START_S
            while f"working for model {model_id}" not in log.read_text():
                if child.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"the second predictor did not start; its last words: {log.read_text()[-500:]}")
                time.sleep(POLL_S)
            yield child.pid
        finally:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()


def _stat() -> str:
    return Path("/proc/stat").read_text()


def table(items: int, one: Sequence[Run], two: Sequence[Run]) -> Table:
    """A row for each number of predictors."""
    base = [run.timing.steady_per_s for run in one]
    rows = []
    for name, runs in (("1 predictor", one), ("2 predictors", two)):
        steady = [run.timing.steady_per_s for run in runs]
        ratios = [rate / before for rate, before in zip(steady, base, strict=True)]
        rows.append(
            [
                name,
                f"{median(steady):,.0f}",
                f"{median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                f"{median(run.timing.stored_s for run in runs):.2f}",
                " + ".join(f"{100 * median(used):.0f} %" for used in zip(*(run.used for run in runs), strict=True)),
                f"{median(run.idle for run in runs):.2f}",
            ]
        )
    return Table(
        f"{items:,} items, {CONCURRENCY} at once, no latency, {100 * SHARE:.0f} % of a core a predictor, {len(one)} rounds",
        ["", "steady items/s", "x", "lowest to highest", "POST to last result s", "predictors used", "idle cores"],
        rows,
    )
