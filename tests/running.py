"""What end-to-end tests hold in hand: a running stack, its sample endpoint, and the means to kill parts of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

import assay
from assay.calls import EngineOptions
from assay.errors import Conflict
from deploy.embedded import probes
from deploy.embedded.programs import SERVICES
from deploy.embedded.stack import Stack
from shared.api import Evaluation, Model
from shared.contracts import ACTIVE

ROOT = Path(__file__).parent.parent
WORD_PROBLEMS = ROOT / "environments" / "word-problems"

MARKED_KEY = "sk-marked-in-the-environment-0123456789"
MARKED_TOKEN = "hf_marked_token_0123456789"
"""What the shared stack's predictors have in `MARKED_API_KEY`, and its services in `ASSAY_HF_TOKEN`: to be found nowhere."""


_ON_THE_PORT = ["--host", "{host}", "--port", "{port}", "--models", "{served_name}=0.8"]
_SAMPLE = [sys.executable, "-m", "assay.sample_endpoint", *_ON_THE_PORT]
ENGINES: dict[str, dict[str, Any]] = {
    "sample": {"title": "The sample endpoint", "command": _SAMPLE},
    "broken": {
        "title": "Cannot load anything",
        "command": [sys.executable, "-c", "raise SystemExit('no weights')", "{port}"],
    },
    "mute": {
        "title": "Never answers",
        "command": [
            sys.executable,
            "-c",
            "import time; print('hm', flush=True); time.sleep(600)",
            "{port}",
            "{served_name}",
        ],
    },
}
"""Templates of engines that every stack has. A checkpoint is any folder: nothing of it is read."""


def write_engines(path: Path) -> Path:
    common = {"takes": ["folder"], "requires": {"program": sys.executable, "get": "install Python"}}
    environment = {"PYTHONPATH": str(ROOT)}
    path.write_text(
        json.dumps({name: {**common, "environment": environment, **engine} for name, engine in ENGINES.items()})
    )
    return path


