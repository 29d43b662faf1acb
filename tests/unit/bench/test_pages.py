"""What the benchmark of the pages makes of what the browser said."""

from bench.pages import LINES_PER_S, Look, Step, log_table, steps_table, tasks
from tests.pages.vitals import Held


def test_a_task_that_the_browser_does_not_count_as_long_has_no_figure() -> None:
    assert tasks(0) == "under 50"
    assert tasks(87.4) == "87"


def test_a_row_a_step() -> None:
    table = steps_table(100_000, [Step("search", 1234.5, 0, 1_500), Step("next page", 40, 61, 1_501)])
    assert table.title == "100,000 items"
    assert table.rows == [["search", "1234", "under 50", "1,500"], ["next page", "40", "61", "1,501"]]


def test_a_row_a_look_at_the_log() -> None:
    table = log_table([Look(60.2, 60 * LINES_PER_S, Held(4_560_000, 2_500, 40), 55)])
    assert table.rows == [["after 60 s", f"{60 * LINES_PER_S:,}", "4.6", "2,500", "40", "55"]]
    assert len(table.columns) == len(table.rows[0])
