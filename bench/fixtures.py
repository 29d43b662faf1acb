"""What every benchmark holds in hand: an embedded stack of its own, the sample endpoint, an environment made for it.

Everything is on this machine and in one temporary folder; nothing of a stack that runs elsewhere is touched.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import httpx
import yaml

import assay
from assay.errors import AssayError
from deploy.embedded.programs import ROOT
from deploy.embedded.stack import Stack
from shared.api import Model
from shared.settings import Settings

SLUG = "bench-word-problems"
MODEL = "bench"
"""The sample endpoint's name of it: a name without a percentage is a model that answers every problem right."""

HUNG = "bench-hung"
"""Another of its names, to misbehave beside the first."""

DATA = "all.jsonl"
SEED = 1
STOP_S = 10.0
PUSH_TIMEOUT_S = 900.0
"""A large bundle is validated item by item before the answer comes."""


class BenchError(AssayError):
    """A benchmark cannot go on, or what it measured was no success; one message for a person."""


def generator() -> ModuleType:
    """The module that makes the problems of the sample environment `word-problems`."""
    path = ROOT / "environments" / "word-problems" / "generate.py"
    spec = importlib.util.spec_from_file_location("word_problems_generate", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def problems(count: int) -> list[dict[str, str]]:
    """`count` different problems of all kinds with their worked answers; the same ones each time."""
    made = generator()
    kinds = [make for _, make in made.KINDS.values()]
    rng = Random(SEED)
    drawn: dict[str, str] = {}
    while len(drawn) < count:
        problem = rng.choice(kinds)(rng)
        drawn.setdefault(problem.question, "\n".join([*problem.steps, f"#### {made.number(problem.answer)}"]))
    return [
        {"id": f"b-{index}", "question": question, "answer": answer}
        for index, (question, answer) in enumerate(drawn.items(), start=1)
    ]


def write_bundle(folder: Path, rows: Iterable[dict[str, str]]) -> dict[str, Any]:
    """A bundle of these rows with the sample environment's prompt, parameters and scorer; gives its manifest."""
    sample = yaml.safe_load((ROOT / "environments" / "word-problems" / "environment.yaml").read_text())
    manifest = {name: sample[name] for name in ("prompt", "generation", "scoring", "dataset")}
    manifest |= {
        "slug": SLUG,
        "title": "Word problems, many",
        "phases": [
            {"name": "all", "data": DATA, "fields": {"id": "id", "input": "question", "target": "answer"}},
        ],
    }
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text(yaml.safe_dump(manifest))
    with (folder / DATA).open("w") as data:
        data.writelines(json.dumps(row) + "\n" for row in rows)
    return manifest


@dataclass(frozen=True)
class Workload:
    """The problems as a bundle in `folder`, and as the request bodies that a client without Assay would send."""

    folder: Path
    rows: Sequence[dict[str, str]]
    manifest: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, items: int) -> "Workload":
        """The sample environment's prompt, parameters and scorer over `items` problems."""
        rows = problems(items)
        return cls(folder, rows, write_bundle(folder, rows))

    @property
    def data(self) -> Path:
        return self.folder / DATA

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """The first `count` requests exactly as Assay sends them."""
        system = {"role": "system", "content": self.manifest["prompt"]["system"]}
        return [
            {
                "model": MODEL,
                "messages": [system, {"role": "user", "content": row["question"]}],
                **self.manifest["generation"],
            }
            for row in self.rows[:count]
        ]


@dataclass(frozen=True)
class Bench:
    """A running stack with the workload registered, and the endpoint's address (`base_url` ends in `/v1`)."""

    stack: Stack
    client: assay.Client
    workload: Workload
    base_url: str

    @property
    def endpoint(self) -> str:
        """The endpoint's root, under which its own counts and switches are."""
        return self.base_url.removesuffix("/v1")

    def behave(self, **behaviour: Any) -> None:
        """How the endpoint behaves from now on; nothing given: it answers at once. `model` means one of its models alone."""
        httpx.post(f"{self.endpoint}/behaviour", json=behaviour).raise_for_status()

    def add_model(self, concurrency: Any, name: str = MODEL, **options: Any) -> Model:
        """The endpoint's model of this name with so many calls at once, a number or "auto"."""
        return self.client.models.add(
            f"{name}-{concurrency}", base_url=self.base_url, model=name, max_concurrency=concurrency, **options
        )

    @property
    def settings(self) -> Settings:
        """What the stack's services were told, to reach its stores from here."""
        told = {name.removeprefix("ASSAY_").lower(): value for name, value in self.stack.environment.items()}
        return Settings.model_validate(told)


@contextmanager
def sample_endpoint(answers: Path, model: str = MODEL) -> Iterator[str]:
    """The sample endpoint in a process of its own; gives its base URL. It looks the answers up, so that it is cheap."""
    arguments = ["--port", "0", "--models", model, HUNG, "--answers", str(answers)]
    with subprocess.Popen(
        [sys.executable, "-m", "assay.sample_endpoint", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout
            line = child.stdout.readline()
            if not line:
                raise BenchError("the sample endpoint did not start")
            yield line.split()[-1]
        finally:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()


@contextmanager
def started(folder: Path, workload: Workload, predictors: int = 2) -> Iterator[Bench]:
    """A stack on a free port with its data in `folder`, stopped at the end; the workload is not registered yet."""
    stack = Stack(folder / "stack", port=0, predictors=predictors, environment={"ASSAY_API_KEYS": ""})
    with sample_endpoint(workload.data) as base_url:
        stack.up()
        try:
            with assay.Client(stack.url, timeout=PUSH_TIMEOUT_S) as client:
                yield Bench(stack, client, workload, base_url)
        finally:
            stack.down()


@contextmanager
def running(folder: Path, items: int, predictors: int = 2) -> Iterator[Bench]:
    """The same with `items` problems registered."""
    with started(folder, Workload.make(folder / "bundle", items), predictors) as bench:
        bench.client.environments.push(bench.workload.folder)
        yield bench
