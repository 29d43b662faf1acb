"""lm-evaluation-harness: `local-chat-completions` on a task file of ours."""

import json

from bench.peers.peer import Job, Outcome, Venv, environment, files
from bench.peers.processes import Command

HERE = files("lm_eval")


class LmEval:
    name, title = "lm-eval", "lm-evaluation-harness"

    def __init__(self) -> None:
        self._venv = Venv(self.name, "lm_eval", HERE / "requirements.txt")
        self.install, self.version = self._venv.install, self._venv.version

    def command(self, job: Job) -> Command:
        tasks = job.folder / "tasks"
        tasks.mkdir(exist_ok=True)
        text = (HERE / "gsm8k.yaml").read_text().replace("DATA", json.dumps(str(job.items)))
        (tasks / "gsm8k.yaml").write_text(text)
        model = {
            "model": job.model,
            "base_url": f"{job.base_url}/chat/completions",
            "num_concurrent": job.connections,
            "timeout": job.timeout_s,
        }
        cache = ["--use_cache", str(job.folder / "responses")] if job.resumable else []
        return Command(
            [
                *(str(self._venv.program("lm_eval")), "run"),
                *("--model", "local-chat-completions", "--apply_chat_template"),
                *("--model_args", ",".join(f"{name}={value}" for name, value in model.items())),
                *("--include_path", str(tasks), "--tasks", "bench_gsm8k"),
                *("--output_path", str(job.folder / "out"), "--log_samples", *cache),
            ],
            environment(job, HF_HUB_OFFLINE="1"),
            job.folder,
        )

    def resumed(self, job: Job) -> Command:
        """The same command: answers are in the response cache (`--use_cache`), which has to be asked for beforehand."""
        return self.command(job)

    def outcome(self, job: Job) -> Outcome | None:
        for file in (job.folder / "out").rglob("samples_*.jsonl"):
            with file.open() as lines:
                scores = [json.loads(line)["exact_match"] for line in lines]
            return Outcome(len(scores), round(sum(scores)))
        return None
