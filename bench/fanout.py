"""A thousand websocket clients during a run at full speed: what each of them gets, how soon, and what that costs the run."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
import nats

from bench.cost import usage
from bench.fixtures import SLUG, STOP_S, Bench, BenchError
from bench.memory import cpu_s
from bench.results import Section, Table
from bench.timing import DEADLINE_S, evaluate, timing
from deploy.embedded.programs import ROOT
from shared import subjects
from shared.api import EventOut
from shared.contracts import Status
from shared.readback import read_back

CONCURRENCY = 64
CLIENTS = 1_000
OF_ALL = 100
"""So many of them listen to the feed of all, the others to the evaluation's own."""

PROCESSES = 2
"""The clients': as many as the cores that the goals are said for."""

ALONE, BURNT, LISTENED = "no clients", "no clients, their CPU used up beside it", f"{CLIENTS:,} clients"

WHAT = f"""{CLIENTS:,} websocket clients, {OF_ALL} of them on the feed of all and the others on the evaluation's own, while an evaluation passes
at full speed, {CONCURRENCY} calls at once against an endpoint without latency. Its endpoint holds the first calls until all clients are connected;
time runs from the moment that it lets go until `completed`. *Missed* and *twice* compare what each client got with the stream itself;
*delay* is from nats-server's own time stamp of an event to the moment that a client has read it, over all events and clients of that time.

Clients belong on other machines, and here they share the cores with the run, so their own CPU has to be taken out of the
comparison: each round has a run without clients in which the same client processes use up as much CPU, in as many spells a second, as the
clients used. *x* is the time of a run over the time of that one, round by round, median: it holds everything that a thousand clients
cost the machine outside the clients' own processes, the sending of every frame through the kernel with it. The run beside nothing at all shows
how much that CPU takes away by itself."""


@dataclass(frozen=True)
class Heard:
    """What the clients got in one run."""

    clients: int
    events: int
    """That an evaluation's own client had to get."""
    deliveries: int
    missed: int
    twice: int
    badly_closed: int
    """Clients of the evaluation's own feed that were not closed with 1000."""
    delays_s: Sequence[float]
    """Ascending, of what was published while the run was measured."""


@dataclass(frozen=True)
class Run:
    """One evaluation. `spent` is the CPU seconds of each part of the stack from the gate's opening to `completed`."""

    completed_s: float
    stored_s: float
    spent: Mapping[str, float]
    clients_cpu_s: float
    gateway_mb: float
    connect_s: float = 0.0
    connect_cpu_s: float = 0.0
    heard: Heard | None = None


@dataclass
class Rounds:
    runs: dict[str, list[Run]] = field(default_factory=lambda: {ALONE: [], BURNT: [], LISTENED: []})


