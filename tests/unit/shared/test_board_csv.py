"""A leaderboard as CSV."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.api import LeaderboardRow
from shared.board_csv import csv_of
from shared.manifest import Column


def row(**fields: Any) -> LeaderboardRow:
    plain = {
        "rank": 1,
        "evaluation": "e1",
        "number": 12,
        "model": "m1",
        "model_name": "m0.26",
        "environment_version": "0a",
        "overall_score": 0.1,
        "accuracy": 0.1,
        "accuracy_ci95": None,
        "coverage": 1.0,
        "total": 100,
        "finished_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "scores": {"accuracy": 0.1 + 0.2, "delta": -3.5},
        "intervals": {"accuracy": (1 / 3, 2 / 3)},
    }
    return LeaderboardRow.model_validate(plain | fields)


def parsed(*rows: LeaderboardRow, columns: tuple[str, ...] = ("accuracy", "delta")) -> list[dict[str, str]]:
    text = csv_of([Column(key=key) for key in columns], rows)
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_numbers_are_whole_and_intervals_stand_beside_them() -> None:
    one, two = parsed(row(), row(rank=None, tied=True, scores={"accuracy": None, "delta": 1e-9}, intervals={}))
    assert one == {
        "rank": "1",
        "tied": "false",
        "model_name": "m0.26",
        "model": "m1",
        "evaluation": "12",
        "accuracy": "0.30000000000000004",
        "accuracy_low": "0.3333333333333333",
        "accuracy_high": "0.6666666666666666",
        "delta": "-3.5",
        "coverage": "1.0",
        "samples": "100",
        "partial": "false",
        "environment_version": "0a",
        "finished_at": "2026-01-02T03:04:05Z",
    }
    assert (two["rank"], two["tied"], two["accuracy"], two["accuracy_low"], two["delta"]) == (
        "",
        "true",
        "",
        "",
        "1e-09",
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_name_is_never_a_formula(start: str) -> None:
    name = f'{start}HYPERLINK("http://localhost", "a")'
    (found,) = parsed(row(model_name=name))
    assert found["model_name"] == f"'{name}"
    columns = parsed(row(scores={name: 1.0}, intervals={}), columns=(name,))
    assert f"'{name}" in columns[0]


def test_commas_quotes_and_lines_stay_in_their_cell() -> None:
    name = 'a, "b"\nc'
    assert parsed(row(model_name=name))[0]["model_name"] == name


def test_an_empty_leaderboard_has_its_heads() -> None:
    assert csv_of([Column(key="accuracy")], []).split(",")[:6] == [
        "rank",
        "tied",
        "model_name",
        "model",
        "evaluation",
        "accuracy",
    ]
