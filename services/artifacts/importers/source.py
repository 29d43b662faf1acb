"""What was sent to be imported: unpacked with a bundle's limits, its data files read row by row whatever their format."""

import json
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from services.artifacts.bundles import Limits
from services.artifacts.problems import Problems, field_error
from services.artifacts.rows import SUFFIXES, BadRow, Row, plain, read_rows, unit
from shared.errors import Invalid, TooLarge
from shared.unpacking import ArchiveLimits, extract

TABLES = (*SUFFIXES, ".json")
"""Files that `rows_of` reads."""

_MAX_JSON_BYTES = 256 * 1024**2  # a JSON array is read as a whole


def wrong_option(option: str, message: str) -> Invalid:
    """An error of the request: `option` as `fields.input`."""
    error = field_error(["import", *option.split(".")], message)
    return Invalid(f"import.{option}: {error['msg']}", [error])


def wrong_file(name: str, message: str, *inside: str | int) -> Invalid:
    """An error of a file of the source."""
    error = field_error([name, *inside], message)
    return Invalid(f"{name}: {error['msg']}", [error])


def refuse(problems: Problems) -> NoReturn:
    """Raise what has been found, which must be something."""
    problems.raise_any()
    raise AssertionError("nothing is wrong")


def archive_limits(limits: Limits) -> ArchiveLimits:
    return ArchiveLimits(limits.max_unpacked_bytes, limits.max_file_bytes, limits.max_entries, limits.max_ratio)


def unpack(sent: Path, filename: str, folder: Path, limits: Limits) -> None:
    """What was sent, as files in `folder`: a zip unpacked, anything else as a file of its name."""
    if sent.stat().st_size > limits.max_archive_bytes:
        raise TooLarge(f"what was sent is larger than {limits.max_archive_bytes:,} bytes")
    if zipfile.is_zipfile(sent):
        extract(sent, folder, (), archive_limits(limits))
    elif filename.lower().endswith(".zip"):
        raise wrong_file(safe_name(filename), "is no zip, or not the whole of one")
    else:
        shutil.move(sent, folder / safe_name(filename))


def safe_name(filename: str) -> str:
    """The name of a sent file without its path, fit for a bundle."""
    name = unicodedata.normalize("NFC", PurePosixPath(filename.replace("\\", "/")).name)
    name = "".join(letter for letter in name if letter.isprintable() and letter not in '<>:"|?*').strip(" .")
    suffix = PurePosixPath(name).suffix.lower()
    stem = name[: len(name) - len(suffix)] if suffix else name
    while len(stem.encode()) > 200:
        stem = stem[:-1]
    return f"{stem or 'data'}{suffix}"


def files_in(folder: Path) -> dict[str, Path]:
    """All files below `folder` by their path, in order."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def rows_of(path: Path, name: str, limits: Limits, problems: Problems) -> Iterator[Row]:
    """Rows of a data file (JSONL, CSV, TSV, Parquet, or JSON: an array of objects, an object with one, or an object of objects, whose keys
    are then the column `id`). Bad ones become problems of the file `name`; with more than a few, `Invalid` is raised."""
    rows = _rows_of_json(path) if path.suffix == ".json" else read_rows(path, limits.max_line_bytes)
    for row in rows:
        if isinstance(row, Row):
            yield row
        elif row.line is None:
            problems.add([name], row.msg)
        else:
            problems.add([name, row.line], f"{unit(path)} {row.line}: {row.msg}")


def _rows_of_json(path: Path) -> Iterator[Row | BadRow]:
    """`line` counts the objects from 1."""
    if path.stat().st_size > _MAX_JSON_BYTES:
        yield BadRow(None, f"is larger than {_MAX_JSON_BYTES:,} bytes; write it as JSONL, an object a line")
        return
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        yield BadRow(None, f"is not UTF-8: byte at position {error.start + 1}")
    except json.JSONDecodeError as error:
        yield BadRow(None, f"line {error.lineno}, column {error.colno}: is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        yield BadRow(None, f"is not JSON that can be read: {str(error)[:200] or type(error).__name__}")
    else:
        for number, values in enumerate(_objects(document), 1):
            yield _row(number, values)


def _objects(document: Any) -> list[Any]:
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list) and value]
        if len(lists) == 1:
            return lists[0]
        if document and all(isinstance(value, dict) for value in document.values()):
            return [{"id": key, **value} for key, value in document.items()]
        return [None]
    return document if isinstance(document, list) else [None]


def _row(number: int, values: Any) -> Row | BadRow:
    if not isinstance(values, dict):
        return BadRow(
            number,
            'is not an object; the file must be an array of objects, such as [{"input": "...", "target": "..."}]',
        )
    try:
        return Row(number, plain(values))
    except ValueError as error:
        return BadRow(number, f"the element {error}")
