"""Evaluations played through, undisturbed or in a storm: started, cancelled and redriven as a script says."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

import httpx

from assay.errors import Conflict, TimedOut
from shared.api import Evaluation, EvaluationsCreated, Model
from shared.contracts import FINAL, Status
from tests.chaos.comparing import Remains, differences, lost, scores_equal, twice
from tests.chaos.gathering import Follower, evaluations, gather, persist, queued
from tests.chaos.replicas import Replicas
from tests.chaos.striking import Striker
from tests.running import RunningStack

WEATHER: Mapping[str, Any] = {
    "latency_ms": 100,
    "jitter_ms": 100,
    "error_500_rate": 0.05,
    "hang_rate": 0.005,
    "retry_after_s": 1,
}
"""How the endpoint behaves in a storm, beside its rate limit, above which it answers 429."""

ATTEMPTS = 50
"""With one call in twenty failing, no sample uses them up, so that its outcome is that of the undisturbed run."""

TIMEOUT_S = 3.0
LIMIT_S = 240.0
"""An evaluation that has not ended so long after the beginning is lost."""

REDRIVES = 3
EMPTIED_S = 40.0
POLL_S = 0.2


@dataclass(frozen=True)
class Part:
    """A model of the sample endpoint. `fragile`: one attempt and many errors, until it is mended before a redrive."""

    name: str
    concurrency: int
    per_s: float
    stream: bool = False
    fragile: bool = False


@dataclass(frozen=True)
class Order:
    """Evaluations to start together, one a model. `then` is done with them while the storm goes on."""

    name: str
    models: Sequence[str]
    phase: str = "test"
    limit: int | None = None
    samples: int = 1
    priority: int = 1
    then: Literal["cancel", "redrive"] | None = None


@dataclass(frozen=True)
class Script:
    models: Sequence[Part]
    orders: Sequence[Order]
    blows: int
    """At most, until calm: what is left then must end by itself."""
    replicas: Sequence[str] = ()
    """Services that run twice."""


SHORT = Script(
    models=[Part("sample-80", concurrency=16, per_s=25)],
    orders=[Order("all", ["sample-80"], limit=300)],
    blows=20,
)

LONG = Script(
    models=[
        Part("sample-80", concurrency=24, per_s=50),
        Part("sample-95", concurrency=12, per_s=30, stream=True),
        Part("sample-60", concurrency=8, per_s=50, fragile=True),
    ],
    orders=[
        Order("both", ["sample-80", "sample-95"]),
        Order("cancelled", ["sample-95"], limit=300, then="cancel"),
        Order("samples", ["sample-80"], phase="dev", limit=40, samples=3, priority=5),
        Order("redriven", ["sample-60"], phase="dev", then="redrive"),
        Order("small", ["sample-95"], phase="dev", limit=10),
    ],
    blows=60,
    replicas=("orchestrator", "scorer"),
)


@dataclass(frozen=True)
class Played:
    """What came of it.

    `started` is how many evaluations there are more than before, `queued` what is left in work queues (messages by subject),
    `calls` the endpoint's own counts by model.
    """

    remains: Mapping[str, Remains]
    started: int
    queued: Mapping[str, int]
    calls: Mapping[str, Mapping[str, int]]
    seconds: float
    killed: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    log: Sequence[str] = ()

    @property
    def items(self) -> int:
        return sum(len(each.expected) for each in self.remains.values())

    @property
    def lost(self) -> int:
        return sum(lost(each) for each in self.remains.values())

    @property
    def twice(self) -> int:
        return sum(twice(each) for each in self.remains.values())

    @property
    def repeated(self) -> int:
        """Answers that the endpoint gave beyond one for each result."""
        answered = sum(counts["answered"] for counts in self.calls.values())
        return answered - sum(len(each.stored) for each in self.remains.values())

    def scores_equal(self, undisturbed: "Played") -> bool:
        return all(scores_equal(each, undisturbed.remains[name]) for name, each in self.remains.items())

    def differences(self, undisturbed: "Played") -> list[str]:
        """Every fault, none where the storm has left no trace."""
        found = [line for name, each in self.remains.items() for line in differences(each, undisturbed.remains[name])]
        if self.started != len(self.remains):
            found.append(f"{self.started} evaluations were started instead of {len(self.remains)}")
        found += [f"queues: {count} messages are left on {subject}" for subject, count in self.queued.items()]
        for model, counts in self.calls.items():
            for count in ("distinct", "right_distinct"):
                if counts[count] != undisturbed.calls[model][count]:
                    expected = undisturbed.calls[model][count]
                    found.append(f"endpoint: {count} prompts of {model}: {counts[count]} instead of {expected}")
        return found


class Stage:
    """A running stack with a script's models registered; as a context, plays the script any number of times."""

    def __init__(self, running: RunningStack, script: Script) -> None:
        self._running = running
        self._replicas = Replicas(running, script.replicas)
        self._script = script
        running.push_sample_environment()
        self._models: dict[str, Model] = {
            part.name: running.add_model(
                part.name, max_concurrency=part.concurrency, stream=part.stream, timeout_s=TIMEOUT_S
            )
            for part in script.models
        }

    def __enter__(self) -> Self:
        self._replicas.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replicas.__exit__(kind, error, trace)

    def play(self, seed: int | None = None, say: Callable[[str], None] = lambda line: None) -> Played:
        """Undisturbed without a seed."""
        began, before = time.monotonic(), evaluations(self._running)
        performance = _Performance(self._running, self._script, self._models, seed, began + LIMIT_S)
        with ExitStack() as weather:
            performance.prepare()
            striker = None
            if seed is not None:
                striker = weather.enter_context(Striker(self._running, self._replicas, seed, self._script.blows, say))
            performance.act()
        performance.settle()
        return Played(
            remains=performance.gather(),
            started=evaluations(self._running) - before,
            queued=queued(self._running),
            calls=self._running.endpoint.stats(),
            seconds=time.monotonic() - began,
            killed=striker.killed if striker else Counter(),
            stopped=striker.stopped if striker else Counter(),
            log=striker.log if striker else (),
        )


