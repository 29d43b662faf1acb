"""`python -m assay.demo` (`make demo`): the whole of Assay once, on this machine, beside whatever else runs.

Starts an embedded stack of its own on a free port and the sample endpoint, evaluates the sample models all at once with live
progress, shows the scores, keeps the files, and stops everything. Exit 0 only if every evaluation completed; 130 interrupted.
"""

import argparse
import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from assay.aio import AsyncClient
from assay.client import Client
from assay.errors import AssayError
from assay.render import scores
from assay.session import INTERRUPTED, console, explain
from assay.watch import board, follow
from deploy.embedded.programs import ROOT
from deploy.embedded.stack import Stack
from shared.api import Evaluation
from shared.contracts import Status

ENVIRONMENT, PHASE = "word-problems", "test"
MODELS = ("sample-95", "sample-80", "sample-60")
REPORT = "detailed_results.html"

ANSWER_TIME = {"latency_ms": 150, "jitter_ms": 100}
"""The sample models answer in microseconds; with the time that a small real model takes there is something to watch."""

DEADLINE_S = 300.0
"""Many times what the evaluations take on a slow machine."""

STOP_S = 10.0

NEXT = """
Evaluate your own endpoint next:

  export PATH="$PWD/.venv/bin:$PATH"
  make up      # the pages are at http://127.0.0.1:8080
  assay env push environments/word-problems

  # Ollama
  assay model add mine --base-url http://127.0.0.1:11434/v1 --model qwen2.5:7b
  # vLLM
  assay model add mine --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-7B-Instruct

  assay eval word-problems --model mine --watch
"""


class DemoError(AssayError):
    """The demo cannot go on; one message for a person."""


def run(folder: Path, out: Console) -> bool:
    """The demo with its data in `folder`, which is emptied first; whether every evaluation completed."""
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_name(f"{folder.name}.lock")):
        stack = Stack(
            folder / "stack", 0, environment={"ASSAY_API_KEYS": ""}, say=lambda line: out.print(Text(line), style="dim")
        )
        stack.down()
        empty(folder)
        with sample_endpoint() as base_url, running(stack, out), Client(stack.url) as client:
            started = start(client, base_url, out)
            ended = asyncio.run(watch(stack.url, started, out))
            reports = [keep(client, evaluation, folder / "report") for evaluation in ended]
    completed = all(evaluation.status is Status.COMPLETED for evaluation in ended)
    out.print()
    out.print(scores(ended, f"{ended[0].environment_title}: {len(ended)} models on phase {PHASE}"))
    out.print()
    for report in filter(None, reports):
        out.print(Text(f"Report with every test case: {os.path.relpath(report)}"), soft_wrap=True)
    logs = os.path.relpath(folder / "stack" / "logs")
    out.print(Text(NEXT if completed else f"Not every evaluation completed; the services' logs are in {logs}"))
    return completed


def empty(folder: Path) -> None:
    """Removes what an earlier demo left. Raises `DemoError` where the folder holds anything else."""
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ("stack", "report"))
    if foreign:
        raise DemoError(f"{folder} holds {foreign[0]!r}, which is no demo's; give an empty folder")
    shutil.rmtree(folder)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One demo at a time in a folder; the kernel lets go of the lock when its holder dies."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("a demo runs already from this folder; wait for it to end") from None
        yield


@contextmanager
def sample_endpoint() -> Iterator[str]:
    """The sample endpoint as a child process; gives its base URL."""
    arguments = [sys.executable, "-m", "assay.sample_endpoint", "--behaviour", json.dumps(ANSWER_TIME)]
    with subprocess.Popen([*arguments, "--models", *MODELS], stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline().strip()
            if not line:
                raise DemoError("the sample endpoint did not start")
            yield line.split()[-1]
        finally:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()


@contextmanager
def running(stack: Stack, out: Console) -> Iterator[None]:
    """The stack, stopped at the end whatever happens."""
    out.print("Starting an embedded stack of its own ...")
    stack.up()
    try:
        out.print(Text(f"Assay is at {stack.url} while this runs"))
        yield
    finally:
        # Whoever presses Ctrl-C once more must not leave half a stack behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        out.print("Stopping the stack ...")
        stack.down()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def start(client: Client, base_url: str, out: Console) -> list[Evaluation]:
    """Registers the environment and the models, and starts an evaluation of each."""
    environment = client.environments.push(ROOT / "environments" / ENVIRONMENT)
    items = next(phase.items for phase in environment.phases if phase.name == PHASE)
    ids = [client.models.add(name, base_url=base_url, model=name).id for name in MODELS]
    out.print(Text(f"Evaluating {', '.join(MODELS)} on {items} items of {environment.title}, all at once"))
    return client.evaluations.start(ENVIRONMENT, ids, phase=PHASE).evaluations


async def watch(url: str, started: Sequence[Evaluation], out: Console) -> list[Evaluation]:
    """The evaluations as they ended, shown as they run."""
    async with AsyncClient(url) as client:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await follow(client, started, board(out))
        except TimeoutError:
            raise DemoError(f"the evaluations have not ended after {DEADLINE_S:g} s") from None


def keep(client: Client, evaluation: Evaluation, folder: Path) -> Path | None:
    """Fetches an evaluation's files; the path of its report, if it has one."""
    kept = folder / evaluation.model_name
    kept.mkdir(parents=True)
    paths = [client.evaluations.download(evaluation.id, file.name, to=kept) for file in evaluation.files]
    return next((path for path in paths if path.name == REPORT), None)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assay.demo", description="Evaluates the sample models, once.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".assay" / "demo", help="emptied first; keeps the files")
    folder = parser.parse_args(arguments).folder.resolve()
    out = console(stderr=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if run(folder, out) else 1
    except KeyboardInterrupt:
        out.print("Interrupted; everything is stopped.")
        return INTERRUPTED
    except AssayError as error:
        for line in explain(error):
            print(line, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
