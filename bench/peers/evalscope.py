"""EvalScope: its own GSM8K over a local folder."""

import json
import shutil

from bench.peers.items import GENERATION, TEMPLATE
from bench.peers.peer import Job, Outcome, Venv, environment, files
from bench.peers.processes import Command

HERE = files("evalscope")


class EvalScope:
    name, title = "evalscope", "evalscope"

    def __init__(self) -> None:
        self._venv = Venv(self.name, "evalscope", HERE / "requirements.txt")
        self.install, self.version = self._venv.install, self._venv.version

    def command(self, job: Job) -> Command:
        data = job.folder / "data"
        data.mkdir(exist_ok=True)
        shutil.copy(job.items, data / "test.jsonl")
        task = {
            "local_path": str(data),
            "subset_list": ["default"],
            "few_shot_num": 0,
            "prompt_template": TEMPLATE,
        }
        return Command(
            [
                *(str(self._venv.program("evalscope")), "eval"),
                *("--model", job.model, "--eval-type", "openai_api", "--api-url", job.base_url, "--api-key", "none"),
                *("--datasets", "gsm8k", "--dataset-args", json.dumps({"gsm8k": task})),
                *("--eval-batch-size", str(job.connections)),
                *("--generation-config", json.dumps({**GENERATION, "timeout": job.timeout_s})),
                *("--work-dir", str(job.folder / "out"), "--no-timestamp"),
            ],
            environment(job, HF_HUB_OFFLINE="1"),
            job.folder,
        )

    def resumed(self, job: Job) -> Command:
        """`--use-cache` with the folder of the run that was killed."""
        again = self.command(job)
        return Command([*again.arguments, "--use-cache", str(job.folder / "out")], again.environment, again.folder)

    def outcome(self, job: Job) -> Outcome | None:
        for file in (job.folder / "out" / "reports").rglob("gsm8k.json"):
            found = json.loads(file.read_text())["metrics"][0]
            return Outcome(found["num"], round(found["score"] * found["num"]))
        return None
