"""Numbers, ranks and hostile texts as a terminal gets them."""

from io import StringIO

from rich.console import Console

from assay import render
from shared.api import Evaluation
from tests.unit.assay.fakes import evaluation, metrics


def written(*evaluations: Evaluation, width: int = 200, lowest_first: bool = False) -> list[list[str]]:
    console = Console(file=StringIO(), width=width)
    console.print(render.scores(evaluations, lowest_first=lowest_first))
    assert isinstance(console.file, StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def made(number: int, correct: int | None, name: str | None = None, **changes: object) -> Evaluation:
    found = metrics(correct, 4) if correct is not None else None
    shown = name or f"m{number}"
    return Evaluation.model_validate(evaluation(number=number, model_name=shown, metrics=found, **changes))


def test_equal_scores_share_a_rank_and_what_has_none_comes_last() -> None:
    head, *rows = written(made(1, 2), made(2, None, status="failed", error="no space"), made(3, 4), made(4, 2))
    assert [(row[0], row[1]) for row in rows] == [("1", "m3"), ("2", "m1"), ("2", "m4"), ("-", "m2")]
    assert rows[0][2:] == ["100.00%", "10.0-90.0%", "4/4", "12.5", "20.0", "40.0", "#3", "completed"]
    assert rows[-1][-3:] == ["failed:", "no", "space"]
    assert head[-1] == "Status"


def test_where_less_is_better_the_lowest_comes_first() -> None:
    _, *rows = written(made(1, 2), made(2, None, status="failed"), made(3, 4), made(4, 2), lowest_first=True)
    assert [(row[0], row[1]) for row in rows] == [("1", "m1"), ("1", "m4"), ("3", "m3"), ("-", "m2")]


def test_what_a_program_alone_can_score_counts_no_correct_answers() -> None:
    by_program = made(1, 0)
    assert by_program.metrics is not None
    by_program.metrics |= {
        "overall_score": 0.7,
        "accuracy": None,
        "accuracy_ci95": None,
        "exact_match": None,
        "columns": {},
    }
    _, row = written(by_program)
    assert row[:6] == ["1", "m1", "0.7000", "-", "-", "-"]


def test_columns_that_say_the_same_everywhere_are_left_out() -> None:
    head, _ = written(made(1, 2))
    assert not {"Score", "Answered", "Coverage", "Status"} & {*head}
    partial = Evaluation.model_validate(evaluation(metrics=metrics(2, 4, coverage=0.5, overall_score=0.7)))
    assert {"Score", "Coverage"} <= {*written(partial)[0]}


def test_what_it_cost_is_shown_where_one_of_them_has_a_price() -> None:
    priced = Evaluation.model_validate(evaluation(metrics=metrics(2, 4, cost=0.0123456, judge_cost=None)))
    head, *rows = written(priced, made(1, 2))
    assert "Cost" in head
    assert "Judge's" not in head
    assert ["$0.012" in row for row in rows] == [True, False]


def test_a_usual_screen_shows_every_name_and_number_whole() -> None:
    rows = written(made(1, 2, name="sample-95"), made(2, 4, name="sample-60"), width=80)
    assert [row[1] for row in rows[1:]] == ["sample-60", "sample-95"]
    assert "…" not in str(rows)


def test_nothing_that_drives_a_terminal_gets_through() -> None:
    assert render.plain("a\x1b[31mb\x9bc\u202ed\ne\tf") == "a�[31mb�c�d\ne\tf"
    assert render.short("one\n two  three", 9) == "one two …"


def test_durations_read_as_people_say_them() -> None:
    assert [render.duration(value) for value in (8.44, 185, 7385, None)] == ["8.4 s", "3:05", "2:03:05", "-"]