class EndpointProcess:
    """The sample endpoint in a process of its own, with its controls."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assay.sample_endpoint", "--port", "0", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        self.url = next(word.rstrip("/.") for word in line.split() if word.startswith("http")).removesuffix("/v1")
        self.base_url = f"{self.url}/v1"
        self._http = httpx.Client(base_url=self.url)

    def stats(self) -> dict[str, Any]:
        """Counts by model."""
        found: dict[str, Any] = self._http.get("/stats").raise_for_status().json()["models"]
        return found

    def reset(self) -> None:
        self._http.post("/reset").raise_for_status()

    def behave(self, **behaviour: Any) -> None:
        self._http.post("/behaviour", json=behaviour).raise_for_status()

    def gate(self, *, closed: bool) -> None:
        self._http.post("/gate", json={"closed": closed}).raise_for_status()

    def wait(self, timeout: float = 30, **condition: Any) -> None:
        """Until so many calls are `in_flight`, or so many `requests` came."""
        query = {**condition, "timeout_s": timeout}
        self._http.get("/wait", params=query, timeout=timeout + 5).raise_for_status()

    def kill(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(10)


class RunningStack:
    """The embedded stack on a free port, with a sample endpoint and kill points armed."""

    def __init__(self, data: Path, predictors: int = 2, endpoint: Sequence[str] = (), **environment: str) -> None:
        self.data = data
        self.faults = data / "faults"
        self.faults.mkdir(parents=True, exist_ok=True)
        self._endpoint_arguments = endpoint
        self.environment = environment
        own = {
            "ASSAY_FAULTS": str(self.faults),
            "ASSAY_ENGINES_FILE": str(write_engines(data / "engines.yaml")),
        }
        self.embedded = Stack(data, port=0, predictors=predictors, environment={**own, **environment})
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self.endpoint = EndpointProcess(*self._endpoint_arguments)
        self._exits.callback(self.endpoint.stop)
        self.embedded.up()
        self._exits.callback(self.embedded.down)
        self.client = self._exits.enter_context(assay.Client(self.url))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def url(self) -> str:
        return self.embedded.url

    def arm(self, point: str) -> None:
        """The next process that passes this kill point dies there."""
        (self.faults / point).touch()

    def armed(self, point: str) -> bool:
        return (self.faults / point).exists()

    def pids(self, part: str) -> list[int]:
        return [row.pid for row in self.embedded.status() if row.part.split("-")[0] == part and row.pid]

    def kill(self, part: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to every process of a part."""
        for pid in self.pids(part):
            os.kill(pid, how)

    def take_down(self, part: str) -> None:
        """Stop every process of a part; returns when they have ended. They stay down until `bring_up`."""
        self.embedded.control.stop(part)
        deadline = time.monotonic() + 60
        while self.pids(part):
            assert time.monotonic() < deadline, f"{part} does not stop"
            time.sleep(0.05)

    def bring_up(self, part: str) -> None:
        self.embedded.control.start(part)

    @contextmanager
    def one_more(self, service: str) -> Iterator[Iterator[str]]:
        """One more process of a service, as an operator would start it; gives the lines of its log as they come."""
        process = subprocess.Popen(
            [sys.executable, "-m", SERVICES[service]],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **self.embedded.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout
            yield iter(process.stdout)
        finally:
            process.terminate()
            process.wait(20)

    def until_ready(self, timeout: float = 60) -> None:
        """Until every part answers; what was killed has been started again."""
        deadline = time.monotonic() + timeout
        while (missing := probes.gateway(self.url)) is not None:
            assert time.monotonic() < deadline, missing
            time.sleep(0.1)

    def push_sample_environment(self) -> str:
        return self.client.environments.push(WORD_PROBLEMS).slug

    def add_model(self, name: str, *, model: str | None = None, **settings: Any) -> Model:
        return self.client.models.add(name, base_url=self.endpoint.base_url, model=model or name, **settings)

    def add_sample_engine(self, name: str, engine: str = "sample", **settings: Any) -> Model:
        """A model whose engine is one of `ENGINES`."""
        checkpoint = self.data / "checkpoint"
        checkpoint.mkdir(exist_ok=True)
        options: EngineOptions = {"name": engine, "checkpoint": str(checkpoint), **settings}  # type: ignore[typeddict-item]
        return self.client.models.add(name, engine=options)

    def remove_model(self, model_id: str) -> None:
        """With what still runs on it, which may end by itself meanwhile."""
        for evaluation in list(self.client.evaluations.list(model=model_id)):
            if evaluation.status in ACTIVE:
                with suppress(Conflict):
                    self.client.evaluations.cancel(evaluation.id)
                self.client.evaluations.wait(evaluation.id)
        self.client.models.delete(model_id)

    def evaluate(self, environment: str, models: Sequence[Model], **settings: Any) -> list[Evaluation]:
        started = self.client.evaluations.start(environment, models=[model.id for model in models], **settings)
        return started.evaluations

    def wait(self, evaluations: Sequence[Evaluation], timeout: float = 90) -> list[Evaluation]:
        return [self.client.evaluations.wait(evaluation.id, timeout=timeout) for evaluation in evaluations]

    def rows(self, evaluation: Evaluation) -> list[dict[str, Any]]:
        """Every row of the evaluation, in order, without what differs between two runs (times and attempts)."""
        varying = {"latency_ms", "ttft_ms", "attempts"}
        return [row.model_dump(mode="json", exclude=varying) for row in self.client.evaluations.results(evaluation.id)]

    def file(self, evaluation: Evaluation, name: str) -> bytes:
        answer = httpx.get(f"{self.url}/v1/evaluations/{evaluation.id}/files/{name}", timeout=60)
        return answer.raise_for_status().content

    def lines(self, evaluation: Evaluation, name: str) -> list[Any]:
        return [json.loads(line) for line in self.file(evaluation, name).splitlines()]
