"""The command line and the SDK against a real stack."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from assay import AsyncClient, Client, NotFound
from tests.running import ROOT, WORD_PROBLEMS, RunningStack

FILES = {
    "submission.zip", "predictions.jsonl", "scoring_output.zip", "detailed_results.json", "detailed_results.html",
    "dataset.jsonl",
}  # fmt: skip


def assay(stack: RunningStack, *arguments: str, code: int = 0) -> str:
    """Stdout of the command, which must end with `code`."""
    environ = {**os.environ, "ASSAY_URL": stack.url, "COLUMNS": "200"}
    command = [sys.executable, "-m", "assay.cli", *arguments]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code in (0, 1) else done.stderr


def answer(stack: RunningStack, *arguments: str) -> Any:
    return json.loads(assay(stack, *arguments, "--json"))


@pytest.fixture
def names(stack: RunningStack) -> list[str]:
    """Two models of the sample endpoint under names of this test's own, and the environment."""
    assay(stack, "env", "push", str(WORD_PROBLEMS))
    made = []
    for served in ("sample-95", "sample-60"):
        name = f"{served}-{uuid4().hex[:8]}"
        answer(stack, "model", "add", name, "--base-url", stack.endpoint.base_url, "--model", served)
        made.append(name)
    return made


def test_from_models_to_scores_results_and_files(stack: RunningStack, names: list[str], tmp_path: Path) -> None:
    good, poor = names
    ended = answer(stack, "eval", "word-problems", "--model", good, "--model", poor, "--limit", "40")
    assert [found["status"] for found in ended] == ["completed", "completed"]
    assert [found["model_name"] for found in ended] == names
    scores = [found["metrics"]["accuracy"] for found in ended]
    assert scores[0] > scores[1]

    number = str(ended[1]["number"])
    metrics = ended[1]["metrics"]
    misses = answer(stack, "results", f"#{number}", "--misses", "--limit", "100")
    assert len(misses) == metrics["called"] - metrics["correct"]
    assert not any(row["correct"] for row in misses)

    assay(stack, "files", number, "--download", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert len((tmp_path / "dataset.jsonl").read_text().splitlines()) == len(misses)
    assert good in assay(stack, "leaderboard", "word-problems")
    assert f"#{number}" in assay(stack, "evals", "--model", poor)


def test_the_log_is_one_and_the_same_live_and_as_history(stack: RunningStack, names: list[str]) -> None:
    ended = answer(stack, "eval", "word-problems", "--model", names[0], "--limit", "10")[0]
    seen = [json.loads(line) for line in assay(stack, "watch", ended["id"], "--json").splitlines()]
    with Client(stack.url) as client:
        history = [*client.events.history(ended["id"])]
        resumed = [found.cursor for found in client.events(ended["id"], after=seen[2]["cursor"])]
    assert [found["cursor"] for found in seen] == [found.cursor for found in history]
    assert seen[-1]["type"] == "assay.evaluation.completed"
    assert resumed == [found["cursor"] for found in seen[3:]]


async def test_the_asyncio_client_starts_waits_and_reads(stack: RunningStack, names: list[str]) -> None:
    async with AsyncClient(stack.url) as client:
        model = next(iter([found async for found in client.models.list() if found.name == names[0]]))
        started = await client.evaluations.start("word-problems", [model.id], limit=5, samples_per_item=2)
        ended = await client.evaluations.wait(started.evaluations[0].id, timeout=60)
        rows = [row async for row in client.evaluations.results(ended.number)]
        assert (ended.status, ended.progress.done) == ("completed", 10)
        assert [len(row.samples or []) for row in rows] == [2] * 5
        with pytest.raises(NotFound):
            await client.models.get("nobody")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("env", "show", "no-such-environment"), "no-such-environment"),
        (("results", "999999999"), "999999999"),
        (("eval", "word-problems", "--model", "no-such-model"), "no model is called 'no-such-model'"),
        (("model", "add", "x", "--base-url", "nonsense", "--model", "y"), "base_url"),
    ],
)
def test_a_mistake_is_one_clear_message(stack: RunningStack, arguments: tuple[str, ...], said: str) -> None:
    assert said in assay(stack, *arguments, code=3)


def test_a_wrong_bundle_is_named_by_file_and_line(stack: RunningStack, tmp_path: Path) -> None:
    for name in ("environment.yaml", "overview.md", "test.jsonl"):
        (tmp_path / name).write_bytes((WORD_PROBLEMS / name).read_bytes())
    (tmp_path / "dev.jsonl").write_text(
        '{"id": "1", "question": "1+1?", "answer": "2"}\n{"id": "2", "question": "?"}\n'
    )
    assert "dev.jsonl:2" in assay(stack, "env", "push", str(tmp_path), code=3)


@pytest.mark.timeout(300)
def test_the_demo_evaluates_all_models_and_stops_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay.demo", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for model in ("sample-95", "sample-80", "sample-60"):
        assert (tmp_path / "demo" / "report" / model / "detailed_results.html").is_file()
    assert "assay eval word-problems --model mine --watch" in done.stdout
    assert not (tmp_path / "demo" / "stack" / "stack.json").exists()


@pytest.mark.large
@pytest.mark.timeout(200)
def test_an_interrupted_demo_stops_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay.demo", "--folder", str(tmp_path / "demo")]
    # A shell's background jobs, the suite among them, ignore SIGINT, and so would what they start.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=heard) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("Evaluating"):
                demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
    assert not (tmp_path / "demo" / "stack" / "stack.json").exists()
