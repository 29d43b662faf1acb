"""Ids of a phase: each is known by where it was first."""

from pathlib import Path

from services.artifacts.ids import Ids


def test_an_id_is_where_it_was_first(tmp_path: Path) -> None:
    ids = Ids(tmp_path / "ids")

    assert [ids.first("a", 1), ids.first("b", 2), ids.first("a", 3), ids.first("a", 4)] == [1, 2, 1, 1]


def test_ids_differ_by_every_character(tmp_path: Path) -> None:
    ids = Ids(tmp_path / "ids")
    different = [
        "1",
        "01",
        "1.0",
        "a",
        "A",
        "a ",
        "ä",
        "a\u0308",
        "a\0b",
        "a\0c",
        "'; DROP TABLE ids; --",
        "\U0001f40e",
    ]

    assert [ids.first(item_id, line) for line, item_id in enumerate(different)] == list(range(len(different)))
