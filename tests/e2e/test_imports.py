"""What somebody has, a table or a competition, from the command that imports it to its scores."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from assay import Invalid
from assay.cli import app
from shared.api import Evaluation, Model
from tests.parrot import Parrot
from tests.running import RunningStack

PROGRAM = """
import json, os, sys

source, target = sys.argv[1:]
with open(os.path.join(source, "ref", "gold.json")) as file:
    gold = json.load(file)
with open(os.path.join(source, "res", "predictions.jsonl")) as file:
    answers = {row["item_id"]: row["output"].strip() for row in map(json.loads, file)}
right = [answers[key] == value for key, value in gold.items()]
with open(os.path.join(target, "scores.json"), "w") as file:
    json.dump({"accuracy": sum(right) / len(right), "duration": 1.5}, file)
"""
COMPETITION: dict[str, Any] = {
    "version": 2,
    "title": "Capitals of the world",
    "terms": "terms.md",
    "pages": [{"title": "Overview", "file": "overview.html"}],
    "tasks": [
        {"index": n, "name": f"Task {n}", "input_data": f"input_{n}", "reference_data": f"reference_{n}.zip",
         "scoring_program": "scoring_program"}
        for n in (0, 1)
    ],
    "phases": [
        {"name": "Development", "start": "2020-01-01", "end": "2099-01-01", "max_submissions": 2, "tasks": [0]},
        {"name": "Final", "start": "2099-01-02", "tasks": [1]},
    ],
    "leaderboards": [
        {
            "title": "Results",
            "key": "main",
            "submission_rule": "Force_Last",
            "columns": [
                {"title": "Accuracy", "key": "accuracy", "index": 0, "precision": 3},
                {"title": "Duration", "key": "duration", "index": 1, "sorting": "asc"},
            ],
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def parrot(stack: RunningStack) -> Iterator[Model]:
    """A model that answers with what it is told."""
    with Parrot() as endpoint:
        yield stack.client.models.add("imports-parrot", base_url=endpoint.base_url, model="parrot")


def run(stack: RunningStack, *arguments: str) -> str:
    """What the command line prints."""
    result = CliRunner().invoke(app, ["--url", stack.url, *arguments])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def completed(stack: RunningStack, slug: str, model: Model, **settings: Any) -> Evaluation:
    (evaluation,) = stack.wait(stack.evaluate(slug, [model], **settings), timeout=60)
    assert evaluation.status == "completed", evaluation.error
    assert evaluation.metrics is not None
    return evaluation


def competition(folder: Path) -> Path:
    """The folder of a bundle, as people have it: one part zipped, the others not."""
    folder.mkdir()
    files = {
        "competition.yaml": yaml.safe_dump(COMPETITION),
        "terms.md": "Be good.",
        "overview.html": "<p>Name the <b>capital</b>.</p>",
        "scoring_program/metadata": 'command: python3 score.py "$input" "$output"\ndescription: scores\n',
        "scoring_program/score.py": PROGRAM,
        **{
            f"input_{n}/questions.jsonl": "".join(
                json.dumps({"id": key, "prompt": f"0 {answer}"}) + "\n"
                for key, answer in (("fr", "Paris"), ("pe", "Lima"), ("au", "Sydney"), ("ca", "Ottawa"))
            )
            for n in (0, 1)
        },
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    gold = {"fr": "Paris", "pe": "Lima", "au": "Canberra", "ca": "Ottawa"}
    for n, answers in enumerate((gold, {**gold, "ca": "Toronto"})):
        with zipfile.ZipFile(folder / f"reference_{n}.zip", "w") as archive:
            archive.writestr("gold.json", json.dumps(answers))
    return folder


def test_a_table_from_the_command_line_to_its_scores(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    rows = [("0 4", 4), ("0 1,200", "1200"), ("0 7", "8")]
    (tmp_path / "sums.csv").write_text("question,answer\n" + "".join(f'"{say}",{gold}\n' for say, gold in rows))
    options = ("--slug", "imported-sums", "--set", "fields.target=answer", "--set", 'tags=["easy"]')
    said = run(stack, "env", "import", "table", str(tmp_path / "sums.csv"), *options)
    assert "imported-sums version" in said
    assert "Scored by 'numeric', since every target is a number" in said
    environment = stack.client.environments.get("imported-sums")
    assert (environment.title, environment.tags) == ("sums", ["easy"])
    assert environment.imported is not None
    assert (environment.imported.format, environment.imported.source) == ("table", "sums.csv")
    (tmp_path / "bundle.zip").write_bytes(httpx.get(f"{stack.url}/v1/environments/imported-sums/bundle").content)
    again = stack.client.environments.get(stack.client.environments.push(tmp_path / "bundle.zip").slug)
    assert (again.version, again.imported) == (environment.version, environment.imported)
    evaluation = completed(stack, "imported-sums", parrot)
    assert evaluation.metrics is not None
    assert evaluation.metrics["correct"] == 2
    assert [row["correct"] for row in stack.rows(evaluation)] == [True, True, False]


def test_a_competition_from_its_bundle_to_its_leaderboard(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    folder = competition(tmp_path / "capitals")
    said = run(stack, "env", "import", "codabench", str(folder), "--set", "keep_dates=false")
    assert "capitals-of-the-world version" in said
    assert "Development (4 items), Final (4 items)" in said
    assert "Scores are comparable with the original's" in said
    evaluations = {
        phase: completed(stack, "capitals-of-the-world", parrot, phase=phase) for phase in ("Development", "Final")
    }
    scores = {phase: (found.metrics or {})["scores"] for phase, found in evaluations.items()}
    assert scores == {
        "Development": {"accuracy": 0.75, "duration": 1.5},
        "Final": {"accuracy": 0.5, "duration": 1.5},
    }
    board = stack.client.environments.leaderboard("capitals-of-the-world", "Final")
    assert [column.title for column in board.columns] == ["Accuracy", "Duration"]
    assert [(row.model_name, row.overall_score) for row in board.items] == [("imports-parrot", 0.5)]
    environment = stack.client.environments.get("capitals-of-the-world")
    assert environment.overview == "## Overview\n\nName the **capital**."


def test_a_competition_keeps_its_dates(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    folder = competition(tmp_path / "dated")
    environment = stack.client.environments.import_("codabench", folder, slug="dated-capitals")
    dev, final = environment.phases
    assert (dev.max_submissions, final.start and final.start.year) == (2, 2099)
    with pytest.raises(Exception, match="2099"):
        stack.evaluate("dated-capitals", [parrot], phase="Final")


def test_what_cannot_be_imported_leaves_nothing(stack: RunningStack, tmp_path: Path) -> None:
    folder = competition(tmp_path / "broken")
    (folder / "input_1" / "questions.jsonl").write_text('{"id": "fr"}\n')
    with pytest.raises(Invalid) as caught:
        stack.client.environments.import_("codabench", folder, slug="broken-capitals")
    (error,) = caught.value.errors
    assert error["loc"] == ["import", "fields", "input"]
    assert "the columns of input_1/questions.jsonl are id" in error["msg"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("competition.yaml", "title: Old\n")
    (tmp_path / "old.zip").write_bytes(archive.getvalue())
    with pytest.raises(Invalid, match="version 1: a competition of the old CodaLab"):
        stack.client.environments.import_("codabench", tmp_path / "old.zip", slug="broken-capitals")
    assert "broken-capitals" not in [found.slug for found in stack.client.environments.list()]
