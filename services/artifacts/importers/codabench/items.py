"""The test cases of a task, out of its input data or what its phase makes public.

A table (JSONL, CSV, TSV, Parquet, or JSON with an array of objects) gives an item a row. Without one, text files give an item a file,
or one text file alone an item a line. Everything else needs the option `items`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.artifacts.bundles import Limits
from services.artifacts.importers import columns
from services.artifacts.importers.bundle import write_in_place, write_rows
from services.artifacts.importers.columns import Seen
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import TABLES, files_in, rows_of, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import SUFFIXES, Row
from shared.imports import CodabenchImport, TableFields
from shared.unpacking import inner_path

_FOLDER = "items"

_ROW = "input"
"""The column that holds a whole row, where no column is the question."""

_ADD_A_FILE = f"Add a file to the bundle with a row for each test case ({', '.join(TABLES)}) and give its path"

_LINES = (".txt", ".text")
"""The one text file there is has an item a line with these endings; with another where the request names it."""

_IGNORED = ("readme", "license", "metadata", ".gitkeep")


@dataclass(frozen=True)
class Items:
    """`data` is a file of the environment, `fields` its columns as in the manifest."""

    data: str
    fields: dict[str, str]
    columns: tuple[str, ...]
    from_files: bool


@dataclass(frozen=True)
class Place:
    """Where a task's items may be: a folder or a file of the bundle, and what it is called there."""

    path: Path
    label: str


def find_items(
    places: Sequence[Place],
    beside: Sequence[Place],
    task: int,
    options: CodabenchImport,
    out: Path,
    limits: Limits,
    report: Report,
) -> Items:
    """Write the items of a task; raises `Invalid` that says what to give where nothing can be made into items.

    They are in the first of `places`; what the option `items` names may be in `beside`, too.
    """
    if options.items is not None:
        place = _named(options.items, [*places, *beside], task)
    elif places:
        place = places[0]
    else:
        raise wrong_option(
            "items", f"is needed: task {task} has no input_data, so there is nothing to put to a model. {_ADD_A_FILE}"
        )
    files = _files(place)
    tables = _tables(files)
    if len(tables) > 1:
        there = ", ".join(list(tables)[:20])
        raise wrong_option(
            "items", f"is needed: task {task} has several tables ({there}); which one has the test cases?"
        )
    if tables:
        name, path = next(iter(tables.items()))
        return _from_table(path, name, options, out, limits, report)
    there = ", ".join(list(files)[:20]) or place.label
    if not files or not all(_is_text(path, limits) for path in files.values()):
        raise wrong_option("items", f"is needed: nothing in {there} (task {task}) can be put to a model. {_ADD_A_FILE}")
    if len({path.suffix for path in files.values()}) > 1:
        raise wrong_option(
            "items", f"is needed: task {task} has files of several kinds ({there}); which one has the test cases?"
        )
    if len(files) == 1 and place.path.is_dir() and not there.endswith(_LINES):
        raise wrong_option(
            "items", f"is needed: nothing says what in {there} (task {task}) is a test case. {_ADD_A_FILE}"
        )
    for field in ("id", "input", "target"):
        if getattr(options.fields, field) is not None:
            raise wrong_option(f"fields.{field}", "is of no use: the test cases are text files, which have no columns")
    if len(files) == 1:
        return _from_lines(*next(iter(files.items())), out, report)
    return _from_files(files, place.label, out, report)


def _tables(files: dict[str, Path]) -> dict[str, Path]:
    """Those with an item a row. Several JSON files are an item each, unless one of them is an array."""
    tables = {name: path for name, path in files.items() if path.suffix in SUFFIXES}
    jsons = {name: path for name, path in files.items() if path.suffix == ".json"}
    if tables or not jsons:
        return tables
    return jsons if len(files) == 1 else {name: path for name, path in jsons.items() if _is_array(path)}


def _named(written: str, places: Sequence[Place], task: int) -> Place:
    items = inner_path(written)
    is_path = not {"", ".", ".."} & set(items.split("/"))
    for place in places:
        # Only what was unpacked is looked up, so no path leads out of it.
        inside = files_in(place.path) if is_path and place.path.is_dir() else {}
        if items in inside or any(name.startswith(f"{items}/") for name in inside):
            return Place(place.path / items, f"{place.label}/{items}".lstrip("/"))
    there = ", ".join([name for place in places for name in _files(place)][:20])
    raise wrong_option(
        "items", f"there is no file or folder {written!r} in task {task}'s data or the bundle; there is {there}"
    )


