"""A leaderboard as CSV (RFC 4180). Pure."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime

from shared.api import LeaderboardRow
from shared.manifest import Column

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, 'CSV Injection')."""

Cell = str | float | datetime | None


def csv_of(columns: Sequence[Column], rows: Sequence[LeaderboardRow]) -> str:
    """A line a row; numbers to the last bit, times in RFC 3339. A column with intervals is followed by their ends, `<key>_low`
    and `<key>_high`. A text that a spreadsheet would run as a formula has an apostrophe before it."""
    keys = [column.key for column in columns]
    with_ends = {key for key in keys if any(key in row.intervals for row in rows)}
    out = io.StringIO()
    writer = csv.writer(out)
    heads = [name for key in keys for name in ((key, f"{key}_low", f"{key}_high") if key in with_ends else (key,))]
    first = ("rank", "tied", "model_name", "model", "evaluation")
    last = ("coverage", "samples", "partial", "environment_version", "finished_at")
    writer.writerow([_cell(name) for name in (*first, *heads, *last)])
    for row in rows:
        cells: list[Cell] = [row.rank, str(row.tied).lower(), row.model_name, row.model, row.number]
        for key in keys:
            cells += [row.scores[key], *(row.intervals.get(key, (None, None)) if key in with_ends else ())]
        cells += [row.coverage, row.total, str(row.partial).lower(), row.environment_version, row.finished_at]
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Cell) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULAS) else value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
    return repr(value)
