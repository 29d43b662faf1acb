"""How numbers, times and tables look in a terminal."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from shared.api import Evaluation, LeaderboardRow
from shared.contracts import Status
from shared.texts import dollars

NONE = "-"

NAME_WIDTH = 12
"""Columns that a name keeps, however narrow the screen."""


def plain(text: str) -> str:
    """Text without what drives a terminal: models write it, and an escape sequence in it must not reach the screen."""
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else "�" for c in text)


def short(text: str | None, width: int) -> str:
    """One line of at most `width` characters."""
    line = " ".join(plain(text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def percent(rate: Any) -> str:
    return f"{100 * rate:.2f}%" if isinstance(rate, int | float) else NONE


def interval(ends: Any) -> str:
    """A confidence interval of a rate, in percent."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return NONE
    return f"{100 * ends[0]:.1f}-{100 * ends[1]:.1f}%"


def number(value: Any, digits: int = 1, unit: str = "") -> str:
    return f"{value:,.{digits}f}{unit}" if isinstance(value, int | float) else NONE


def duration(seconds: Any) -> str:
    """`8.4 s`, `3:05`, `2:03:05`."""
    if not isinstance(seconds, int | float):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(time: datetime | None) -> str:
    """Local time to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else NONE


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table of plain texts; a column whose name starts with `>` is set to the right."""
    made = Table(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    cells = [[cell if isinstance(cell, Text) else Text(plain(str(cell))) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        right = column.startswith(">")
        widest = max((row[index].cell_len for row in cells), default=0)
        # Without a minimum, rich takes a narrow screen's missing room from the names alone, until nothing of them is left.
        made.add_column(
            Text(column.removeprefix(">")),
            justify="right" if right else "left",
            no_wrap=right,
            min_width=None if right else min(widest, NAME_WIDTH),
        )
    for row in cells:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one pair a line."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        made.add_row(Text(name, style="bold"), Text(plain(str(value))))
    return made


def ranked(evaluations: Iterable[Evaluation], *, lowest_first: bool = False) -> list[tuple[int | None, Evaluation]]:
    """Best first, equal scores sharing a rank; what has no score comes last, without one. `lowest_first` where less is better."""
    sign = 1 if lowest_first else -1
    scored: list[tuple[float, Evaluation]] = []
    unscored: list[tuple[int | None, Evaluation]] = []
    for evaluation in evaluations:
        score = (evaluation.metrics or {}).get("overall_score")
        if evaluation.status is Status.COMPLETED and isinstance(score, int | float):
            scored.append((sign * score, evaluation))
        else:
            unscored.append((None, evaluation))
    scored.sort(key=lambda pair: (pair[0], pair[1].number))
    ranks: list[tuple[int | None, Evaluation]] = []
    for score, evaluation in scored:
        ranks.append((1 + sum(other < score for other, _ in scored), evaluation))
    return ranks + unscored


def scores(evaluations: Iterable[Evaluation], title: str | None = None, *, lowest_first: bool = False) -> Table:
    """The ranked score table: accuracy with its 95 % interval, rate and latency of each evaluation. `lowest_first` as for `ranked`.

    Columns that would say the same in every row (all answered, all covered, all completed, score = accuracy) are left out.
    """
    order = ranked(evaluations, lowest_first=lowest_first)
    metrics = [evaluation.metrics or {} for _, evaluation in order]
    latencies = [found.get("latency_ms") or {} for found in metrics]
    columns: dict[str, list[object]] = {
        ">Rank": [rank or NONE for rank, _ in order],
        "Model": [evaluation.model_name for _, evaluation in order],
    }
    if any(found.get("overall_score") != found.get("accuracy") for found in metrics):
        columns[">Score"] = [number(found.get("overall_score"), 4) for found in metrics]
    columns[">Accuracy"] = [percent(found.get("accuracy")) for found in metrics]
    columns[">95% CI"] = [interval(found.get("accuracy_ci95")) for found in metrics]
    # Where a scoring program alone knows what is right, no answer is correct by itself.
    counted = ["called" in m and not ("columns" in m and m.get("exact_match") is None) for m in metrics]
    columns[">Correct"] = [
        f"{m['correct']}/{m['called']}" if counts else NONE for m, counts in zip(metrics, counted, strict=True)
    ]
    for name, key in ((">Answered", "answer_rate"), (">Coverage", "coverage")):
        if any(found.get(key) not in (None, 1) for found in metrics):
            columns[name] = [percent(found.get(key)) for found in metrics]
    columns[">Items/s"] = [number(found.get("items_per_s")) for found in metrics]
    columns[">p50 ms"] = [number(latency.get("p50")) for latency in latencies]
    columns[">p95 ms"] = [number(latency.get("p95")) for latency in latencies]
    for name, key in ((">Cost", "cost"), (">Judge's cost", "judge_cost")):
        if any(found.get(key) is not None for found in metrics):
            columns[name] = [NONE if found.get(key) is None else dollars(found[key]) for found in metrics]
    columns[">#"] = [f"#{evaluation.number}" for _, evaluation in order]
    if any(evaluation.status is not Status.COMPLETED for _, evaluation in order):
        columns["Status"] = [": ".join(filter(None, (e.status.value, short(e.error, 80)))) for _, e in order]
    return table([*columns], zip(*columns.values(), strict=True), title)


def standing(row: LeaderboardRow) -> str:
    """The rank as the leaderboard shows it: ties marked, none for a part of a phase or an older version."""
    return NONE if row.rank is None else f"{'=' if row.tied else ''}{row.rank}"
