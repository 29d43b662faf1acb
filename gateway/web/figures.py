"""A leaderboard's figures as a person reads them."""

from collections.abc import Iterable

from shared.manifest import Column

_RATES = frozenset({"overall_score", "accuracy", "exact_match", "answer_rate", "coverage"})


def is_rate(column: Column, values: Iterable[float | None]) -> bool:
    """Whether a column with these values is a part of a whole, which pages show in percent; a scoring program's may be anything."""
    is_named = column.computed is None and column.key in _RATES
    return is_named and all(value is None or 0 <= value <= 1 for value in values)


def shown(value: float | None, column: Column, *, rate: bool) -> str:
    """To the column's `precision`, which counts the places of the fraction: a rate of 0.9575 with 4 of them is `95.75%`."""
    if value is None:
        return "\u2014"
    if rate:
        return f"{value * 100:.{max(0, column.precision - 2)}f}%"
    return f"{value:,.{column.precision}f}"