def _files(place: Place) -> dict[str, Path]:
    if place.path.is_file():
        return {place.label: place.path}
    return {f"{place.label}/{at}".lstrip("/"): path for at, path in _asked(place.path).items()}


def _asked(folder: Path) -> dict[str, Path]:
    return {name: path for name, path in files_in(folder).items() if not path.name.lower().startswith(_IGNORED)}


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _from_table(path: Path, name: str, options: CodabenchImport, out: Path, limits: Limits, report: Report) -> Items:
    problems = Problems()
    seen = Seen()
    for row in rows_of(path, name, limits, problems):
        seen.add(row)
    problems.raise_any()
    columns.check_header(path, name, seen.columns)
    if not seen.rows:
        raise wrong_file(name, "has no rows")
    fields = columns.chosen(
        TableFields(**options.fields.model_dump()), seen.columns, report, needs_input=options.prompt is None,
        needs_target=False, guess_target=False, guess_choices=False, of=name,
    )  # fmt: skip
    mapping = {part: column for part in ("id", "input", "target") if (column := getattr(fields, part)) is not None}
    if fields.input is None:
        report.note(f"An item's input is its whole row, since no column of {name} was named as the question.")
        column = _ROW if _ROW not in seen.columns else f"{_ROW}_row"
        data = _file(out, f"{name}.jsonl")
        write_in_place(out / data, _whole_rows(path, name, column, limits))
        return Items(data, {**mapping, "input": column}, (*seen.columns, column), False)
    if path.suffix == ".json":
        data = _file(out, f"{name}.jsonl")
        write_in_place(out / data, rows_of(path, name, limits, Problems()))
    else:
        data = _file(out, name)
        if not (out / data).exists():  # another task's, too
            os.link(path, out / data)
    return Items(data, mapping, tuple(seen.columns), False)


def _file(out: Path, name: str) -> str:
    """Where the items of the file `name` of the competition are in the environment."""
    data = f"{_FOLDER}/{name}"
    (out / data).parent.mkdir(parents=True, exist_ok=True)
    return data


def _whole_rows(path: Path, name: str, column: str, limits: Limits) -> Iterator[Row]:
    for row in rows_of(path, name, limits, Problems()):
        yield Row(row.line, {**row.values, column: orjson.dumps(row.values).decode()})


def _is_text(path: Path, limits: Limits) -> bool:
    if path.stat().st_size > limits.max_line_bytes:
        return False
    try:
        return "\0" not in _text(path)
    except UnicodeDecodeError:
        return False


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def _from_lines(name: str, path: Path, out: Path, report: Report) -> Items:
    data = _file(out, f"{name}.jsonl")
    lines = [line for line in enumerate(_text(path).splitlines(), 1) if line[1].strip()]
    if not lines:
        raise wrong_file(name, "is empty")
    write_in_place(out / data, (Row(number, {"input": line}) for number, line in lines))
    report.note(f"Each line of {name} is an item.")
    return Items(data, {"input": "input"}, ("input",), False)


def _from_files(files: dict[str, Path], label: str, out: Path, report: Report) -> Items:
    inner = [name.removeprefix(f"{label}/") for name in files]
    stems = [Path(name).with_suffix("").as_posix() for name in inner]
    ids = stems if len(set(stems)) == len(stems) else inner

    def rows() -> Iterator[dict[str, Any]]:
        for id_, (name, path) in zip(ids, files.items(), strict=True):
            text = _text(path)
            if not text.strip():
                raise wrong_file(name, "is empty, so there is nothing to put to a model; leave it out")
            yield {"id": id_, "input": text, "file": name}

    data = _file(out, f"{label or 'files'}.jsonl")
    report.note(
        f"Each of the {write_rows(out / data, rows())} files of {label or 'the bundle'} is an item, its id the file's name."
    )
    return Items(data, {"id": "id", "input": "input"}, ("id", "input", "file"), True)


def prompt_of(found: Sequence[Items], options: CodabenchImport, report: Report) -> dict[str, Any]:
    if options.prompt is not None:
        return options.prompt.model_dump(mode="json", exclude_none=True)
    report.note(
        "The prompt is the input as it is: a competition has none. Give `prompt` to say what is asked, and how to answer."
    )
    inputs = {items.fields["input"] for items in found}
    if len(inputs) == 1:
        return {"template": columns.template_of(TableFields(input=inputs.pop()), choices=None)}
    if any("input" in items.columns and items.fields["input"] != "input" for items in found):
        raise wrong_option(
            "prompt", f"is needed: the tasks' questions are in different columns ({', '.join(sorted(inputs))})"
        )
    return {"template": "{{ input }}"}
