"""Assay as a row of the tables: an embedded stack that runs, and an evaluation by its command or by its SDK."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

import assay
from assay.errors import TimedOut
from bench.fixtures import BenchError
from bench.memory import cpu_s
from bench.peers.endpoint import Endpoint
from bench.peers.found import Found, Truth
from bench.peers.items import GENERATION, TEMPLATE, Items
from bench.peers.peer import Outcome
from bench.peers.processes import Command, Running
from bench.peers.scenarios import CALL_TIMEOUT_S, CONNECTIONS, LATENCY, MANY, MODEL, SPEED, WARM, Scenario, Sizes
from bench.timing import timing
from deploy.embedded.members import gone, members
from deploy.embedded.programs import ROOT
from deploy.embedded.stack import Stack
from shared.api import Evaluation
from shared.contracts import FINAL, Status

SLUG = "bench-gsm8k"
KILL_S = 10.0


@dataclass
class AssayStack:
    """A running stack with the items and the endpoint's model registered; `up_s` is what starting it took."""

    stack: Stack
    items: Items
    sizes: Sizes
    endpoint: Endpoint
    up_s: float

    @classmethod
    @contextmanager
    def running(cls, folder: Path, items: Items, sizes: Sizes, endpoint: Endpoint) -> Iterator["AssayStack"]:
        """Started with its data in `folder`, stopped at the end."""
        stack = Stack(folder / "stack", port=0, environment={"ASSAY_API_KEYS": ""})
        since = time.monotonic()
        stack.up()
        try:
            found = cls(stack, items, sizes, endpoint, time.monotonic() - since)
            with found.client() as client:
                client.environments.push(bundle(folder / "bundle", items))
                client.models.add(
                    MODEL,
                    base_url=endpoint.base_url,
                    model=MODEL,
                    max_concurrency=CONNECTIONS,
                    timeout_s=CALL_TIMEOUT_S,
                )
            yield found
        finally:
            stack.down()

    def client(self) -> assay.Client:
        """To the gateway where it is now: a stack that was started again has another port."""
        return assay.Client(self.stack.url, timeout=120)

    def truth(self, scenario: Scenario) -> Truth:
        count = self.sizes.of(scenario)
        return Truth(count, self.items.right(MODEL, count))

    def start(self, client: assay.Client, count: int) -> Evaluation:
        model = next(model for model in client.models.list() if model.name == MODEL)
        return client.evaluations.start(SLUG, [model.id], limit=count).evaluations[0]

    def settle(self, client: assay.Client, evaluation: Evaluation) -> None:
        """One that was stopped at the bound must not run beside the next measurement."""
        if evaluation.status not in FINAL:
            client.evaluations.cancel(evaluation.id)

    def processes(self) -> list[int]:
        return members(self.stack.data)

    def kill(self) -> None:
        """SIGKILL to every process, again for what a supervisor that died last had started."""
        deadline = time.monotonic() + KILL_S
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not gone(self.stack.data, 0.1) and time.monotonic() > deadline:
                raise BenchError("processes of the stack outlive SIGKILL")


