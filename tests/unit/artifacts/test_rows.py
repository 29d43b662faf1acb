"""Readers of data files."""

import datetime
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.artifacts.rows import BadRow, Row, choices_of, id_of, input_text, plain, read_rows, target_text


def read(tmp_path: Path, name: str, content: str | bytes, max_line_bytes: int = 1000) -> list[Row | BadRow]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, max_line_bytes))


def parquet(tmp_path: Path, columns: dict[str, Any]) -> list[Row | BadRow]:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return list(read_rows(path, 1000))


def test_jsonl_skips_blank_lines_but_counts_them(tmp_path: Path) -> None:
    content = '\ufeff{"a": 1}\r\n\n  \n{"a": "é"}'
    assert read(tmp_path, "a.jsonl", content) == [Row(1, {"a": 1}), Row(4, {"a": "é"})]


@pytest.mark.parametrize(
    ("line", "msg"),
    [
        (b'{"a": 1', "is not JSON: Expecting ',' delimiter at column 8"),
        (b"{'a': 1}", "is not JSON: Expecting property name enclosed in double quotes at column 2"),
        (b"[1]", 'is not an object; a line must look like {"input": "...", "target": "..."}'),
        (b'{"a": NaN}', "is not JSON: NaN is no JSON value; write null"),
        (b'{"a": 1e999}', "is not JSON: the number 1e999 is too large"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 0xff at position 8"),
        (b'{"a": "\\ud800"}', "column 'a' holds half of a surrogate pair, which is not Unicode text"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "column 'a' is nested deeper than 50 levels"),
        (b"[" * 200_000, "is nested deeper than 50 levels"),
    ],
)
def test_a_broken_jsonl_line_is_named_and_reading_goes_on(tmp_path: Path, line: bytes, msg: str) -> None:
    rows = read(tmp_path, "a.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 3}\n', max_line_bytes=1_000_000)
    assert rows == [Row(1, {"a": 1}), BadRow(2, msg), Row(3, {"a": 3})]


def test_a_line_that_is_too_long_ends_the_reading(tmp_path: Path) -> None:
    content = '{"a": 1}\n{"a": "' + "x" * 1000 + '"}\n{"a": 3}\n'
    assert read(tmp_path, "a.jsonl", content) == [
        Row(1, {"a": 1}),
        BadRow(2, "is longer than 1,000 bytes; reading stops here"),
    ]


def test_csv_cells_are_text_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = '\ufeffq,a\r\n"one\r\ntwo",1\r\n\r\n"a ""b"", c",2\r\n'
    assert read(tmp_path, "a.csv", content) == [
        Row(2, {"q": "one\r\ntwo", "a": "1"}),
        Row(5, {"q": 'a "b", c', "a": "2"}),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"q,a\n1\n1,2,3\n",
            [
                BadRow(2, "has 1 cells; the header has 2"),
                BadRow(3, "has 3 cells; the header has 2; a text that holds the separator must be in double quotes"),
            ],
        ),
        (b"q,q\n1,2\n", [BadRow(1, "is the header, and has the column 'q' twice")]),
        (b"q, \n1,2\n", [BadRow(1, "is the header, and column 2 has no name")]),
        (b"", [BadRow(None, "is empty; the first line must name the columns")]),
        (b"q\n\xe9\n", [BadRow(2, "is not UTF-8: byte 0xe9 at position 1")]),
        (b'q\n"a\nb\n', [BadRow(2, "is not CSV: unexpected end of data")]),
    ],
)
def test_broken_csv(tmp_path: Path, content: bytes, expected: list[BadRow]) -> None:
    assert read(tmp_path, "a.csv", content) == expected


def test_a_csv_cell_without_end_is_bounded(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "a.csv", 'q\n"' + "x\n" * 2000)
    assert row == BadRow(2, "is not CSV: field larger than field limit (1000)")


def test_parquet(tmp_path: Path) -> None:
    rows = parquet(
        tmp_path,
        {
            "q": ["a", "b"],
            "n": [1, None],
            "choices": [["x", "y"], []],
            "when": [datetime.date(2025, 1, 2), None],
            "meta": [{"k": 0.5}, {"k": math.nan}],
        },
    )
    assert rows == [
        Row(1, {"q": "a", "n": 1, "choices": ["x", "y"], "when": "2025-01-02", "meta": {"k": 0.5}}),
        Row(2, {"q": "b", "n": None, "choices": [], "when": None, "meta": {"k": None}}),
    ]


def test_parquet_of_many_batches_keeps_the_order(tmp_path: Path) -> None:
    assert parquet(tmp_path, {"n": list(range(1000))}) == [Row(n + 1, {"n": n}) for n in range(1000)]


def test_binary_parquet_columns_are_refused(tmp_path: Path) -> None:
    (row,) = parquet(tmp_path, {"image": [b"\x00"]})
    assert isinstance(row, BadRow)
    assert row.msg.startswith("column 'image' holds binary data")


@pytest.mark.parametrize("cut", [3, 60])
def test_broken_parquet(tmp_path: Path, cut: int) -> None:
    parquet(tmp_path, {"n": [1, 2]})
    (row,) = read(tmp_path, "b.parquet", (tmp_path / "data.parquet").read_bytes()[:-cut])
    assert isinstance(row, BadRow)
    assert row.msg.startswith("is not readable as Parquet")
    assert str(tmp_path) not in row.msg


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, "a.json", "[]") == [
        BadRow(None, "is of no known format: the name must end in .jsonl, .csv, .tsv, .parquet")
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**63, "9223372036854775808"),
        (-(2**63), -(2**63)),
        (Decimal("1.10"), "1.10"),
        (datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC), "2025-01-02T00:00:00+00:00"),
        (datetime.timedelta(seconds=90), "0:01:30"),
        ((1, [True]), [1, [True]]),
    ],
)
def test_plain_values(value: Any, expected: Any) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize("value", [math.inf, b"", {"a\0": 1}, ["\udc00"]])
def test_values_that_no_item_can_have(value: Any) -> None:
    with pytest.raises(ValueError, match=r"holds|has"):
        plain(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (18, "18"),
        (18.0, "18"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (True, "true"),
        (" a ", " a "),
    ],
)
def test_targets_as_text(value: Any, text: str) -> None:
    assert target_text(value) == text


@pytest.mark.parametrize(
    ("value", "msg"),
    [(None, "holds null"), ([1], "holds a list"), ({}, "holds an object"), (" ", "is empty")],
)
def test_targets_that_are_none(value: Any, msg: str) -> None:
    with pytest.raises(ValueError, match=msg):
        target_text(value)


def test_ids() -> None:
    assert id_of(7) == "7"
    with pytest.raises(ValueError, match="has 257 characters"):
        id_of("x" * 257)


def test_inputs() -> None:
    assert input_text("") == ""
    assert input_text([{"role": "user", "content": "é"}]) == '[{"role": "user", "content": "é"}]'
    for wrong in ([], ["a"], [{"role": "user"}], [{"role": "user", "content": 1}]):
        with pytest.raises(ValueError, match="no chat"):
            input_text(wrong)


def test_choices() -> None:
    assert choices_of(["a", 2]) == ["a", "2"]
    assert choices_of('["a", "b"]') == ["a", "b"]
    for wrong in (["a"], "a, b", None, {"text": ["a", "b"]}):
        with pytest.raises(ValueError, match="at least two texts"):
            choices_of(wrong)
