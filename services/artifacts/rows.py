"""Reading a data file (JSONL, CSV or TSV with a header, Parquet) row by row.

A file is never in memory as a whole. What is wrong comes as a `BadRow` among the rows, so that one reading finds every bad line.
"""

import contextlib
import csv
import datetime
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_BATCH = 256  # rows of a Parquet file in memory
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte-order marks
_MAX_ID = 256  # characters
_MAX_DEPTH = 50  # of nested values; MongoDB takes 100 with what Assay puts around them
_ROLES = ("system", "user", "assistant")
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Row:
    """`line` counts from 1: the line it starts on in JSONL and CSV, the row in Parquet."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `line` is None where the whole file is meant."""

    line: int | None
    msg: str


def unit(path: Path) -> str:
    """What `line` of this file's rows counts."""
    return "row" if path.suffix in (".parquet", ".json") else "line"


def read_rows(path: Path, max_line_bytes: int) -> Iterator[Row | BadRow]:
    """Rows of the file, by its suffix. Values are JSON's types that MongoDB can hold too, see `plain`."""
    match path.suffix:
        case ".jsonl":
            return _read_jsonl(path, max_line_bytes)
        case ".csv":
            return _read_csv(path, max_line_bytes, ",")
        case ".tsv":
            return _read_csv(path, max_line_bytes, "\t")
        case ".parquet":
            return _read_parquet(path)
    return iter([BadRow(None, f"is of no known format: the name must end in {', '.join(SUFFIXES)}")])


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON's types: dates as ISO 8601, decimals and integers beyond 64 bits as text, NaN as null.

    Raises:
        ValueError: binary data, infinity, text that is not Unicode, too deep a nesting; the message completes "column x ...".
    """
    match value:
        case None | bool():
            return value
        case str():
            _check_text(value)
            return value
        case int():
            return value if value in _INT64 else str(value)
        case float():
            if math.isinf(value):
                raise ValueError("holds an infinite number")
            return None if math.isnan(value) else value
        case Decimal():
            return format(value, "f")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case bytes():
            raise ValueError("holds binary data; only text, numbers, lists and objects are read, so leave it out")
        case list() | tuple() | dict() if depth >= _MAX_DEPTH:
            raise ValueError(f"is nested deeper than {_MAX_DEPTH} levels")
        case list() | tuple():
            return [plain(one, depth + 1) for one in value]
        case dict():
            for key in value:
                _check_text(key)
                if "\0" in key:
                    raise ValueError("has a NUL character in a key")
            return {key: plain(one, depth + 1) for key, one in value.items()}
    return str(value)


def target_text(value: Any) -> str:
    """A target as text: 18 and 18.0 are "18", true is "true". Raises `ValueError` as `plain` does."""
    text = scalar_text(value)
    if not text.strip():
        raise ValueError("is empty")
    return text


def json_text(value: Any) -> str:
    """A target that is JSON: a list or an object as its text, anything else as `target_text` has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else target_text(value)


def id_of(value: Any) -> str:
    """An item's id as text, of at most 256 characters. Raises `ValueError` as `plain` does."""
    text = target_text(value)
    if len(text) > _MAX_ID:
        raise ValueError(f"has {len(text):,} characters; an id has at most {_MAX_ID}")
    return text


def input_text(value: Any) -> str:
    """An input as text; chat messages (`[{"role", "content"}]`) as JSON. Raises `ValueError` as `plain` does."""
    if not isinstance(value, list):
        return scalar_text(value)
    chat = [(one.get("role"), one.get("content")) for one in value if isinstance(one, dict)]
    if not chat or len(chat) < len(value) or any(not isinstance(part, str) for one in chat for part in one):
        raise ValueError('holds a list that is no chat; messages look like {"role": "user", "content": "..."}')
    return json.dumps(value, ensure_ascii=False)


def choices_of(value: Any) -> list[str]:
    """The choices of an item: a list, or its JSON as text, since a CSV cell holds no list. Raises `ValueError` as `plain` does."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError('must hold a list of at least two texts, such as ["yes", "no"]')
    return [scalar_text(one) for one in value]


def references_of(value: Any) -> list[str]:
    """Further gold answers of an item: a list, or its JSON as text, or one text; null is none. Raises `ValueError` as `plain` does."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if value is None:
        return []
    return [target_text(one) for one in (value if isinstance(value, list) else [value])]


