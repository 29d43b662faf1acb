"""Adaptive concurrency beside fixed settings, at an endpoint that refuses and at one that bends."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.controllers import kill_controller
from bench.fixtures import MODEL, SLUG, Bench, BenchError, running
from bench.results import Section, Table
from shared.contracts import Status

ITEMS, QUICK_ITEMS = 24_000, 8_000
LATENCY_MS = 100
REFUSES_ABOVE = 40
BENDS_AT = 48
FIXED = (32, 40, 48, 64)
AUTO = "auto"
PREDICTORS = 2

POLL_S = 0.5
SETTLED_S = 10.0
"""After the first call: until here adaptive concurrency may look for its place."""
KILL_AFTER_S = 10.0
DEADLINE_S = 600.0

KILLED = ", controller killed"

ENDPOINTS: Mapping[int, tuple[str, Mapping[str, Any]]] = {
    REFUSES_ABOVE: (f"refuses above {REFUSES_ABOVE} at once", {"max_concurrent": REFUSES_ABOVE}),
    BENDS_AT: (f"bends at {BENDS_AT}", {"bend_at": BENDS_AT}),
}
"""By the number that suits each best: what it does, in words and as a behaviour of the sample endpoint."""

WHAT = f"""`max_concurrency: "auto"` beside fixed numbers, with {PREDICTORS} predictors, against two endpoints of {LATENCY_MS} ms a call:
one answers 429 to calls above {REFUSES_ABOVE} at once, the other one's latency grows in proportion to the calls under way
above {BENDS_AT}, so that more of them bring nothing. Everything is judged by the endpoint's own counters, asked twice a
second: *answers/s* from its first call to its last answer, the time of looking for the right place included, and *x best*
beside the best fixed number; *refused* is the share of calls that got a 429, in the whole run and later than {SETTLED_S:g} s
after the first call. In *controller killed* the predictor that holds the model's lease gets SIGKILL after {KILL_AFTER_S:g} s:
what it was calling is delivered again after the model's `ack_wait`, and holds its slots until then, with a fixed number too.
Each evaluation runs to `completed`; *not called* are samples that ended as `infra_error`."""


@dataclass(frozen=True)
class Counts:
    """The endpoint's counters at a moment (monotonic seconds)."""

    at: float
    requests: int
    answered: int
    refused: int
    in_flight: int


@dataclass(frozen=True)
class Run:
    """One setting's evaluation, as the endpoint saw it; `lost` samples ended as `infra_error`."""

    counts: Sequence[Counts]
    lost: int

    @property
    def began(self) -> Counts:
        """The last look before the first call."""
        return max((c for c in self.counts if not c.requests), key=lambda c: c.at)

    @property
    def ended(self) -> Counts:
        """The first look at which everything was answered."""
        most = self.counts[-1].answered
        return min((c for c in self.counts if c.answered == most), key=lambda c: c.at)

    @property
    def answers_per_s(self) -> float:
        return self.ended.answered / (self.ended.at - self.began.at)

    def refused(self, after_s: float = 0.0) -> float:
        """The share of calls refused, of those later than `after_s` from the first one; 0 where there were none."""
        start = min((c for c in self.counts if c.at >= self.began.at + after_s), key=lambda c: c.at, default=self.ended)
        calls = self.ended.requests - start.requests
        return (self.ended.refused - start.refused) / calls if calls > 0 else 0.0

    def mean_in_flight(self, after_s: float = SETTLED_S) -> float:
        """Calls under way on average, later than `after_s` and before the end."""
        found = [c.in_flight for c in self.counts if self.began.at + after_s <= c.at < self.ended.at]
        return sum(found) / len(found) if found else 0.0


def measure(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Every setting at both endpoints once, however many rounds are asked for: each runs for the better part of a minute."""
    tables = []
    with running(folder, items, PREDICTORS) as bench:
        for right, (name, behaviour) in ENDPOINTS.items():
            runs: dict[str, Run] = {}
            for setting in [*map(str, FIXED), AUTO, f"{right}{KILLED}", f"{AUTO}{KILLED}"]:
                bench.behave(latency_ms=LATENCY_MS, **behaviour)
                runs[setting] = evaluate(bench, setting, items)
                say(f"adaptive, {name}, {setting}: {runs[setting].answers_per_s:.0f} answers/s")
            tables.append(table(name, runs))
    return Section("adaptive", "Adaptive concurrency", WHAT, tables)


def evaluate(bench: Bench, setting: str, items: int) -> Run:
    """One evaluation of a new model with this setting; raises `BenchError` where it does not complete."""
    concurrency = setting.removesuffix(KILLED)
    model = bench.add_model(int(concurrency) if concurrency.isdecimal() else concurrency)
    httpx.post(f"{bench.endpoint}/reset").raise_for_status()
    counts = [look(bench)]
    started = bench.client.evaluations.start(SLUG, [model.id], limit=items).evaluations[0]
    deadline = time.monotonic() + DEADLINE_S
    to_kill = setting.endswith(KILLED)
    while (ended := bench.client.evaluations.get(started.id)).status in (Status.QUEUED, Status.RUNNING, Status.SCORING):
        time.sleep(POLL_S)
        counts.append(look(bench))
        if to_kill and counts[-1].requests and counts[-1].at > Run(counts, 0).began.at + KILL_AFTER_S:
            kill_controller(bench.stack, model.id)
            to_kill = False
        if time.monotonic() > deadline:
            raise BenchError(f"{setting}: evaluation #{ended.number} is {ended.status} after {DEADLINE_S:g} s")
    if ended.status is not Status.COMPLETED or to_kill:
        what = "ended before its controller was to be killed" if to_kill else f"is {ended.status}"
        raise BenchError(f"{setting}: evaluation #{ended.number} {what}")
    return Run(counts, ended.progress.infra_error)


def look(bench: Bench) -> Counts:
    """The counters now."""
    found = httpx.get(f"{bench.endpoint}/stats").raise_for_status().json()["models"][MODEL]
    return Counts(time.monotonic(), found["requests"], found["answered"], found["refused_429"], found["in_flight"])


def table(name: str, runs: Mapping[str, Run]) -> Table:
    """A row for each setting."""
    best = max(run.answers_per_s for setting, run in runs.items() if setting.isdecimal())
    return Table(
        f"An endpoint that {name}",
        ["max_concurrency", "answers/s", "x best", "under way", "refused", f"after {SETTLED_S:g} s", "not called"],
        [
            [
                setting,
                f"{run.answers_per_s:,.0f}",
                f"{run.answers_per_s / best:.2f}",
                f"{run.mean_in_flight():.0f}",
                f"{100 * run.refused():.1f} %",
                f"{100 * run.refused(SETTLED_S):.1f} %",
                f"{run.lost:,}",
            ]
            for setting, run in runs.items()
        ],
    )
