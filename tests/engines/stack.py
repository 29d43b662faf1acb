"""What tests of engines hold in hand: real engines, tiny models that they load, and a stack whose launcher finds both."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from minio import Minio

from deploy.embedded.parts import cache_folder
from services.launcher.local import KEEPER
from shared.api import Evaluation, Model
from tests.running import WORD_PROBLEMS, RunningStack

INSTALLED = cache_folder() / "engines" / "bin"
"""Where `make test-engines` installs what `requirements.txt` names."""
PROGRAMS = Path(__file__).parent / "programs"
ITEMS = 8
SHORT, LONG = 24, 300
"""Tokens of an answer; a long one takes a second."""
START_S = 120.0
ARGS = {"llama.cpp": ["--parallel", "1", "--cache-type-k", "f32", "--cache-type-v", "f32"]}
"""So that arithmetic is as exact as transformers': with requests in one batch, or half as many bits, the next word may be another one."""


def program(name: str, *arguments: str, given: str = "") -> str:
    """Run one of `programs/` with the engines' own packages; what it printed."""
    done = subprocess.run(
        [INSTALLED / "python", PROGRAMS / name, *arguments],
        input=given,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def chats() -> list[list[dict[str, str]]]:
    """What the first items of word-problems come to as messages."""
    prompt = yaml.safe_load((WORD_PROBLEMS / "environment.yaml").read_text())["prompt"]
    lines = (WORD_PROBLEMS / "dev.jsonl").read_text().splitlines()[:ITEMS]
    system = {"role": "system", "content": prompt["system"]}
    return [[system, {"role": "user", "content": json.loads(line)["question"]}] for line in lines]


class EngineStack(RunningStack):
    """A running stack with engines on its launcher's PATH."""

    def add_engine(self, name: str, engine: str, checkpoint: str | Path, **settings: Any) -> Model:
        own = {"checkpoint": str(checkpoint), "args": ARGS.get(engine, []), "start_timeout_s": START_S}
        chosen = {"name": engine, **own, **settings}
        return self.client.models.add(name, engine=chosen)  # type: ignore[arg-type]

    def upload(self, folder: Path, bucket: str, prefix: str) -> set[str]:
        """Put the folder's files into a new bucket of the stack's object store; their names."""
        found = self.embedded.environment
        store = Minio(
            found["ASSAY_S3_ENDPOINT"].removeprefix("http://"),
            found["ASSAY_S3_ACCESS_KEY"],
            found["ASSAY_S3_SECRET_KEY"],
            secure=False,
            region="us-east-1",
        )
        store.make_bucket(bucket)
        names = {path.name for path in folder.iterdir()}
        for name in names:
            store.fput_object(bucket, f"{prefix}/{name}", str(folder / name))
        return names

    def evaluate_items(self, model: Model, max_tokens: int = SHORT) -> Evaluation:
        """Starts an evaluation of the first items."""
        params = {"max_tokens": max_tokens}
        return self.evaluate("word-problems", [model], phase="dev", limit=ITEMS, params=params)[0]

    def outputs(self, evaluation: Evaluation) -> list[str]:
        """What the model said, in the items' order."""
        return [row.output for row in self.client.evaluations.results(evaluation.id)]

    def told(self, evaluation: Evaluation) -> list[str]:
        """The messages of the evaluation's log."""
        return [event.data.get("message", "") for event in self.client.events.history(evaluation.id)]

    def until_status(self, model: Model, *statuses: str) -> Model:
        deadline = time.monotonic() + START_S
        while (found := self.client.models.get(model.id)).status not in statuses:
            assert time.monotonic() < deadline, f"{model.name} is still {found.status}: {found.status_detail}"
            time.sleep(0.1)
        return found

    def engines(self, checkpoint: str | Path) -> list[int]:
        """The processes of this machine that have the checkpoint on their command line: an engine and its keeper."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:  # it has ended meanwhile
                continue
            if str(checkpoint).encode() in words:
                found.append(int(path.parent.name))
        return found

    def kill_engine(self, checkpoint: str | Path) -> None:
        """SIGKILL to the engine, and not to its keeper."""
        for pid in self.engines(checkpoint):
            if str(KEEPER).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)

    def clear(self) -> None:
        """Whatever a test left: no model, and no engine of one."""
        for model in list(self.client.models.list()):
            self.remove_model(model.id)
            deadline = time.monotonic() + START_S
            while model.engine and self.engines(model.engine.checkpoint):
                assert time.monotonic() < deadline, f"the engine of {model.name} runs on"
                time.sleep(0.1)

    def stop_engine(self, model: Model, checkpoint: str | Path) -> None:
        """By a person's hand; nothing of it is left."""
        self.client.models.stop(model.id)
        self.until_status(model, "stopped")
        assert self.engines(checkpoint) == []
        self.remove_model(model.id)
