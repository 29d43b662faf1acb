"""A leaderboard's figures as a person reads them."""

from shared.manifest import Column

_RATES = frozenset({"overall_score", "accuracy", "exact_match", "answer_rate", "coverage"})


def is_rate(key: str) -> bool:
    """Whether a metric is a part of a whole, 0..1, which pages show in percent."""
    return key in _RATES


def shown(value: float | None, column: Column) -> str:
    """To the column's `precision`, which counts the places of the fraction: 0.9575 with 4 of them is `95.75%`."""
    if value is None:
        return "\u2014"
    if is_rate(column.key):
        return f"{value * 100:.{max(0, column.precision - 2)}f}%"
    return f"{value:,.{column.precision}f}"
