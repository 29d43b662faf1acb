"""Scoring programs on a running stack: what they get, what becomes of what they write, and how they fail."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from shared.api import Evaluation, Model
from shared.contracts import Status
from tests.running import RunningStack
from tests.scoring_programs import environment


@pytest.fixture(scope="module")
def model(stack: RunningStack) -> Model:
    return stack.add_model("sample-100", max_concurrency=16)


def evaluated(stack: RunningStack, model: Model, folder: Path, **settings: Any) -> Evaluation:
    slug = stack.client.environments.push(folder).slug
    (done,) = stack.wait(stack.evaluate(slug, [model], **settings))
    return done


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
        json.dump({"items": len(answers), "gold": gold, "other": 7}, open("/app/output/scores.json", "w"))
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
    assert done.metrics["scores"] == {"items": 3.0, "gold": 0.25, "other": 7.0}
    assert done.metrics["overall_score"] == 3.0
    assert done.metrics["accuracy"] is None
    assert done.metrics["columns"] == {"unmatched": ["other"], "missing": ["absent"]}
    said = log(stack, done)
    for line in (
        "Scoring program: python3 score.py /app/input /app/output",
        "stdout: /app/input/ref/gold.txt",
        "stdout: /app/input/res/q3.txt",
        "stdout: /app/input/res/metadata",
        "stdout: /app/program ['/app/input', '/app/output']",
        "stderr: it speaks on standard error",
        "Scoring program: no column of the leaderboard shows 'other'; kept in the scores",
        "Scoring program: it gives no 'absent', for which the leaderboard has a column",
    ):
        assert line in said
    with zipfile.ZipFile(io.BytesIO(stack.file(done, "scoring_output.zip"))) as archive:
        assert archive.namelist() == ["scores.json", "stdout.txt", "stderr.txt"]
        assert json.loads(archive.read("scores.json"))["gold"] == "0.25"
        assert archive.read("stderr.txt") == b"it speaks on standard error\n"
    assert [row["correct"] for row in stack.rows(done)] == [None, None, None]
    assert stack.lines(done, "dataset.jsonl") == []
