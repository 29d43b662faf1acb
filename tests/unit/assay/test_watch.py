"""What the events of an evaluation add up to, and how they are shown."""

from io import StringIO
from typing import Any

from rich.console import Console

from assay.watch import Bars, Board, Lines, Tally, board, log_line
from shared.api import Evaluation, EventOut
from tests.unit.assay.fakes import evaluation, event


def progress(cursor: int, done: int, correct: int, infra: int = 0) -> EventOut:
    said = f"Processing: {done}/40 ({100 * done // 40}%)"
    data: dict[str, Any] = {
        "done": done,
        "total": 40,
        "correct": correct,
        "infra_error": infra,
        "items_per_s": 8.0,
        "eta_s": 3.0,
    }
    return EventOut.model_validate(event(cursor, "progress", message=said, **data))


def other(cursor: int, kind: str, **data: Any) -> EventOut:
    return EventOut.model_validate(event(cursor, kind, **data))


EVENTS = [
    other(-1, "queued"),
    other(0, "log", level="info", message="Starting the engine of model alpha: loading, 2 s"),
    other(1, "started"),
    other(1, "log", level="info", message="Submission generated"),
    *(progress(1 + done, done, done // 2) for done in range(1, 41)),
    other(50, "log", level="warning", message="429, waiting\x1b[2J"),
    other(51, "scored", message="accuracy=50.00% correct=20/40"),
    other(52, "completed"),
]


def shown(kind: type[Board], terminal: bool) -> str:
    console = Console(file=StringIO(), width=120, force_terminal=terminal)
    tally = Tally.of(Evaluation.model_validate(evaluation()))
    with kind(console) as watching:  # type: ignore[call-arg]
        for found in EVENTS:
            tally.apply(found)
            watching.show(tally, found)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_tally_counts_what_was_called() -> None:
    tally = Tally.of(Evaluation.model_validate(evaluation()))
    accuracies = [tally.accuracy]
    tally.apply(progress(1, 10, 6, infra=2))
    assert (tally.done, tally.total) == (10, 40)
    assert [*accuracies, tally.accuracy] == [None, 0.75]
    tally.apply(other(2, "completed"))
    assert tally.status == "completed"


def test_lines_are_few_and_plain() -> None:
    lines = shown(Lines, terminal=False).splitlines()
    steps = [line for line in lines if "Processing" in line]
    assert len(steps) == 10
    assert steps[0] == "#1 alpha  Processing: 4/40 (10%)  8.0 items/s  50.00% correct"
    assert [line.removeprefix("#1 alpha  ") for line in lines if line not in steps] == [
        "queued",
        "Starting the engine of model alpha: loading, 2 s",
        "running",
        "429, waiting�[2J",
        "accuracy=50.00% correct=20/40",
        "completed",
    ]


def test_bars_end_full_and_say_the_accuracy() -> None:
    text = shown(Bars, terminal=True)
    assert "40/40" in text
    assert "50.00% correct" in text
    assert "429, waiting�[2J" in text
    assert "Starting the engine of model alpha: loading, 2 s" in text
    assert "Submission" not in text


def test_bars_are_for_terminals_only() -> None:
    assert isinstance(board(Console(file=StringIO(), force_terminal=True)), Bars)
    assert isinstance(board(Console(file=StringIO())), Lines)


def test_a_log_line_says_when_what_and_about_whom() -> None:
    line = log_line(other(1, "log", level="warning", message="endpoint\nanswers 429"))
    assert line[8:] == " WARNING #1 alpha  endpoint answers 429"
    assert log_line(other(2, "failed", error="no space")).endswith("#1 alpha  failed no space")
