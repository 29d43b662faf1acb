"""`/environments/{slug}/leaderboard`: models ranked on a phase, sorted by any column, and chosen for a comparison; where the
leaderboard's rule asks for that, evaluations are put there and taken off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from gateway.api.leaderboards import put_on_leaderboard, take_off_leaderboard
from gateway.auth import RUNNER
from gateway.boards import find_board
from gateway.lookups import find_environment
from gateway.parts import PartsOf
from gateway.web.environment import address_of, frame
from gateway.web.figures import is_rate, shown
from gateway.web.render import page, words
from shared.api import LeaderboardRow
from shared.manifest import Column

router = APIRouter(include_in_schema=False)

ROWS = 100
"""On a page."""

CANDIDATES = 50
"""The newest of those that could be put there."""

MOST_FIELDS = 2 * ROWS
"""Of the form, in which rows are chosen for a comparison too."""

RANK = Column(key="rank", title="Rank", sorting="asc")
MODEL = Column(key="model_name", title="Model", sorting="asc")
FINISHED = Column(key="finished_at", title="Finished", sorting="desc")


@dataclass(frozen=True)
class Head:
    """A column's title, the sort that a click on it asks for, and which way it is sorted now (`ascending`, `descending`, none)."""

    title: str
    address: str
    sorted: str | None
    is_left: bool = False


@dataclass(frozen=True)
class Cell:
    """A metric as text; a rate that a bar is drawn of has its `value`, and its `interval` where one is known. `said` is an interval in
    words."""

    text: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    said: str | None = None


@router.get("/environments/{reference}/leaderboard")
async def show_leaderboard(
    request: Request,
    parts: PartsOf,
    reference: str,
    phase: str | None = None,
    sort: str = "rank",
    start: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:
    """`sort` is a column's key, with `-` before it for the highest first; an unknown one is `rank`."""
    values = await frame(parts, reference)
    board = await find_board(parts.database, await find_environment(parts.database, reference), phase)
    columns = [RANK, MODEL, *board.columns, FINISHED]
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    if key not in {column.key for column in columns}:
        key, descending = RANK.key, False
    sort = f"-{key}" if descending else key
    rows = board.rows if sort == RANK.key else ordered(board.rows, key, descending)
    shown_rows = rows[start : start + ROWS]
    rates = rates_of(board.columns, [*board.rows, *board.candidates])
    drawn = with_bars(board.columns, board.rows, rates)
    here = f"{values['address']}/leaderboard"

    def address(**asked: str | int) -> str:
        return f"{here}?{urlencode({'phase': board.phase, **asked})}"

    heads = [
        Head(
            column.title or words(column.key),
            address(sort=following(column, sort)),
            ("descending" if descending else "ascending") if column.key == key else None,
            column in (MODEL, FINISHED) or column.key in drawn,
        )
        for column in columns
    ]
    return page(
        request,
        "leaderboard.html",
        **values,
        phase=board.phase,
        rule=board.leaderboard.submission_rule,
        main=board.columns[0],
        candidates=[
            (row, shown(row.scores[board.columns[0].key], board.columns[0], rate=board.columns[0].key in rates))
            for row in board.candidates[:CANDIDATES]
        ],
        heads=heads,
        rows=[(row, [cell(row, column, drawn, rates) for column in board.columns]) for row in shown_rows],
        total=len(rows),
        start=start,
        next=address(sort=sort, start=start + ROWS) if start + ROWS < len(rows) else None,
        previous=address(sort=sort, start=max(0, start - ROWS)) if start else None,
        covers={row.number: row.coverage for row in shown_rows if row.coverage is not None and row.coverage < 1},
    )


def ordered(rows: Sequence[LeaderboardRow], key: str, descending: bool) -> list[LeaderboardRow]:
    """Rows by a column. Those that have no value there come last either way; equal ones stay as they were ranked."""
    there = [row for row in rows if _value(row, key) is not None]
    there.sort(key=lambda row: _value(row, key), reverse=descending)
    return there + [row for row in rows if _value(row, key) is None]


def _value(row: LeaderboardRow, key: str) -> Any:
    if key == MODEL.key:
        return row.model_name.casefold()
    if key in (RANK.key, FINISHED.key):
        return getattr(row, key)
    return row.scores.get(key)


def following(column: Column, sort: str) -> str:
    """The sort that a click on a column asks for: what is better first, and the other way round if it is that already."""
    first = column.key if column.sorting == "asc" else f"-{column.key}"
    other = f"-{column.key}" if column.sorting == "asc" else column.key
    return other if sort == first else first


def rates_of(columns: Sequence[Column], rows: Sequence[LeaderboardRow]) -> set[str]:
    """The keys of columns that are shown in percent."""
    return {column.key for column in columns if is_rate(column, (row.scores.get(column.key) for row in rows))}


def with_bars(columns: Sequence[Column], rows: Sequence[LeaderboardRow], rates: set[str]) -> set[str]:
    """The keys of columns that get a bar: the first one, if it is a rate, and accuracy where that is another number."""
    drawn = {columns[0].key} & rates
    if "accuracy" in rates and any(row.scores.get(columns[0].key) != row.accuracy for row in rows):
        drawn.add("accuracy")
    return drawn


def cell(row: LeaderboardRow, column: Column, drawn: set[str], rates: set[str]) -> Cell:
    """A rate with a bar has its interval on that; any other value with an interval has it in words."""
    value, ends = row.scores.get(column.key), row.intervals.get(column.key)
    rate = column.key in rates
    text = shown(value, column, rate=rate)
    if value is None or column.key in drawn:
        return Cell(text, value, ends)
    if ends is None:
        return Cell(text)
    if rate:
        return Cell(text, said=f"{ends[0] * 100:.1f}\u2013{ends[1] * 100:.1f}%")
    return Cell(text, said=f"{shown(ends[0], column, rate=False)} to {shown(ends[1], column, rate=False)}")


@router.post("/evaluations/{reference}/leaderboard", dependencies=[RUNNER])
async def change(reference: str, request: Request, parts: PartsOf) -> Response:
    """For the buttons, which need no script: `do` is `put_on` or `take_off`."""
    form = await request.form(max_fields=MOST_FIELDS)
    ask = take_off_leaderboard if form.get("do") == "take_off" else put_on_leaderboard
    evaluation = await ask(reference, parts)
    version = f"{evaluation.environment}@{evaluation.environment_version}"
    latest = await find_environment(parts.database, evaluation.environment)
    where = evaluation.environment if latest["version"] == evaluation.environment_version else version
    return RedirectResponse(f"{address_of(where)}/leaderboard?{urlencode({'phase': evaluation.phase})}", 303)
