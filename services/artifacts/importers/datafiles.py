"""Which of the files that were sent hold the rows of a split, and those rows."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

import orjson

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import write_rows
from services.artifacts.importers.source import TABLES, rows_of
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, unit

_MAX_LISTED = 20
_MAX_LINE = 16 * 1024**2

_ALSO = {"train": ("training",), "validation": ("valid", "val", "dev"), "test": ("testing", "eval", "evaluation")}

Files = Mapping[str, Path]
"""Files of the source by their path in it."""


def tables(files: Files) -> dict[str, Path]:
    """The files that hold rows."""
    return {name: path for name, path in files.items() if PurePosixPath(name).suffix in TABLES}


def listed(names: Mapping[str, object]) -> str:
    """File names for a message."""
    return ", ".join([*names][:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "") if names else "none"


def matching(files: Files, wanted: str, folder: str = "") -> list[str]:
    """The files that `wanted` means: a path or a pattern, from `folder` or from the top; else, as where it came from a machine with other
    folders, the one file with its last name."""
    plain = wanted.removeprefix("./")
    for pattern in dict.fromkeys((str(PurePosixPath(folder) / plain), plain)):
        if found := [name for name in files if name == pattern or fnmatchcase(name, pattern)]:
            return found
    last = PurePosixPath(plain).name
    found = [name for name in files if PurePosixPath(name).name == last]
    return found if len(found) == 1 else []


def of_split(files: Files, split: str) -> list[str]:
    """The data files that are named after a split, as the Hub names them: `test.jsonl`, `main/test-00000-of-00002.parquet`; else those
    with one of the other names that it takes for that split."""

    def named(word: str) -> list[str]:
        stems = {name: PurePosixPath(name).stem for name in tables(files)}
        begins = (f"{word}-", f"{word}_", f"{word}.")
        return sorted(name for name, stem in stems.items() if stem == word or stem.startswith(begins))

    return next((found for word in (split, *_ALSO.get(split, ())) if (found := named(word))), [])


def of_config(files: Files, config: str | None) -> Files:
    """The files below a folder that is named after a dataset's subset, where there is one."""
    return {name: path for name, path in files.items() if config in PurePosixPath(name).parts[:-1]} or files


def rows(files: Files, names: list[str], limits: Limits, problems: Problems) -> Iterator[tuple[str, Row]]:
    """The rows of several files as one, each with the name of its file. What is wrong with a file is in `problems`."""
    for name in names:
        for row in rows_of(_with_its_suffix(files[name]), name, limits, problems):
            yield name, row


def first_rows(files: Files, names: list[str], count: int, limits: Limits, problems: Problems) -> list[Row]:
    return [row for _, row in islice(rows(files, names, limits, problems), count)]


def refuse_row(problems: Problems, name: str, row: Row, column: str | None, message: str) -> None:
    """Note what is wrong with a row of the file `name`."""
    where: list[str | int] = [name, row.line]
    problems.add(where if column is None else [*where, column], f"{unit(Path(name))} {row.line}: {message}")


def drop_column(path: Path, column: str) -> None:
    """Write a JSONL file again without a column that has turned out to be of no use."""
    whole = path.rename(path.with_name(f"{path.name}.whole"))
    with whole.open("rb") as lines:
        write_rows(path, ({key: value for key, value in orjson.loads(line).items() if key != column} for line in lines))
    whole.unlink()


def _with_its_suffix(path: Path) -> Path:
    """A `.json` file that has an object a line, which is what many tools write, is JSONL."""
    renamed = path.with_name(f"{path.name}.jsonl")
    if path.suffix != ".json" or renamed.exists():
        return renamed if renamed.exists() else path
    with path.open("rb") as file:
        start = file.readline(_MAX_LINE)
        if not (start.lstrip().startswith(b"{") and file.read(1)):
            return path
    try:
        orjson.loads(start)
    except orjson.JSONDecodeError:
        return path
    return path.rename(renamed)