def chat_of(value: Any) -> list[dict[str, str]]:
    """The chat messages of an item: a list, or its JSON as text. Raises `ValueError` as `plain` does."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, list) or not value:
        raise ValueError('must hold a list of chat messages such as {"role": "user", "content": "..."}')
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(
                f'holds a list whose message {number} is not of the form {{"role": "user", "content": "..."}}'
            )
        if message.get("role") not in _ROLES:
            raise ValueError(
                f"has the role {str(message.get('role'))[:40]!r} in message {number}; the roles are {', '.join(_ROLES)}"
            )
    if not any(message["content"].strip() for message in value):
        raise ValueError("holds no text at all")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def scalar_text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            # Through Decimal for all digits without an exponent, which a comparison of texts would trip over.
            return format(Decimal(repr(value)), "f").removesuffix(".0")
    kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
    raise ValueError(f"holds {kind}; a text, a number, true or false is needed")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is not Unicode text") from None


def _row(line: int, values: dict[str, Any]) -> Row | BadRow:
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read |= plain({name: value})
        except ValueError as error:
            return BadRow(line, f"column {name!r} {error}")
    return Row(line, read)


def _lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, str | BadRow]]:
    """Numbered lines with their ends; ends at a line that is too long."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(max_line_bytes + 1):
            number += 1
            if len(raw) > max_line_bytes:
                yield number, BadRow(number, f"is longer than {max_line_bytes:,} bytes; reading stops here")
                return
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                if raw[:2] in _UTF_16 and number == 1:
                    yield number, BadRow(None, "is UTF-16; save it as UTF-8")
                    return
                yield (
                    number,
                    BadRow(number, f"is not UTF-8: byte {raw[error.start]:#04x} at position {error.start + 1}"),
                )


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON value; write null")


def _read_jsonl(path: Path, max_line_bytes: int) -> Iterator[Row | BadRow]:
    # Not orjson, which rounds integers beyond 64 bits: a target would silently be another number.
    decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)
    for number, line in _lines(path, max_line_bytes):
        if isinstance(line, BadRow):
            yield line
            continue
        text = line.rstrip()
        if not text:
            continue
        if text.lstrip() in ("[", "{"):
            # Each of its lines would be wrong.
            yield BadRow(
                number,
                "is not JSON: a value of several lines begins here; each line must be an object by itself, without a list around them",
            )
            return
        try:
            values = decoder.decode(text)
        except json.JSONDecodeError as error:
            yield BadRow(number, f"is not JSON: {error.msg} at column {error.colno}")
        except ValueError as error:
            yield BadRow(number, f"is not JSON: {error}")
        except RecursionError:
            yield BadRow(number, f"is nested deeper than {_MAX_DEPTH} levels")
        else:
            if isinstance(values, dict):
                yield _row(number, values)
            else:
                yield BadRow(number, 'is not an object; a line must look like {"input": "...", "target": "..."}')


_HINT = "; a text that holds the separator must be in double quotes"


class _Undecodable(Exception):
    """Carries a `BadRow` out of csv's reader."""


def _text_only(lines: Iterator[tuple[int, str | BadRow]]) -> Iterator[str]:
    for _, line in lines:
        if isinstance(line, BadRow):
            raise _Undecodable(line)
        yield line


def _read_csv(path: Path, max_line_bytes: int, delimiter: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(max_line_bytes)
    reader = csv.reader(_text_only(_lines(path, max_line_bytes)), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        start = reader.line_num + 1  # a quoted cell may hold line breaks
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield BadRow(start, f"is not CSV: {error}")
            return
        except _Undecodable as error:
            yield error.args[0]
            return
        if not cells:
            continue
        if not header:
            header = cells
            if problem := _header_problem(header) or _separator_problem(header, delimiter):
                yield BadRow(start, problem)
                return
        elif len(cells) != len(header):
            yield BadRow(
                start, f"has {len(cells)} cells; the header has {len(header)}" + _HINT * (len(cells) > len(header))
            )
        else:
            yield _row(start, dict(zip(header, cells, strict=True)))
    if not header:
        yield BadRow(None, "is empty; the first line must name the columns")


def _header_problem(header: list[str]) -> str | None:
    for index, name in enumerate(header):
        if not name.strip():
            return f"is the header, and column {index + 1} has no name"
        if name in header[:index]:
            return f"is the header, and has the column {name!r} twice"
    return None


def _separator_problem(header: list[str], delimiter: str) -> str | None:
    other = next((sign for sign in ";\t,|" if len(header) == 1 and sign != delimiter and sign in header[0]), None)
    if other is None:
        return None
    return f"is the header, and has only one column; cells are separated by {_NAMES[delimiter]} here, and not by {_NAMES[other]}"


_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def _read_parquet(path: Path) -> Iterator[Row | BadRow]:
    # Here, since it takes a tenth of a second and 100 MB that the service itself and the other formats do without.
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if problem := _header_problem(file.schema_arrow.names):
                yield BadRow(None, f"cannot be used: its schema {problem.removeprefix('is the header, and ')}")
                return
            for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                for values in batch.to_pylist():
                    number += 1
                    yield _row(number, values)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError, ImportError) as error:
        reason = str(error).replace(str(path), path.name).splitlines() or [type(error).__name__]
        yield BadRow(number + 1 if number else None, f"is not readable as Parquet: {reason[0][:300]}")
