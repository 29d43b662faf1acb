import json
import sys
from pathlib import Path

import pytest

from assay.sample_model import SampleModel
from bench.fixtures import BenchError
from bench.peers import items as data
from bench.peers.found import Found, Truth, accuracy, told, told_of_kill
from bench.peers.inspect_ai import outcome as inspect_outcome
from bench.peers.lm_eval import LmEval
from bench.peers.peer import Job, Outcome, environment
from bench.peers.peer import run as run_step
from bench.peers.processes import Command, Running, session
from bench.peers.promptfoo import Promptfoo
from bench.peers.scenarios import Sizes
from bench.peers.tables import Cell, section

COUNTS = {"requests": 110, "distinct": 100, "answered": 105}


def found(outcome: Outcome | None, status: int | None = 0, killed_at: int | None = None) -> Found:
    return Found(Truth(100, 90), 2.0, status, outcome, COUNTS, cpu_s=0.5, peak_mb=300, killed_at=killed_at)


def job(folder: Path) -> Job:
    items = folder / "items.jsonl"
    items.write_text(json.dumps({"question": "How many?", "answer": "Many.\n#### 1,234"}) + "\n")
    return Job(folder, items, "http://127.0.0.1:1/v1", "bench-90", 64, 10)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (found(Outcome(100, 90)), "2.0 s: 100 of 100 scored, accuracy exact"),
        (found(Outcome(100, 80)), "2.0 s: 100 of 100 scored, accuracy 80.0 % for 90.0 %"),
        (
            found(Outcome(95, 85, 5), status=100),
            "2.0 s: 95 of 100 scored, 5 without an answer, accuracy 85.0 % for 90.0 %, status 100",
        ),
        (found(None, status=1), "2.0 s: ended with status 1, no scores written"),
        (found(None, status=None), "> 2 s: stopped with 105 calls answered"),
    ],
)
def test_how_a_run_ended_is_told(ended: Found, said: str) -> None:
    assert told(ended) == said


def test_a_killed_run_tells_what_was_called_again() -> None:
    assert told_of_kill(found(Outcome(100, 90), killed_at=55)) == (
        "killed at 55; then 2.0 s: 100 of 100 scored, accuracy exact, 10 called again"
    )


def test_nothing_written_is_no_accuracy() -> None:
    assert accuracy(found(None)) == "nothing written"


def test_copies_of_items_are_different_questions_with_the_same_answers(tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({"question": f"{n}?", "answer": f"#### {n}"}) + "\n" for n in range(5)))

    rows = data.load(3, gold).rows

    assert len({row["question"] for row in rows}) == len(rows) == 15
    assert [row["answer"] for row in rows] == [f"#### {n}" for n in range(5)] * 3


def test_without_gsm8k_problems_are_generated_and_said_so(tmp_path: Path) -> None:
    made = data.load(1, tmp_path / "nowhere.jsonl")

    assert len({row["question"] for row in made.rows}) == data.SIZE
    assert "generated" in made.what


def test_the_true_count_is_the_models_own(tmp_path: Path) -> None:
    made = data.load(1, tmp_path / "nowhere.jsonl")
    model = SampleModel.parse("bench-90")

    assert made.right("bench-90", 50) == sum(model.answers_right(row["question"]) for row in made.rows[:50])


def test_a_command_is_measured_with_its_children(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('done')"

    with Running(Command([sys.executable, "-c", code], {}, tmp_path), tmp_path / "log") as running:
        spent = running.wait(30)

    assert spent.status == 0
    assert spent.said == "done\n"
    assert spent.cpu_s >= 0.2
    assert spent.wall_s >= 0.2


def test_a_command_is_killed_at_its_bound_with_its_children(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.run(['sleep', '60'])"

    with Running(Command([sys.executable, "-c", code], {}, tmp_path), tmp_path / "log") as running:
        spent = running.wait(0.2)

    assert spent.status is None
    assert spent.peak_mb > 1


def test_a_command_left_early_is_killed(tmp_path: Path) -> None:
    with Running(Command(["sleep", "60"], {}, tmp_path), tmp_path / "log") as running:
        assert session(running.pid) == [running.pid]

    assert session(running.pid) == []


def test_a_failed_installation_says_its_last_line(tmp_path: Path) -> None:
    code = "print('trying'); print('no matching distribution'); print(); raise SystemExit(1)"

    with pytest.raises(BenchError, match=r"^no matching distribution$"):
        run_step([sys.executable, "-c", code], tmp_path / "log", tmp_path)


def test_a_program_that_is_missing_is_a_failed_installation(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no-such-program"):
        run_step(["no-such-program"], tmp_path / "log", tmp_path)


def test_a_tool_has_a_home_of_its_own_and_no_way_out(tmp_path: Path) -> None:
    told_to = environment(job(tmp_path))

    assert Path(told_to["HOME"]).is_relative_to(tmp_path)
    assert told_to["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    assert "127.0.0.1" in told_to["NO_PROXY"]


def test_what_lm_eval_wrote_is_read(tmp_path: Path) -> None:
    assert LmEval().outcome(job(tmp_path)) is None
    written = tmp_path / "out" / "bench-90" / "samples_bench_gsm8k_2026.jsonl"
    written.parent.mkdir(parents=True)
    written.write_text('{"exact_match": 1.0}\n{"exact_match": 0.0}\n{"exact_match": 1.0}\n')

    assert LmEval().outcome(job(tmp_path)) == Outcome(3, 2)


def test_what_inspect_wrote_is_read() -> None:
    scores = [{"metrics": {"accuracy": {"value": 0.9}}}]

    assert inspect_outcome({"status": "error", "results": None}) is None
    assert inspect_outcome({"results": {"total_samples": 12, "completed_samples": 10, "scores": scores}}) == Outcome(
        10, 9, 2
    )


def test_what_promptfoo_is_given_and_wrote(tmp_path: Path) -> None:
    Promptfoo().command(job(tmp_path))
    rows = [{"success": reason == 0, "failureReason": reason} for reason in (0, 0, 1, 2)]
    (tmp_path / "out.json").write_text(json.dumps({"results": {"results": rows}}))

    given = json.loads((tmp_path / "tests.jsonl").read_text())
    assert given == {"vars": {"question": "How many?", "target": "1234"}}
    assert Promptfoo().outcome(job(tmp_path)) == Outcome(3, 2, 1)


def test_a_tool_that_could_not_be_installed_has_its_row() -> None:
    titles = {"assay": "Assay", "evalscope": "evalscope"}
    grid: dict[str, dict[str, Cell]] = {
        "assay": {"speed": found(Outcome(100, 90))},
        "evalscope": {"speed": "not installed: no disk"},
    }

    made = section(titles, grid, Sizes(100, 800, 60), "items", 3.0)

    speed, many, latency, _ = made.tables
    assert speed.rows[0][:4] == ["Assay", "2.00", "50", "1.0"]
    assert speed.rows[1][:4] == ["evalscope", "not installed: no disk", "", ""]
    assert many.rows[0][:2] == ["Assay", "not run"]
    assert latency.rows[0] == ["Assay", "not run", ""]
    assert all(len(row) == len(table.columns) for table in made.tables for row in table.rows)
