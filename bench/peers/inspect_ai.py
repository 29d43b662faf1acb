"""Inspect: the provider for OpenAI-compatible endpoints on a task of ours."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.fixtures import BenchError
from bench.peers.items import GENERATION
from bench.peers.peer import Job, Outcome, Venv, environment, files
from bench.peers.processes import Command

HERE = files("inspect_ai")
READ_S = 120


class InspectAi:
    name, title = "inspect-ai", "inspect-ai"

    def __init__(self) -> None:
        self._venv = Venv(self.name, "inspect_ai", HERE / "requirements.txt")
        self.install, self.version = self._venv.install, self._venv.version

    def command(self, job: Job) -> Command:
        shutil.copy(HERE / "gsm8k.py", job.folder)
        return self._inspect(
            job,
            *("eval", "gsm8k.py", "-T", f"data={job.items}"),
            *("--model", f"openai-api/bench/{job.model}", "--model-base-url", job.base_url),
            *("--temperature", str(GENERATION["temperature"]), "--max-tokens", str(GENERATION["max_tokens"])),
            *self._limits(job),
        )

    def resumed(self, job: Job) -> Command:
        """`eval-retry` of the log, which recovers what a crashed run left in its buffer."""
        logs = self._logs(job)
        if not logs:
            raise BenchError("it left no log to retry")
        return self._inspect(job, "eval-retry", str(logs[-1]), *self._limits(job))

    def outcome(self, job: Job) -> Outcome | None:
        logs = self._logs(job)
        if not logs:
            return None
        asked = self._inspect(job, "log", "dump", "--header-only", str(logs[-1]))
        done = subprocess.run(
            asked.arguments, env={**asked.environment}, capture_output=True, text=True, timeout=READ_S, check=False
        )
        return None if done.returncode else outcome(json.loads(done.stdout))

    def _limits(self, job: Job) -> list[str]:
        return ["--max-connections", str(job.connections), "--attempt-timeout", str(job.timeout_s)]

    def _inspect(self, job: Job, *arguments: str) -> Command:
        display = [] if arguments[0] == "log" else ["--display", "plain", "--log-dir", str(job.folder / "logs")]
        return Command(
            [str(self._venv.program("inspect")), *arguments, *display],
            environment(job, BENCH_API_KEY="none"),
            job.folder,
        )

    def _logs(self, job: Job) -> list[Path]:
        """Oldest first."""
        return sorted((job.folder / "logs").glob("*.eval"), key=lambda file: file.stat().st_mtime)


def outcome(header: dict[str, Any]) -> Outcome | None:
    """From the header of a log: its accuracy is over the completed samples."""
    results = header.get("results")
    if not results or not results.get("scores"):
        return None
    done = results["completed_samples"]
    accuracy = results["scores"][0]["metrics"]["accuracy"]["value"]
    return Outcome(done, round(accuracy * done), results["total_samples"] - done)