class AssayCommand:
    """`assay eval`, from the start of the command until it has ended; the stack runs, and its processes are in the cost."""

    name, title = "assay", "Assay, `assay eval`"

    def __init__(self, assay_stack: AssayStack) -> None:
        self._stack = assay_stack

    def version(self) -> str:
        return metadata.version("assay")

    def measure(self, scenario: Scenario) -> Found:
        self._stack.endpoint.prepare(scenario.behaviour)
        truth = self._stack.truth(scenario)
        return self._killed(truth) if scenario.killed else self._undisturbed(truth)

    def _undisturbed(self, truth: Truth) -> Found:
        arguments = ["eval", SLUG, "--model", MODEL, "--limit", str(truth.items)]
        command = Command([sys.executable, "-m", "assay.cli", *arguments], {"ASSAY_URL": self._stack.stack.url}, ROOT)
        processes = self._stack.processes()
        before = spent_s(processes)
        with Running(command, self._stack.stack.data / "command.log") as running:
            spent = running.wait(self._stack.sizes.bound_s, lambda: processes)
        cost = spent.cpu_s + spent_s(processes) - before
        with self._stack.client() as client:
            ended = next(iter(client.evaluations.list()))
            self._stack.settle(client, ended)
        counts = self._stack.endpoint.counts()
        return Found(truth, spent.wall_s, spent.status, outcome(ended), counts, cost, spent.peak_mb)

    def _killed(self, truth: Truth) -> Found:
        """Every process of the stack killed; `up` again, and the evaluation goes on by itself."""
        bound_s, endpoint = self._stack.sizes.bound_s, self._stack.endpoint
        with self._stack.client() as client:
            evaluation = self._stack.start(client, truth.items)
        if not endpoint.reached(truth.items // 2, bound_s):
            raise BenchError(f"had not made half of its calls after {bound_s:.0f} s")
        self._stack.kill()
        killed_at = endpoint.counts()["answered"]
        since = time.monotonic()
        self._stack.stack.up()
        with self._stack.client() as client:
            status: int | None = 0
            try:
                evaluation = client.evaluations.wait(evaluation.id, timeout=bound_s)
            except TimedOut:
                status = None
                self._stack.settle(client, evaluation)
        wall_s = time.monotonic() - since
        return Found(truth, wall_s, status, outcome(evaluation), endpoint.counts(), killed_at=killed_at)


class AssaySdk:
    """The same through the SDK: from the POST to the event `completed`. It has no processes of its own to cost or to kill."""

    name, title = "assay-sdk", "Assay, POST to completed"

    def __init__(self, assay_stack: AssayStack) -> None:
        self._stack = assay_stack

    def version(self) -> str:
        return metadata.version("assay")

    def measure(self, scenario: Scenario) -> Found:
        if scenario not in (WARM, SPEED, MANY, LATENCY):
            raise BenchError("as the row above")
        self._stack.endpoint.prepare(scenario.behaviour)
        truth, processes = self._stack.truth(scenario), self._stack.processes()
        before = spent_s(processes)
        with self._stack.client() as client:
            posted = time.time()
            evaluation = self._stack.start(client, truth.items)
            try:
                ended = client.evaluations.wait(evaluation.id, timeout=self._stack.sizes.bound_s)
            except TimedOut:
                self._stack.settle(client, evaluation)
                raise
            cost = spent_s(processes) - before
            wall_s = timing(posted, truth.items, list(client.events.history(evaluation.id))).completed_s
        return Found(truth, wall_s, 0, outcome(ended), self._stack.endpoint.counts(), cost)


def outcome(evaluation: Evaluation) -> Outcome | None:
    """None where it has not completed."""
    if evaluation.status is not Status.COMPLETED:
        return None
    progress = evaluation.progress
    lost = progress.infra_error + progress.model_error
    return Outcome(progress.done - lost, progress.correct or 0, lost)


def bundle(folder: Path, items: Items) -> Path:
    """The items as an environment, with the prompt and the parameters that every tool uses."""
    folder.mkdir(parents=True)
    items.write(folder / "items.jsonl", len(items.rows))
    manifest = {
        "slug": SLUG,
        "title": "GSM8K",
        "prompt": {"template": TEMPLATE.replace("{question}", "{{ question }}")},
        "generation": GENERATION,
        "phases": [{"name": "test", "data": "items.jsonl", "fields": {"input": "question", "target": "answer"}}],
        "scoring": {"scorer": "numeric"},
        "dataset": True,
    }
    (folder / "environment.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def spent_s(processes: Sequence[int]) -> float:
    """User and system time so far of those that run."""
    total = 0.0
    for pid in processes:
        with suppress(OSError):
            total += cpu_s(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    return total
