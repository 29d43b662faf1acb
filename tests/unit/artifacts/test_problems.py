"""Errors of a bundle, with the lines that they speak of."""

from pathlib import Path

import pytest

from services.artifacts.problems import Problems, quote
from shared.errors import FieldError
from shared.yamls import Lines


def quoted(folder: Path, name: str, msg: str) -> str | None:
    error = FieldError(loc=[name], msg=msg)
    quote([error], folder)
    return error.get("text")


def test_a_line_is_quoted_where_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"one\r\n\r\n\tthree\x1b[31m\n\xff\n" + b"x" * 200_000 + b"\nlast")
    assert quoted(tmp_path, "a.csv", "line 1: is wrong") == "one"
    assert quoted(tmp_path, "a.csv", "line 2: is wrong") is None
    assert quoted(tmp_path, "a.csv", "line 3, column 2: is wrong") == "three [31m"
    assert quoted(tmp_path, "a.csv", "line 4: is wrong") == "\ufffd"
    assert quoted(tmp_path, "a.csv", "line 6: is wrong") == "last"
    assert quoted(tmp_path, "a.csv", "line 7: is wrong") is None
    assert quoted(tmp_path, "a.csv", "is wrong on line 1: yes") is None
    assert quoted(tmp_path, "b.csv", "line 1: is wrong") is None


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret", "", "link"])
def test_only_files_of_the_bundle_are_quoted(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "link").symlink_to(tmp_path / "secret")
    assert quoted(tmp_path / "bundle", name, "line 1: is wrong") is None


def test_a_long_line_is_cut_around_the_column(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(f"{n:04}" for n in range(1000)))
    assert quoted(tmp_path, "a", "line 1: is wrong") == "".join(f"{n:04}" for n in range(40)) + "..."
    middle = quoted(tmp_path, "a", "line 1: is not JSON: nope at column 2001")
    assert middle is not None
    assert middle.startswith("...")
    assert "0500" in middle
    assert len(middle) == 160 + 6


def test_a_path_in_the_manifest_has_its_line_or_that_of_what_it_is_missing_from() -> None:
    problems = Problems()
    lines = Lines({(): 1, ("phases",): 4, ("phases", 0): 5, ("phases", 0, "data"): 6})
    problems.locate("environment.yaml", lines.told)
    problems.add(["environment.yaml", "phases", 0, "data"], "is wrong")
    problems.add(["environment.yaml", "phases", 0, "name"], "is missing")
    problems.add(["environment.yaml", "slug"], "is missing")
    problems.add(["environment.yaml", "phases"], "line 9: is wrong")
    problems.add(["dev.jsonl", 3], "line 3: is wrong")
    assert [error["msg"] for error in problems.errors] == [
        "line 6: is wrong",
        "line 5: is missing",
        "is missing",
        "line 9: is wrong",
        "line 3: is wrong",
    ]