class Crowd:
    """The client processes."""

    def __init__(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        self._children = children

    def ask(self, asked: Sequence[Any]) -> list[Any]:
        """One object for each process, and their answers; they work at the same time."""
        for child, one in zip(self._children, asked, strict=True):
            assert child.stdin
            child.stdin.write(json.dumps(one).encode() + b"\n")
            child.stdin.flush()
        return [self._answer(child) for child in self._children]

    def connect(self, paths: Sequence[str]) -> float:
        """All at once; seconds until the last is accepted."""
        parts = [{"connect": paths[number::PROCESSES]} for number in range(PROCESSES)]
        return float(max(answer["took_s"] for answer in self.ask(parts)))

    def burn(self, share: float) -> None:
        """Use so much of a core, all together, from now on."""
        self.ask([{"burn": share / PROCESSES}] * PROCESSES)

    def until(self, cursor: int) -> list[list[dict[str, Any]]]:
        """What each process's clients received, in the order of its paths, once all have the event or are closed."""
        return [answer["clients"] for answer in self.ask([{"until": cursor}] * PROCESSES)]

    @property
    def cpu_s(self) -> float:
        return sum(process_cpu_s(child.pid) for child in self._children)

    def _answer(self, child: subprocess.Popen[bytes]) -> Any:
        assert child.stdout
        line = child.stdout.readline()
        if not line:
            raise BenchError("a process of websocket clients has ended; what it wrote to stderr says why")
        return json.loads(line)


def process_cpu_s(pid: int) -> float:
    return cpu_s(Path(f"/proc/{pid}/stat").read_text())


def resident_mb(status: str) -> float:
    """From the text of `/proc/PID/status`."""
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


@contextmanager
def crowd(port: int) -> Iterator[Crowd]:
    """The client processes, ended at the end."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.listeners", str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    try:
        yield Crowd(children)
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait(STOP_S)


def measure(bench: Bench, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Each round: a run alone, one with clients, one with their CPU used up; every second round in the other order."""
    bench.behave()
    model = bench.add_model(CONCURRENCY)
    evaluate(bench.client, model.id, min(items, 500))
    port = urlsplit(bench.stack.url).port
    assert port
    found = Rounds()
    share = 0.0
    with crowd(port) as clients:
        for number in range(1, rounds + 1):
            for kind in (ALONE, LISTENED, BURNT) if number % 2 else (BURNT, LISTENED, ALONE):
                done = run(bench, model.id, items, clients, kind, share)
                found.runs[kind].append(done)
                if kind == LISTENED:
                    share = done.clients_cpu_s / done.completed_s
            slower = found.runs[LISTENED][-1].completed_s / found.runs[BURNT][-1].completed_s
            say(f"fanout, round {number} of {rounds}: x {slower:.2f} with {CLIENTS:,} clients")
    return Section("fanout", "Fan-out of events", WHAT, [runs_table(items, found), heard_table(found)])


def run(bench: Bench, model_id: str, items: int, clients: Crowd, kind: str, share: float) -> Run:
    """One evaluation, beside what `kind` says. Raises `BenchError` where it did not complete as it should."""
    endpoint = bench.base_url.removesuffix("/v1")
    httpx.post(f"{endpoint}/gate", json={"closed": True}).raise_for_status()
    started = bench.client.evaluations.start(SLUG, [model_id], limit=items).evaluations[0]
    query = {"in_flight": min(CONCURRENCY, items), "timeout_s": 30}
    httpx.get(f"{endpoint}/wait", params=query, timeout=40).raise_for_status()
    first = int(next(iter(bench.client.events.history(started.id))).cursor)
    connect_s, connect_cpu = 0.0, gateway_cpu_s(bench)
    if kind == LISTENED:
        of_all, own = f"/v1/events/ws?after={first - 1}", f"/v1/evaluations/{started.id}/events/ws"
        connect_s = clients.connect([of_all] * OF_ALL + [own] * (CLIENTS - OF_ALL))
    elif kind == BURNT:
        clients.burn(share)
    connect_cpu = gateway_cpu_s(bench) - connect_cpu
    before, clients_before, opened = usage(bench), clients.cpu_s, time.time()
    httpx.post(f"{endpoint}/gate", json={"closed": False}).raise_for_status()
    bench.client.evaluations.wait(started.id, timeout=DEADLINE_S)
    after, clients_after = usage(bench), clients.cpu_s
    if before.keys() != after.keys():
        raise BenchError("a process of the stack was started again meanwhile; its log says why")
    if kind == BURNT:
        clients.burn(0)
    ended = bench.client.evaluations.get(started.id)
    if ended.status is not Status.COMPLETED or ended.progress.correct != items:
        raise BenchError(f"evaluation #{ended.number} is {ended.status} with {ended.progress.correct} of {items} right")
    events = list(bench.client.events.history(started.id))
    timed = timing(opened, items, events)
    return Run(
        timed.completed_s,
        timed.stored_s,
        {part: after[part, pid] - before[part, pid] for part, pid in before},
        clients_after - clients_before,
        resident_mb(Path(f"/proc/{gateway_pid(bench)}/status").read_text()),
        connect_s,
        connect_cpu,
        heard(bench, clients.until(int(events[-1].cursor)), first, events, opened) if kind == LISTENED else None,
    )


def gateway_pid(bench: Bench) -> int:
    return next(row.pid for row in bench.stack.status() if row.part == "gateway" and row.pid)


def gateway_cpu_s(bench: Bench) -> float:
    return process_cpu_s(gateway_pid(bench))


def heard(
    bench: Bench, received: Sequence[Sequence[dict[str, Any]]], first: int, events: Sequence[EventOut], since: float
) -> Heard:
    """Compare what came with what the stream holds, from the position `first` to the last of `events`."""
    published = asyncio.run(stream_times(bench, first))
    own = [int(event.cursor) for event in events]
    everything = [position for position in published if position <= own[-1]]
    of_all = OF_ALL // PROCESSES
    clients = [(client, everything) for part in received for client in part[:of_all]]
    clients += [(client, own) for part in received for client in part[of_all:]]
    return compare(clients, own, published, since)


def compare(
    clients: Sequence[tuple[dict[str, Any], Sequence[int]]],
    own: Sequence[int],
    published: Mapping[int, float],
    since: float,
) -> Heard:
    """Each client with what it had to get; what came after the evaluation's last event does not count."""
    missed = twice = deliveries = badly_closed = 0
    delays: list[float] = []
    for client, wanted in clients:
        got = [cursor for cursor in client["cursors"] if cursor <= own[-1]]
        missed += len(set(wanted) - set(got))
        twice += len(got) - len(set(got))
        deliveries += len(got)
        badly_closed += wanted is own and client["code"] != 1000
        delays += [
            at - published[cursor]
            for cursor, at in zip(client["cursors"], client["received"], strict=True)
            if cursor <= own[-1] and published[cursor] >= since
        ]
    return Heard(len(clients), len(own), deliveries, missed, twice, badly_closed, sorted(delays))


async def stream_times(bench: Bench, first: int) -> dict[int, float]:
    """When nats-server stored each event from a position on, by its position, as Unix time."""
    settings = bench.settings
    token = settings.nats_token
    nc = await nats.connect(settings.nats_url, token=token.get_secret_value() if token else None)
    try:
        kept = read_back(nc, nc.jetstream(), subjects.EVENTS, subjects.scope_events("*"), first - 1)
        async with aclosing(kept):
            return {
                message.metadata.sequence.stream: message.metadata.timestamp.replace(tzinfo=UTC).timestamp()
                async for message in kept
            }
    finally:
        await nc.close()


def runs_table(items: int, found: Rounds) -> Table:
    """Seconds and CPU of each kind of run, and their times over that of the run with the clients' CPU used up."""
    rows = []
    for kind, runs in found.runs.items():
        seconds = [run.completed_s for run in runs]
        slower = [run.completed_s / burnt.completed_s for run, burnt in zip(runs, found.runs[BURNT], strict=True)]
        rows.append(
            [
                kind,
                f"{median(seconds):.2f}",
                f"{min(seconds):.2f} to {max(seconds):.2f}",
                f"{median(slower):.2f}",
                f"{median(run.spent['gateway'] for run in runs):.2f}",
                f"{median(sum(run.spent.values()) for run in runs):.2f}",
                f"{median(run.clients_cpu_s for run in runs):.2f}",
                f"{max(run.gateway_mb for run in runs):.0f}",
            ]
        )
    return Table(
        f"{items:,} items, {CONCURRENCY} at once, no latency, {len(found.runs[ALONE])} rounds",
        ["", "s", "lowest to highest", "x", "gateway CPU s", "stack CPU s", "clients CPU s", "gateway MB"],
        rows,
    )


def heard_table(found: Rounds) -> Table:
    """What the clients got, all rounds together."""
    runs = found.runs[LISTENED]
    all_heard = [run.heard for run in runs if run.heard]
    delays = sorted(delay for one in all_heard for delay in one.delays_s)
    gateway = median(run.spent["gateway"] for run in runs) - median(run.spent["gateway"] for run in found.runs[BURNT])
    figures = {
        "clients": f"{all_heard[0].clients:,}",
        "events of the evaluation": f"{median(one.events for one in all_heard):.0f}",
        "events delivered": f"{sum(one.deliveries for one in all_heard):,}",
        "missed": f"{sum(one.missed for one in all_heard)}",
        "twice": f"{sum(one.twice for one in all_heard)}",
        "own feeds not closed as ended": f"{sum(one.badly_closed for one in all_heard)}",
        **{f"delay, {share:.0%} of deliveries, ms": f"{1000 * quantile(delays, share):.0f}" for share in (0.5, 0.95)},
        **{f"delay, {share:.0%} of deliveries, ms": f"{1000 * quantile(delays, share):.0f}" for share in (0.99, 1.0)},
        "gateway CPU, µs a delivery": f"{1e6 * gateway * len(runs) / len(delays):.1f}",
        f"to connect all {CLIENTS:,} at once, s": f"{median(run.connect_s for run in runs):.2f}",
        "gateway CPU of that, ms a client": f"{1000 * median(run.connect_cpu_s for run in runs) / CLIENTS:.2f}",
    }
    return Table("What the clients got", ["", "found"], [[name, figure] for name, figure in figures.items()])


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    if not ascending:
        raise BenchError("no event was published while the run was measured")
    return ascending[max(0, -int(-share * len(ascending) // 1) - 1)]
