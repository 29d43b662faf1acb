"""Scoring programs on a running stack: what they get, what becomes of what they write, and how they fail."""

import contextlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.sample_model import SampleModel
from shared.api import Evaluation, Model
from shared.contracts import Status
from tests.running import ROOT, RunningStack
from tests.scoring_programs import environment


@pytest.fixture(scope="module")
def model(stack: RunningStack) -> Model:
    return stack.add_model("sample-95", max_concurrency=16)


def evaluated(stack: RunningStack, model: Model, folder: Path, **settings: Any) -> Evaluation:
    slug = stack.client.environments.push(folder).slug
    (done,) = stack.wait(stack.evaluate(slug, [model], **settings))
    return done


def packed(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_with(word: str) -> int:
    """How many processes of this machine have this word in their command."""
    found = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found += word.encode() in (folder / "cmdline").read_bytes().split(b"\0")
    return found


def log(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    events = stack.client.events(evaluation.id)
    return [event.data["message"] for event in events if event.type == "assay.evaluation.log"]


def test_a_program_finds_codabenchs_folders(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    program = """
        import json, os, sys
        tree = sorted(os.path.join(folder, name) for folder, _, names in os.walk("/app") for name in names)
        print("\\n".join(tree))
        print(os.getcwd(), sys.argv[1:])
        print("it speaks on standard error", file=sys.stderr)
        answers = [json.loads(line) for line in open("/app/input/res/predictions.jsonl")]
        print([(answer["item_id"], answer["outcome"], answer["output"]) for answer in answers])
        gold = open("/app/input/ref/gold.txt").read()
        json.dump({"items": len(answers), "gold": gold, "$other.f1": 7}, open("/app/output/scores.json", "w"))
    """
    folder = environment(
        tmp_path,
        "folders",
        program,
        scoring={"reference": "reference_data", "files": True},
        columns=[{"key": "items"}, {"key": "gold"}, {"key": "coverage"}, {"key": "absent"}],
        files={"reference_data/gold.txt": "0.25"},
    )
    done = evaluated(stack, model, folder)
    assert done.status is Status.COMPLETED
    assert done.metrics is not None
    assert done.metrics["scores"] == {"items": 3.0, "gold": 0.25, "$other.f1": 7.0}
    assert done.metrics["overall_score"] == 3.0
    # No answer is correct by itself, and nobody says that 0 are.
    assert (done.metrics["accuracy"], done.metrics["correct"], done.progress.correct) == (None, None, None)
    told = [event.data for event in stack.client.events(done.id) if event.type == "assay.evaluation.progress"]
    assert told
    assert not any("correct" in data for data in told)
    assert done.metrics["columns"] == {"unmatched": ["$other.f1"], "missing": ["absent"]}
    said = log(stack, done)
    for line in (
        "Scoring program: python3 score.py /app/input /app/output",
        "stdout: /app/input/ref/gold.txt",
        "stdout: /app/input/res/q3.txt",
        "stdout: /app/input/res/metadata",
        "stdout: /app/program ['/app/input', '/app/output']",
        "stderr: it speaks on standard error",
        "stdout: " + str([(f"q{n}", "scored", "I don't know.") for n in (1, 2, 3)]),
        "Scoring program: no column of the leaderboard shows '$other.f1'; kept in the scores",
        "Scoring program: it gives no 'absent', for which the leaderboard has a column",
    ):
        assert line in said
    with zipfile.ZipFile(io.BytesIO(stack.file(done, "scoring_output.zip"))) as archive:
        assert archive.namelist() == ["scores.json", "stdout.txt", "stderr.txt"]
        assert json.loads(archive.read("scores.json"))["gold"] == "0.25"
        assert archive.read("stderr.txt") == b"it speaks on standard error\n"
    assert [row["correct"] for row in stack.rows(done)] == [None, None, None]
    assert stack.lines(done, "dataset.jsonl") == []


def test_the_sample_environment(stack: RunningStack, model: Model) -> None:
    bundle = ROOT / "environments" / "steady-answers"
    done = evaluated(stack, model, bundle, phase="dev")
    rows = [json.loads(line) for line in (bundle / "dev.jsonl").read_text().splitlines()]
    right = [SampleModel.parse("sample-95").answers_right(row["question"]) for row in rows]
    problems = [right[at : at + 4] for at in range(0, len(right), 4)]
    assert done.metrics is not None
    assert done.metrics["overall_score"] == sum(map(all, problems)) / len(problems)
    assert done.metrics["accuracy"] == sum(right) / len(right)
    assert done.metrics["columns"] == {"unmatched": [], "missing": []}
    (row,) = stack.client.environments.leaderboard("steady-answers", phase="dev").items
    assert row.scores["steady_right"] == done.metrics["overall_score"]
    assert [row["correct"] for row in stack.rows(done)] == right
    assert done.progress.correct == sum(right)


GOLD = "\n".join(f"q{n},{label}" for n, label in ((1, 1), (2, 0), (3, 1)))


def test_numpy_pandas_and_scikit_learn_are_there(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    program = """
        import json, os, sys
        import numpy as np
        import pandas as pd
        from sklearn.metrics import accuracy_score, roc_auc_score

        predictions = pd.read_json(os.path.join(sys.argv[1], "res", "predictions.jsonl"), lines=True)
        gold = pd.read_csv(os.path.join(sys.argv[1], "ref", "gold.csv"), names=["item_id", "label"])
        both = predictions.merge(gold, on="item_id")
        guess = np.where(both["output"].str.contains("know"), 1, 0)
        scores = {"accuracy": accuracy_score(both["label"], guess), "auc": np.float64(roc_auc_score(both["label"], [0.9, 0.1, 0.8]))}
        with open(os.path.join(sys.argv[2], "scores.txt"), "w") as file:
            for key, value in scores.items():
                file.write(f"{key}: {value}\\n")
        with open(os.path.join(sys.argv[2], "detailed_results.html"), "w") as file:
            file.write("<h1>Details</h1><script>alert(1)</script>")
        with open(os.path.join(sys.argv[2], "dataset.jsonl"), "w") as file:
            file.write(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}) + "\\n")
    """
    folder = environment(
        tmp_path,
        "with-packages",
        program,
        # As in CodaLab: variables, and a metadata file that is no YAML, for want of quotes.
        metadata="command: python $program/score.py $input $output\ndescription: Example: a program\n",
        scoring={"reference": "gold.zip"},
        columns=[{"key": "auc"}, {"key": "accuracy"}],
        files={"gold.zip": packed({"gold.csv": GOLD})},
    )
    done = evaluated(stack, model, folder)
    assert done.error is None
    assert done.metrics is not None
    assert (done.metrics["overall_score"], done.metrics["accuracy"]) == (1.0, pytest.approx(2 / 3))
    assert done.metrics["accuracy_ci95"] is None
    assert stack.lines(done, "dataset.jsonl") == [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    ]
    page = httpx.get(f"{stack.url}/v1/evaluations/{done.id}/files/detailed_results.html")
    assert page.text == "<h1>Details</h1><script>alert(1)</script>"
    assert page.headers["content-security-policy"].startswith("sandbox")
    with zipfile.ZipFile(io.BytesIO(stack.file(done, "scoring_output.zip"))) as archive:
        assert json.loads(archive.read("scores.json"))["auc"] == 1.0
        assert archive.namelist()[3:] == ["dataset.jsonl", "detailed_results.html", "scores.txt"]


def test_the_list_of_cases_has_a_scorer_of_its_own(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    folder = environment(
        tmp_path,
        "with-item-scorer",
        'open("/app/output/scores.json", "w").write(\'{"points": 2}\')',
        scoring={"item_scorer": {"scorer": "contains"}},
        rows=[
            {"id": "a", "question": "What is 2 + 2?", "gold": "know"},
            {"id": "b", "question": "What is 2 + 3?", "gold": "nothing"},
        ],
        phase={"fields": {"id": "id", "input": "question", "target": "gold"}},
    )
    done = evaluated(stack, model, folder)
    assert done.metrics is not None
    assert (done.metrics["overall_score"], done.metrics["accuracy"]) == (2.0, 0.5)
    assert [row["correct"] for row in stack.rows(done)] == [True, False]
    assert [line["metadata"]["item_id"] for line in stack.lines(done, "dataset.jsonl")] == ["b"]


def test_evaluations_that_claim_nothing_of_items_are_compared_by_their_scores(
    stack: RunningStack, model: Model, tmp_path: Path
) -> None:
    program = 'open("/app/output/scores.json", "w").write(\'{"loss": 3}\')'
    slug = stack.client.environments.push(environment(tmp_path, "without-claims", program)).slug
    done = stack.wait([*stack.evaluate(slug, [model]), *stack.evaluate(slug, [model])])
    page = httpx.get(f"{stack.url}/compare?evaluations={done[0].number},{done[1].number}").raise_for_status().text
    assert "A scoring program scores all answers of an evaluation together" in page
    assert "Both wrong" not in page
    scores = httpx.get(f"{stack.url}/evaluations/{done[0].number}").raise_for_status().text
    assert "No answer is compared with a target by itself." in scores


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "crash": (
        {"program": 'import sys\nprint("half way", file=sys.stderr)\nraise ValueError("no such column: label")'},
        "the scoring program ended with code 1; the end of its standard error: half way | Traceback (most recent call last): | "
        'File "/app/program/score.py", line 3, in <module> | raise ValueError("no such column: label") | '
        "ValueError: no such column: label",
    ),
    "code": (
        {"program": "raise SystemExit(7)", "scoring": {"image": "codalab/codalab-legacy:py3"}},
        "the scoring program ended with code 7, without a word on its standard error; it was made for the image "
        "codalab/codalab-legacy:py3, which is not used",
    ),
    "package": (
        {"program": "import torch.nn", "scoring": {"image": "pytorch/pytorch:2.4"}},
        "the scoring program needs the Python module 'torch', which is neither in its folder nor installed here; it was made for the "
        "image pytorch/pytorch:2.4, which is not used: put it into the folder, or name a Python that has it in ASSAY_PROGRAM_PYTHON",
    ),
    "no-command": (
        {"metadata": "command: perl6 score.p6"},
        "the scoring program ended with code 127; the end of its standard error: cannot run perl6: No such file or directory",
    ),
    "endless": (
        {"program": "while True: pass", "scoring": {"time_limit_s": 600}, "phase": {"execution_time_limit_s": 2}},
        "the scoring program was stopped: it ran for more than 2 s",
    ),
    "no-scores": (
        {"program": 'open("/app/output/score.json", "w").write("{}")'},
        "the scoring program wrote neither scores.json nor scores.txt into /app/output",
    ),
    "not-a-number": (
        {"program": 'open("/app/output/scores.json", "w").write(\'{"f1": NaN}\')'},
        "scores.json of the scoring program: 'f1' is nan; a score must be a finite number",
    ),
    "nested": (
        {"program": 'open("/app/output/scores.json", "w").write(\'{"task": {"f1": 1}}\')'},
        "scores.json of the scoring program: 'task' is an object; a score is one number",
    ),
    "link": (
        {"program": 'import os\nos.symlink("/etc/hostname", "/app/output/scores.json")'},
        "the scoring program left what cannot be taken in /app/output: scores.json: it is a symbolic link",
    ),
}


def left_by(stack: RunningStack, done: Evaluation) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(stack.file(done, "scoring_output.zip"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_each_wrong_program_says_what_is_wrong(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    started = {}
    for name, (given, _) in WRONG.items():
        slug = stack.client.environments.push(environment(tmp_path, f"wrong-{name}", **given)).slug
        (started[name],) = stack.evaluate(slug, [model])
    ended = dict(zip(started, stack.wait(list(started.values())), strict=True))
    assert {name: (done.status, done.error) for name, done in ended.items()} == {
        name: (Status.FAILED, message) for name, (_, message) in WRONG.items()
    }
    # What each had said and written until then is there.
    assert all(
        [file.name for file in done.files] == ["submission.zip", "scoring_output.zip"] for done in ended.values()
    )
    assert left_by(stack, ended["crash"])["stderr.txt"].startswith(b"half way\nTraceback")
    assert left_by(stack, ended["no-scores"]) == {"stdout.txt": b"", "stderr.txt": b"", "score.json": b"{}"}
    assert [*left_by(stack, ended["nested"])] == ["scores.json", "stdout.txt", "stderr.txt"]
    assert [*left_by(stack, ended["link"])] == ["stdout.txt", "stderr.txt"]


def test_what_cannot_take_the_place_of_assays_files_is_left_and_told(
    stack: RunningStack, model: Model, tmp_path: Path
) -> None:
    program = """
        open("/app/output/scores.json", "w").write('{"a": 1}')
        open("/app/output/dataset.jsonl", "w").write('{"prompt": "a"}')
        open("/app/output/detailed_results.html", "w").truncate(65 * 1024**2)
    """
    done = evaluated(stack, model, environment(tmp_path, "wrong-dataset", program))
    assert stack.lines(done, "dataset.jsonl") == []
    said = log(stack, done)
    assert (
        "Scoring program: its dataset.jsonl is not used, Assay's own is there instead: "
        "line 1 must be an object with a list of messages"
    ) in said
    assert "Scoring program: its detailed_results.html is not used" in " ".join(said)
    assert b"Evaluation report" in stack.file(done, "detailed_results.html")


def test_a_cancelled_evaluations_program_is_stopped(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    program = 'import time\nprint("running")\ntime.sleep(600)'
    folder = environment(tmp_path, "slow", program, metadata="command: python3 score.py only-in-this-test")
    (started,) = stack.evaluate(stack.client.environments.push(folder).slug, [model])
    assert any(event.data.get("message") == "stdout: running" for event in stack.client.events(started.id))
    assert processes_with("only-in-this-test")
    assert stack.client.evaluations.cancel(started.id).status is Status.CANCELLED
    until(lambda: not processes_with("only-in-this-test"))


@pytest.mark.large
def test_a_killed_scorers_program_runs_again(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    stack.arm("scorer.program_done")
    program = 'open("/app/output/scores.json", "w").write(\'{"a": 1}\')'
    done = evaluated(stack, model, environment(tmp_path, "killed", program))
    assert not stack.armed("scorer.program_done")
    assert (done.status, done.metrics and done.metrics["overall_score"]) == (Status.COMPLETED, 1.0)