@dataclass
class _Running:
    """An evaluation of a performance."""

    evaluation: Evaluation
    follower: Follower
    then: str | None

    @property
    def wanted(self) -> Status:
        return Status.CANCELLED if self.then == "cancel" else Status.COMPLETED


class _Performance:
    def __init__(
        self, running: RunningStack, script: Script, models: Mapping[str, Model], seed: int | None, deadline: float
    ) -> None:
        self._running = running
        self._script = script
        self._models = models
        self._seed = seed
        self._deadline = deadline
        self._evaluations: dict[str, _Running] = {}

    def prepare(self) -> None:
        self._running.endpoint.reset()
        for part in self._script.models:
            self._behave(part, mended=False)
            self._update(part, mended=False)

    def act(self) -> None:
        """Start everything, cancel and redrive what is to be, and wait until all has ended."""
        for order in self._script.orders:
            for evaluation in self._start(order):
                follower = Follower(self._running.client, evaluation.id, self._deadline)
                name = f"{order.name}, {evaluation.model_name}"
                then = None if order.then == "cancel" and self._seed is None else order.then
                self._evaluations[name] = _Running(evaluation, follower, then)
        for each in self._evaluations.values():
            if each.then == "cancel":
                self._running.endpoint.wait(LIMIT_S, requests=60, model=each.evaluation.model_name)
                self._cancel(each)
        for each in self._evaluations.values():
            if each.then == "redrive":
                each.follower.join()
                for part in self._script.models:
                    if part.name == each.evaluation.model_name:
                        self._behave(part, mended=True)
                        self._update(part, mended=True)
                self._redrive(each)
        for each in self._evaluations.values():
            each.follower.join()

    def settle(self) -> None:
        """After the storm: the whole stack is back, and what ended in `infra_error` for all that is called again."""
        persist(lambda: httpx.get(f"{self._running.url}/readyz").raise_for_status(), self._deadline)
        for each in self._evaluations.values():
            # A follower that gave up has said so; the evaluation may still come to its end.
            while self._get(each).status not in FINAL and time.monotonic() < self._deadline:
                time.sleep(POLL_S)
            for _ in range(REDRIVES):
                present = self._get(each)
                if present.status != Status.COMPLETED or not present.progress.infra_error:
                    break
                self._redrive(each)
                each.follower.join()
        # What came twice is delivered, and done away with, after `ack_wait` at the latest.
        until = time.monotonic() + EMPTIED_S
        while queued(self._running) and time.monotonic() < until:
            time.sleep(POLL_S)
        # A call that lost its predictor is in flight at the endpoint until its answer finds nobody.
        self._running.endpoint.wait(in_flight=0)

    def gather(self) -> dict[str, Remains]:
        return {
            name: gather(self._running, name, each.wanted, self._get(each), each.follower)
            for name, each in self._evaluations.items()
        }

    def _behave(self, part: Part, *, mended: bool) -> None:
        behaviour: dict[str, Any] = {}
        if self._seed is not None:
            behaviour = {**WEATHER, "seed": self._seed, "rate_limit_per_s": part.per_s}
        if part.fragile and not mended:
            behaviour["error_500_rate"] = 0.3
        self._running.endpoint.behave(model=part.name, **behaviour)

    def _update(self, part: Part, *, mended: bool) -> None:
        attempts = 1 if part.fragile and not mended else ATTEMPTS
        model = self._models[part.name]
        persist(lambda: self._running.client.models.update(model.id, max_attempts=attempts), self._deadline)

    def _start(self, order: Order) -> Sequence[Evaluation]:
        body = {
            "environment": "word-problems",
            "phase": order.phase,
            "models": [self._models[name].id for name in order.models],
            "limit": order.limit,
            "samples_per_item": order.samples,
            "priority": order.priority,
        }
        # One key for all attempts, or a repeat after a lost answer would start them once more.
        headers = {"Idempotency-Key": uuid4().hex}
        url = f"{self._running.url}/v1/evaluations"

        def post() -> EvaluationsCreated:
            answer = httpx.post(url, json=body, headers=headers, timeout=40).raise_for_status()
            return EvaluationsCreated.model_validate_json(answer.content)

        created: EvaluationsCreated = persist(post, self._deadline)
        return created.evaluations

    def _get(self, each: _Running) -> Evaluation:
        found: Evaluation = persist(lambda: self._running.client.evaluations.get(each.evaluation.id), self._deadline)
        return found

    def _cancel(self, each: _Running) -> None:
        persist(lambda: self._running.client.evaluations.cancel(each.evaluation.id), self._deadline)

    def _redrive(self, each: _Running) -> None:
        """Until its next round has begun; a repeat after a lost answer is a conflict."""
        before = self._get(each)
        while self._get(each).round == before.round:
            if time.monotonic() > self._deadline:
                raise TimedOut(f"no redrive of #{before.number} began")
            try:
                persist(lambda: self._running.client.evaluations.redrive(each.evaluation.id), self._deadline)
            except Conflict:
                # Its log is not archived yet, or an earlier attempt has got through.
                time.sleep(POLL_S)
        each.follower.follow()
